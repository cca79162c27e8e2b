"""The cost of clips of many lengths: embedding clips of 0.5 to 8 s against clips of one second.

    python benchmarks/padding.py --threads 2        # four minutes

The embedding job runs over noise, with the architecture of wav2vec2-base (its front end takes no mask, so it
runs on clips of one length together) or wav2vec2-large (--large) and random weights. The aim: a second of
audio costs at most 1.25 times what it costs in clips of one second. With `clips.padding: zeros` every clip
costs the time of the longest. Each is timed in a process of its own and in turn, less the time of a short
run, so that loading does not count. Times are seconds of the clock and of the processor, the sum of all
repeats.
"""

import argparse
import logging
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from convexprune.data import corpus
from convexprune.data.corpus import Corpus
from convexprune.models import devices, encoders, extraction
from embeddings import LARGE
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor

SHORTEST, LONGEST = 0.5, 8.0
CASES = {  # the clips' lengths, and the config's clips
    "one second": ((1, 1), {"seconds": 1, "padding": "zeros"}),
    "0.5 to 8 s, mask": ((SHORTEST, LONGEST), {"seconds": LONGEST, "padding": "mask"}),
    "0.5 to 8 s, zeros": ((SHORTEST, LONGEST), {"seconds": LONGEST, "padding": "zeros"}),
}


def make_corpus(folder, seconds, shortest, longest):
    """A corpus of noise, about `seconds` in all, in clips of lengths spread evenly; and its dataset."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    paths = [folder / f"corpus.{suffix}" for suffix in ("h5", "csv", "sha256")]
    lengths = np.linspace(shortest, longest, round(2 * seconds / (shortest + longest)))
    with corpus.write_corpus(*paths) as writer:
        for index, length in enumerate(rng.permutation(lengths)):
            clip = rng.integers(-9999, 9999, corpus.count_samples(length), dtype=np.int16)
            writer.add(f"{index}.wav", "a", "s", "test", clip)
    table = corpus.read_table(folder / "corpus.csv").rename(columns={"path": "item", "word": "label"})
    table = table.assign(start=table["offset"], end=table["offset"] + table["n_samples"])
    table[corpus.ITEM_COLUMNS].to_csv(folder / "words.csv", index=False)


def embed(model, folder, dataset, clips, options):
    extraction.embed(
        folder / "out.h5",
        folder=model,
        recordings=Corpus(folder / "corpus.h5"),
        dataset=dataset,
        identity={"model": "wav2vec2", "state": "pretrained", "dataset": "words"},
        choice=extraction.Choice("test", options.layers, "segment", "all", **clips),
        batch_size=options.batch_size,
        machine=devices.begin(0, options.threads),
    )


def measure(model, folder, clips, options):
    """Seconds of the clock and of the processor for all clips but one; the seconds of their audio."""
    logging.disable(logging.INFO)
    torch.set_num_threads(options.threads)
    table = corpus.read_dataset(folder / "words.csv")
    table.head(1).to_csv(folder / "one.csv", index=False)
    times = []
    for name in ("one.csv", "one.csv", "words.csv"):  # the first of a process is slower
        clock, processor = time.perf_counter(), time.process_time()
        embed(model, folder, folder / name, clips, options)
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    audio = (table["end"] - table["start"])[1:].sum() / corpus.SAMPLING_RATE
    return np.append(np.subtract(times[2], times[1]), audio)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--audio", type=float, default=256, help="seconds of audio in each case")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    config = Wav2Vec2Config(**(LARGE if options.large else {}))
    options.layers = config.num_hidden_layers
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        origin = {"id": "noise", "revision": None}
        model = AutoModel.from_config(config).eval()
        encoders.save_encoder(folder / "model", model, Wav2Vec2FeatureExtractor(), origin)
        for name, (lengths, _) in CASES.items():
            make_corpus(folder / name, options.audio, *lengths)
        spent = dict.fromkeys(CASES, 0)
        for _ in range(options.repeats):
            for name, (_, clips) in CASES.items():
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    job = process.submit(measure, folder / "model", folder / name, clips, options)
                    spent[name] = spent[name] + job.result()
    print(f"{options.threads} threads; of a second of audio: seconds of clock, processor; ratio: same")
    costs = {name: times[:2] / times[2] for name, times in spent.items()}
    for name, cost in costs.items():
        print(f"{name:22}" + "".join(f"{value:9.3f}" for value in (*cost, *(cost / costs["one second"]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
