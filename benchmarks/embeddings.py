"""Throughput of the embedding job against a bare forward pass of the same model over the same batches.

    python benchmarks/embeddings.py --threads 2        # two minutes

The model has the architecture of wav2vec2-base (or --large) and random weights, the clips are noise. The job
reads clips from the corpus, normalises them, runs the model, averages the frames of each of the layers and
writes the file; the bare pass calls the model on inputs that lie ready in memory, and keeps the last state.
Both are timed over many batches less a single one, so that loading the model does not count, and in turn,
so that they share what else the machine does. Times are seconds of the clock and of the processor.
"""

import argparse
import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from convexprune import corpus, encoders, extraction
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
            clip = rng.integers(-9999, 9999, corpus.CLIP_SAMPLES, dtype=np.int16)
            writer.add(f"{index}.wav", "a", "s", "test", clip)
    table = corpus.read_table(folder / "corpus.csv").rename(columns={"path": "item", "word": "label"})
    table = table.assign(start=table["offset"], end=table["offset"] + table["n_samples"])
    table[corpus.ITEM_COLUMNS].to_csv(folder / "words.csv", index=False)


@contextlib.contextmanager
def stopwatch(times):
    """Append (seconds of the clock, seconds of the processor) of the block to `times`."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    times.append((time.perf_counter() - clock, time.process_time() - processor))


def run_job(folder, n_clips, layers, options):
    """The job of rule `embed` over the first `n_clips` clips."""
    table = pd.read_csv(folder / "words.csv").head(n_clips)
    table.to_csv(folder / "some.csv", index=False)
    extraction.embed(
        folder / "out.h5",
        folder=folder / "model",
        trace=folder / "model/provenance.json",
        samples=folder / "corpus.h5",
        fingerprint=folder / "corpus.sha256",
        dataset=folder / "some.csv",
        table=None,  # of recordings, for items within them
        identity={"model": "wav2vec2", "state": "pretrained", "dataset": "words"},
        settings={"split": "test", "context": "segment", "frames": "all", "layers": layers, "seed": None},
        batch_size=options.batch_size,
        threads=options.threads,
        gpus=0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(options.threads)
    n_clips = (options.batches + 1) * options.batch_size
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = Wav2Vec2Config(**(LARGE if options.large else {}))
        model = AutoModel.from_config(config).eval()
        feature_extractor = Wav2Vec2FeatureExtractor()
        encoders.save_encoder(folder / "model", model, feature_extractor, {"id": "noise", "revision": None})
        make_corpus(folder, n_clips)
        starts = np.arange(n_clips) * corpus.CLIP_SAMPLES
        clips = corpus.read_clips(folder / "corpus.h5", starts, starts + corpus.CLIP_SAMPLES)
        ready = [
            encoders.prepare(feature_extractor, clips[first : first + options.batch_size])
            for first in range(options.batch_size, n_clips, options.batch_size)
        ]
        one, many, bare = [], [], []
        for _ in range(options.repeats):
            with stopwatch(one):
                run_job(folder, options.batch_size, config.num_hidden_layers, options)
            with stopwatch(many):
                run_job(folder, n_clips, config.num_hidden_layers, options)
            with stopwatch(bare), torch.inference_mode():
                for inputs in ready:
                    model(**inputs)
    job = np.median(np.array(many) - np.array(one), axis=0)
    bare = np.median(bare, axis=0)
    rate = options.batches * options.batch_size / np.stack([job, bare])
    print("of                 clock   processor   (clips a second; threads", options.threads, end=")\n")
    print("embedding job  {:9.2f}   {:9.2f}".format(*rate[0]))
    print("bare pass      {:9.2f}   {:9.2f}".format(*rate[1]))
    print("job / bare     {:9.1%}   {:9.1%}".format(*(rate[0] / rate[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
