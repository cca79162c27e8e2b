"""Throughput of the embedding job against a bare forward pass of the same model over the same batches.

    python benchmarks/embeddings.py --threads 2        # six minutes

The model has the architecture of wav2vec2-base (or --large) and random weights, the clips are noise. The job
reads clips from the corpus, normalises them, runs the model, averages the frames of each of the layers and
writes the file; the bare pass calls the model on inputs that lie ready in memory, and keeps the last state,
once as torch is and once with `memory.keep_memory`, as the job has it. Each is timed in a process of its
own over many batches less a single one, so that loading the model does not count, after one batch that is not
counted at all; and in turn, so that they share what else the machine does. Times are seconds of the clock and
of the processor, the sum of all repeats.
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
from convexprune.jobs import memory
from convexprune.models import devices, encoders, extraction
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor

LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
}


def make_corpus(folder, n_clips):
    """A corpus of noise, and a dataset of each of its clips."""
    rng = np.random.default_rng(0)
    paths = [folder / f"corpus.{suffix}" for suffix in ("h5", "csv", "sha256")]
    with corpus.write_corpus(*paths) as writer:
        for index in range(n_clips):
            clip = rng.integers(-9999, 9999, corpus.SAMPLING_RATE, dtype=np.int16)
            writer.add(f"{index}.wav", "a", "s", "test", clip)
    table = corpus.read_table(folder / "corpus.csv").rename(columns={"path": "item", "word": "label"})
    table = table.assign(start=table["offset"], end=table["offset"] + table["n_samples"])
    table[corpus.ITEM_COLUMNS].to_csv(folder / "words.csv", index=False)


def run_job(folder, n_clips, layers, options):
    """The job of rule `embed` over the first `n_clips` clips."""
    table = corpus.read_dataset(folder / "words.csv").head(n_clips)
    table.to_csv(folder / "some.csv", index=False)
    extraction.embed(
        folder / "out.h5",
        folder=folder / "model",
        recordings=Corpus(folder / "corpus.h5"),
        dataset=folder / "some.csv",
        identity={"model": "wav2vec2", "state": "pretrained", "dataset": "words"},
        choice=extraction.Choice("test", layers, "segment", "all"),
        batch_size=options.batch_size,
        machine=devices.begin(0, options.threads),
    )


def run_bare(folder, n_clips, layers, options):
    """A forward pass over the same clips, prepared and in memory."""
    model, feature_extractor = encoders.load_encoder(folder / "model")
    starts = np.arange(n_clips) * corpus.SAMPLING_RATE
    clips = corpus.read_clips(folder / "corpus.h5", starts, starts + corpus.SAMPLING_RATE)
    batches = [
        encoders.prepare(feature_extractor, clips[first : first + options.batch_size])
        for first in range(0, n_clips, options.batch_size)
    ]
    with torch.inference_mode():
        for inputs in batches:
            model(**inputs)


def run_bare_keeping(*given):
    memory.keep_memory("cpu")
    run_bare(*given)


def measure(run, folder, layers, options):
    """Seconds of the clock and of the processor of all batches but one."""
    logging.disable(logging.INFO)
    torch.set_num_threads(options.threads)
    times = []
    for batches in (1, 1, options.batches + 1):  # the first of a process is slower
        clock, processor = time.perf_counter(), time.process_time()
        run(folder, batches * options.batch_size, layers, options)
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    return np.subtract(times[2], times[1])


VARIANTS = {
    "embedding job": run_job,
    "bare pass": run_bare,
    "bare pass, memory kept": run_bare_keeping,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = Wav2Vec2Config(**(LARGE if options.large else {}))
        model = AutoModel.from_config(config).eval()
        origin = {"id": "noise", "revision": None}
        encoders.save_encoder(folder / "model", model, Wav2Vec2FeatureExtractor(), origin)
        make_corpus(folder, (options.batches + 1) * options.batch_size)
        times = dict.fromkeys(VARIANTS, 0)
        for _ in range(options.repeats):
            for name, run in VARIANTS.items():
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    job = process.submit(measure, run, folder, config.num_hidden_layers, options)
                    times[name] = times[name] + job.result()
    clips = options.repeats * options.batches * options.batch_size
    job = times["embedding job"]
    print(f"{clips} clips, {options.threads} threads   clips/s: clock, processor   the job's share: same")
    for name, spent in times.items():
        (clock, processor), (share, same) = clips / spent, spent / job
        print(f"{name:26}{clock:16.2f}{processor:11.2f}{share:20.1%}{same:8.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
