"""Whisper at the length of its clips against Whisper at 30 s: convexity of words by layer, clips a second.

    python benchmarks/whisper.py MODEL RECORDINGS        # four minutes

MODEL is a folder of Whisper's, RECORDINGS one of files named WORD_speaker_number.wav, of which the first of
each word are taken. Both encoders are those that an import writes: one cut to the clips, one as it was
given. Each batch runs through both, in turn. Its preparation (the spectrum) and the means over frames count;
loading does not.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from convexprune.convexity.score import graph_convexity
from convexprune.data import corpus
from convexprune.data.audio import read_file
from convexprune.models import devices, encoders, extraction, sources


def read_recordings(folder, n_clips, seconds):
    """Clips (n, samples) of each word's first recordings, by number and speaker, and their words."""
    found = {}
    for path in folder.glob("*_*_*.wav"):
        word, speaker, number = path.stem.split("_")
        found.setdefault(word, []).append((int(number), speaker, path))
    if not found:
        raise SystemExit(f"{folder} has no recordings named WORD_speaker_number.wav")
    chosen = [
        (word, path) for word in sorted(found) for *_, path in sorted(found[word])[: n_clips // len(found)]
    ]
    clips = np.zeros((len(chosen), corpus.count_samples(seconds)), np.float32)
    for clip, (_, path) in zip(clips, chosen, strict=True):
        samples = read_file(path).convert()[: clips.shape[1]]
        clip[: len(samples)] = samples / np.float32(32768)
    return clips, [word for word, _ in chosen]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--seconds", type=float, default=1, help="length of a clip (1)")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    devices.begin(0, options.threads)
    clips, words = read_recordings(options.recordings, options.clips, options.seconds)
    order = np.random.default_rng(0).permutation(len(clips))  # of no consequence for the scores
    batches = np.array_split(order, -(-len(clips) // options.batch_size))
    models, layers = {}, sources.model_files.read_layers(options.model)
    with tempfile.TemporaryDirectory() as scratch:
        for name, seconds in (("cut", options.seconds), ("given", None)):
            folder = Path(scratch, name)
            sources.import_encoder(folder, path=str(options.model), layers=layers, seconds=seconds)
            models[name] = encoders.load_encoder(folder)
    spent, states = {}, {}
    for name, (model, _) in models.items():
        spent[name], states[name] = np.zeros(2), np.empty((layers + 1, len(clips), model.config.hidden_size))
        extraction.pool_layers(*models[name], clips[batches[0]])  # the first pass allocates
    for batch in batches:
        for name, pair in models.items():
            started = np.array([time.perf_counter(), time.process_time()])
            states[name][:, batch] = extraction.pool_layers(*pair, clips[batch])
            spent[name] += np.array([time.perf_counter(), time.process_time()]) - started
    speeds = {name: len(clips) / seconds for name, seconds in spent.items()}
    windows = {name: extractor.chunk_length for name, (_, extractor) in models.items()}
    print(f"{len(clips)} clips of {options.seconds:g} s, {len(set(words))} words, {options.threads} threads")
    print("layers  " + "  ".join(f"{windows[name]:>2} s: convexity" for name in models))
    for layer in range(layers + 1):
        scores = [graph_convexity(states[name][layer], words) for name in models]
        print(f"{layer:6}  " + "  ".join(f"{score.score:.3f} +- {score.stderr:.3f} " for score in scores))
    for clock, what in enumerate(("by the clock", "a second of processor time")):
        cut, given = (speed[clock] for speed in speeds.values())
        print(f"clips/s {cut:14.2f}  {given:14.2f}    {cut / given:.1f} times as many {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
