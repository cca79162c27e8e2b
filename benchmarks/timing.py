"""Inference time of wav2vec2-base pruned as in the paper, against the full model: batch 1, 1 s.

    python benchmarks/timing.py                        # 300 runs of each: about five minutes on two cores

wav2vec2-base's architecture with random weights, which take as long as trained ones. It measures as the
workflow does (`convexprune.models.timing`), on the CPU also in CPU time, and writes timing.json beside
this file.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FULL = 12
EVERY_RUN = ("full_seconds", "pruned_seconds")
# task: layers kept by the paper, number of classes, change of the inference time that it reports
TASKS = {"words": (9, 35, "-18.6 to -22.7 %"), "speakers": (3, 388, "-53 to -55 %")}


def save_classifier(folder, layers, classes):
    import torch
    from convexprune.models import encoders
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    model = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(num_hidden_layers=layers, num_labels=classes))
    encoders.save_folder(folder, model, Wav2Vec2FeatureExtractor())


def measure_cpu(folders, runs):
    """Median CPU seconds of a forward pass of each model: what other processes do hardly changes them."""
    import torch
    from convexprune.models import encoders

    models = [encoders.load_classifier(folder) for folder in folders]
    audio = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    seconds = np.empty((runs, len(models)))
    with torch.inference_mode():
        for turn in seconds:
            for side, model in enumerate(models):
                started = time.process_time()
                model(audio)
                turn[side] = time.process_time() - started
    return np.median(seconds, axis=0).tolist()


def main():
    from convexprune.models import devices, timing

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300, help="runs of each model (300)")
    parser.add_argument("--warmup", type=int, default=20, help="runs before that are not counted (20)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads (all CPUs)")
    parser.add_argument("--gpu", action="store_true", help="measure on a GPU")
    options = parser.parse_args()
    records = []
    for task, (layers, classes, paper) in TASKS.items():
        with tempfile.TemporaryDirectory() as scratch:
            full, pruned = Path(scratch, "full"), Path(scratch, "pruned")
            save_classifier(full, FULL, classes)
            save_classifier(pruned, layers, classes)
            record = timing.time_inference(
                full,
                pruned,
                {"model": "wav2vec2-base", "task": task},
                full_layers=FULL,
                layers=layers,
                passes=timing.Passes(options.runs, options.warmup),
                machine=devices.begin(int(options.gpu), options.threads),
            )
            if not options.gpu:
                record["cpu_seconds"] = measure_cpu([full, pruned], options.runs)
        change = 100 * (record["ratio"]["median"] - 1)
        error = 100 * record["ratio"]["median_stderr"]
        print(
            f"{task}: {layers} of {FULL} layers, {change:.1f} +- {error:.1f} % (the paper's GPU: {paper}), "
            f"medians {1000 * record['full']['median']:.1f} and {1000 * record['pruned']['median']:.1f} ms; "
            f"others kept {record['other_load']:.2f} CPUs busy",
            flush=True,
        )
        if not options.gpu:
            full_cpu, pruned_cpu = record["cpu_seconds"]
            print(f"    in CPU time: {100 * (pruned_cpu / full_cpu - 1):.1f} %", flush=True)
        records.append(
            {key: value for key, value in record.items() if key not in ("full_seconds", "pruned_seconds")}
        )
    (HERE / "timing.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
