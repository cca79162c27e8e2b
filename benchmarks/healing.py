"""Fold, then heal: training steps until a pruned model is as good as one trained from the pretrained encoder.

    make demo
    python benchmarks/healing.py results/demo          # 12 cells: some two hours on one core
    python benchmarks/healing.py results/demo --seeds 0 --models hubert-small --tasks words

RESULTS is the folder of a finished run of `resources/demo.yaml`. For each model, task and seed, the full
model is taken from RESULTS, or trained by the demo's recipe where RESULTS lacks the seed, and folded to every
depth. Two trainings of the layers that the plan keeps follow, by the demo's recipe but with an evaluation on
validation every `--every` steps: from the pretrained encoder, as the workflow does, and from the folded
model. To be reached is the accuracy of those weights of the first training that the workflow would keep (the
best evaluation, with the demo's own `eval_steps` and `patience`), less one binomial sigma, on validation.

Writes, beside this file and cell by cell, healing.csv and healing.depths.csv (the folded and the cut models
at every depth, on validation and test). A cell that is there is not measured again.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
from convexprune.data import corpus
from convexprune.finetuning import finetune, folds, metrics
from convexprune.finetuning.recipe import Recipe
from convexprune.jobs import csv_files
from convexprune.models import devices
from convexprune.setup import configuration, experiment
from convexprune.setup.experiment import Run

HERE = Path(__file__).parent
CONFIG = HERE.parent / "resources/demo.yaml"
CELL = ["model", "task", "seed"]


def train(encoder, results, run, recipe, machine, scratch):
    """A run by `finetune.finetune`, as rule finetune would start it."""
    return finetune.finetune(
        encoder,
        corpus.open_corpus(results / "corpus/corpus.h5"),
        results / f"datasets/{run.task}.csv",
        recipe,
        run,
        machine=machine,
        checkpoint=Path(scratch, "checkpoint"),
    )


def find_full(config, results, run, machine, scratch):
    """The folder of the full model of a run's model, task and seed; trained now if `results` lacks it."""
    layers = config["models"][run.model]["layers"]
    folder = results / f"finetuned/{run.model}/{run.task}/{layers}/{run.seed}"
    if not (folder / "metrics.json").exists():
        full = dataclasses.replace(run, layers=layers)
        recipe = Recipe(**experiment.finetuning_settings(config, run.model, run.task, layers))
        folder = Path(scratch, "full")
        train(results / f"models/{run.model}", results, full, recipe, machine, scratch).save(folder)
    return folder


def best_kept(log, recipe):
    """The validation accuracy that early stopping would keep, with evaluations every `recipe.eval_steps`."""
    best, stale = -1.0, 0
    evaluated = (log.index % recipe.eval_steps == 0) | (log.index == recipe.max_steps)
    for accuracy in log["eval_accuracy"][evaluated]:
        best, stale = (accuracy, 0) if accuracy > best else (best, stale + 1)
        if stale >= recipe.patience:
            break
    return best


def measure(config, results, run, every, machine):
    """One row of healing.csv, and the rows of healing.depths.csv."""
    recipe = Recipe(**experiment.finetuning_settings(config, run.model, run.task, run.layers))
    closely = dataclasses.replace(recipe, eval_steps=every, patience=recipe.max_steps)
    full_layers = config["models"][run.model]["layers"]
    data = corpus.open_corpus(results / "corpus/corpus.h5"), results / f"datasets/{run.task}.csv"
    with tempfile.TemporaryDirectory() as scratch:
        full = find_full(config, results, run, machine, scratch)
        options = {
            "batch_size": 32,
            "machine": machine,
        }
        depths = folds.fold_layers(full, *data, **options).set_index("layers")
        folds.fold_model(Path(scratch, "folded"), full, *data, layers=run.layers, **options)
        logs = {
            start: train(
                encoder,
                results,
                run,
                dataclasses.replace(closely, start=start),
                machine,
                Path(scratch, start),
            ).training_log.set_index("step")
            for start, encoder in (
                ("pretrained", results / f"models/{run.model}"),
                ("folded", Path(scratch, "folded")),
            )
        }
    at, n = depths.loc[run.layers], int(depths["n_validation"].iloc[0])
    kept = best_kept(logs["pretrained"], recipe)
    goal = kept - metrics.binomial_sigma(kept, n)
    row = dataclasses.asdict(run) | {
        "full_layers": full_layers,
        "kept": kept,
        "goal": goal,
        "n_validation": n,
    }
    row |= {
        "cut_at_0": at["cut_validation_accuracy"],
        "folded_at_0": at["validation_accuracy"],
        "every": every,
    }
    for start, log in logs.items():
        reached = log.index[log["eval_accuracy"] >= goal]
        steps = int(reached[0]) if len(reached) else float("nan")
        row[f"{start}_steps"] = 0 if start == "folded" and at["validation_accuracy"] >= goal else steps
        row[f"{start}_best"] = log["eval_accuracy"].max()
    names = {name: row[name] for name in CELL}
    return row, depths.reset_index().assign(**names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--every", type=int, default=10, help="steps between two evaluations (10)")
    parser.add_argument("--max-steps", type=int, help="steps of a training (the demo's), to try the script")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "healing.csv")
    options = parser.parse_args()
    config = configuration.read_config(CONFIG)
    if options.max_steps:
        config["finetuning"]["max_steps"] = options.max_steps
    plan = csv_files.read(options.results / "plan.csv").set_index(["model", "task"])["layers"]
    machine = devices.begin(0, options.threads)
    by_depth = options.output.with_suffix(".depths.csv")
    rows = csv_files.read(options.output).to_dict("records") if options.output.exists() else []
    tables = [csv_files.read(by_depth)] if by_depth.exists() else []
    done = {tuple(row[name] for name in CELL) for row in rows}
    for model in options.models or config["models"]:
        for task in options.tasks or config["tasks"]:
            for seed in options.seeds:
                if (model, task, seed) not in done:
                    run = Run(model, task, int(plan[model, task]), seed)
                    row, depths = measure(config, options.results, run, options.every, machine)
                    rows.append(row)
                    tables.append(depths)
                    print(json.dumps(row), flush=True)
                    csv_files.write(by_depth, pd.concat(tables))
                    csv_files.write(options.output, pd.DataFrame(rows))
    table = pd.DataFrame(rows)
    table["share"] = table["folded_steps"] / table["pretrained_steps"]
    columns = ["layers", "goal", "folded_at_0", "pretrained_steps", "folded_steps", "share"]
    print(table.groupby(["model", "task"])[columns].mean().round(3).to_string())
    depths = pd.concat(tables)
    below = depths[depths["layers"] < depths["full_layers"]]
    better = (below["accuracy"] > below["cut_accuracy"]).sum()
    print(f"folded beats cut only, on test, at {better} of {len(below)} depths below the full one")
    print(f"folding all depths took at most {depths['fold_seconds'].max():.2f} s beside the passes")
    full = depths[depths["layers"] == depths["full_layers"]].set_index(CELL)["accuracy"]
    kept = depths.merge(table[[*CELL, "layers"]]).set_index(CELL)
    kept["of_full"] = kept["accuracy"] / full
    print(kept[["layers", "cut_accuracy", "accuracy", "of_full"]].round(3).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
