"""What storing features as float16 changes: test accuracy of the same runs with float32 and float16 features.

    make demo
    python benchmarks/float16.py results/demo resources/demo.yaml hubert-small words

Takes the corpus, the dataset and the encoder of a finished run of the workflow, trains the full model from
stored features of both kinds with several seeds, and prints a line a run.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

KINDS = ("float32", "float16")


def main():
    from convexprune.data import corpus
    from convexprune.finetuning import features, finetune
    from convexprune.finetuning.recipe import Recipe
    from convexprune.models import devices
    from convexprune.setup import configuration, experiment
    from convexprune.setup.experiment import Run

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="results folder of a finished run")
    parser.add_argument("config", type=Path, help="its config")
    parser.add_argument("model", help="a model in it")
    parser.add_argument("task", choices=("words", "speakers"))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind (3)")
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()

    config = configuration.read_config(options.config)
    layers = config["models"][options.model]["layers"]
    settings = experiment.finetuning_settings(config, options.model, options.task, layers)
    folder = options.results / "models" / options.model
    recordings = corpus.open_corpus(options.results / "corpus/corpus.h5")
    dataset = options.results / "datasets" / f"{options.task}.csv"
    machine = devices.begin(int(options.gpu), config["threads"], precision=settings["precision"])
    accuracies, predictions = {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
    for kind in KINDS:
        recipe = Recipe(**settings | {"cache_features": kind})
        with tempfile.TemporaryDirectory() as scratch:
            cached = Path(scratch, "features.h5")
            features.cache_features(
                cached,
                folder=folder,
                recordings=recordings,
                dataset=dataset,
                stored=features.Stored(kind),
                batch_size=32,
                machine=machine,
            )
            for seed in range(options.seeds):
                run = finetune.finetune(
                    folder,
                    recordings,
                    dataset,
                    recipe,
                    Run(options.model, options.task, layers, seed),
                    machine=machine,
                    checkpoint=Path(scratch, "checkpoint"),
                    cached=cached,
                )
                accuracies[kind].append(run.metrics["accuracy"])
                predictions[kind].append(run.predictions["predicted"].to_numpy())
                print(f"{kind} seed {seed}: {100 * run.metrics['accuracy']:.2f} %", flush=True)
    changes = 100 * np.subtract(accuracies["float16"], accuracies["float32"])
    same = np.mean(np.concatenate(predictions["float16"]) == np.concatenate(predictions["float32"]))
    error = changes.std(ddof=1) / np.sqrt(len(changes)) if len(changes) > 1 else np.nan
    print(f"change {changes.mean():+.2f} +- {error:.2f} points; {100 * same:.1f} % of test labels the same")


if __name__ == "__main__":
    main()
