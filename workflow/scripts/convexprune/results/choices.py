"""Does convexity choose well? Over a sweep, compare the layers that it picks with those that others pick.

A choice is judged by the test accuracy of the model fine-tuned with that many layers. So only trained depths
(those of the sweep, the planned and the full one) can be chosen. If no trained depth meets a rule, the one
with the highest score is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from convexprune.convexity import averages
from convexprune.results import benchmarks, markdown_tables
from convexprune.results.table1_text import title_of

CHOICES = (
    *("plan", "convexity", "highest convexity", "linear probe", "folded model"),
    *("middle layer", "no pruning", "whole sweep", "best on test"),
)
CHOICE_COLUMNS = ["task", "model", "choice", "layers", "full_layers", "accuracy", "sigma", "spread", "lost"]
CHOICE_COLUMNS += ["seconds", "multiply_adds"]
SOURCES = ("finetuning", "convexity", "plan", "costs", "timing", "folding", "criteria")
JUDGES = ("embed", "score_convexity")  # rules whose time may count for a choice


def average_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """The fine-tuning runs of one model and task by layers: means over seeds, `spread` their deviation."""
    return runs.groupby("layers").agg(
        accuracy=("accuracy", "mean"),
        sigma=("sigma", "mean"),
        spread=("accuracy", "std"),
        validation_accuracy=("validation_accuracy", "mean"),
    )


def pick_layers(
    runs: pd.DataFrame,
    scores: pd.Series,
    probe: pd.DataFrame,
    folded: pd.Series,
    planned: int,
    full: int,
    tolerance: float,
) -> dict[str, int]:
    """The layers, one or more, of each of CHOICES.

    For one model and task, all by layers: `runs` (`average_seeds`), the pretrained model's convexity
    `scores`, the accuracy and stderr of a linear `probe`, the validation accuracy of the `folded` model.

    - plan: the `planned` layers, which the pruned model of Table 1 keeps;
    - convexity: the fewest layers whose convexity is within `tolerance` of the highest;
    - highest convexity: the fewest layers with the highest convexity;
    - linear probe: the fewest layers whose probe is within one standard error of the most accurate;
    - folded model: the fewest layers with which the full model, folded, is within `tolerance` of itself;
    - middle layer: the trained depth nearest half of the layers, the lower of two;
    - no pruning: all `full` layers;
    - whole sweep: the most accurate on the validation split;
    - best on test: the upper bound, not a valid choice, since it uses test labels.
    """
    trained, scores, probe = runs.loc[1:], scores.loc[1:], probe.loc[1:]
    best_probe = probe.loc[probe["accuracy"].idxmax()]

    def fewest(judged: pd.Series, threshold: float) -> int:
        of_trained = judged.reindex(trained.index)
        met = of_trained.index[of_trained >= threshold]
        return int(met[0] if len(met) else of_trained.idxmax())

    return {
        "plan": planned,
        "convexity": fewest(scores, scores.max() - tolerance),
        "highest convexity": fewest(scores, scores.max()),
        "linear probe": fewest(probe["accuracy"], best_probe["accuracy"] - best_probe["stderr"]),
        "folded model": fewest(folded, folded[full] - tolerance),
        "middle layer": int(trained.index[np.abs(2 * trained.index - full).argmin()]),
        "no pruning": full,
        "whole sweep": int(trained["validation_accuracy"].idxmax()),
        "best on test": int(trained["accuracy"].idxmax()),
    }


def study_choices(
    sources: Mapping[str, pd.DataFrame],
    seconds: pd.DataFrame,
    models: Mapping[str, Sequence[str]],
    average: str,
    tolerance: float,
) -> pd.DataFrame:
    """The cost of each of CHOICES (`pick_layers`): a row per task, model and choice.

    `models` are the swept models of each task, `sources` the tables SOURCES of results/README.md, and
    `seconds` is that of `read_seconds`. Columns: `lost` is the accuracy of `best on test` less that of this
    choice, means over seeds, 0 to 1. `seconds` is the time until the layers are known: that of embedding and
    judging, or that of the training steps (`time_training`) at each depth of 1 or more, with every seed. For
    the folded model it is that of training the full one and of folding it, with every seed. A linear probe
    takes the seconds that `criteria` has for it. `multiply_adds` are those of the chosen model for a clip.

    Raises ValueError if only the full depth was trained, and for an unknown `average`.
    """
    rows = []
    finetuning, convexity, plan, costs, timing, folding, criteria = (sources[name] for name in SOURCES)
    pretrained = convexity[convexity["state"] == "pretrained"].rename(columns={"dataset": "task"})
    probes = criteria[criteria["criterion"] == "linear probe"].rename(columns={"dataset": "task"})
    for task, model in [(task, model) for task, names in models.items() for model in names]:
        runs, scores, probed, planned, counted, timed, folds = (
            table[(table["task"] == task) & (table["model"] == model)].set_index("layers").sort_index()
            for table in (finetuning, pretrained, probes, plan, costs, timing, folding)
        )
        training, full = time_training(runs["steps"], timed), int(counted.index.max())
        trained = training.loc[1:].sum()
        folded = training.loc[[full]].sum() + folds.loc[[full], ["pass_seconds", "fold_seconds"]].sum(
            axis=None
        )
        runs = average_seeds(runs)
        accuracy = probed["value"]
        stderr = np.sqrt(accuracy * (1 - accuracy) / scores["n_items"])
        picks = pick_layers(
            runs,
            scores[averages.COLUMNS[average].score],
            pd.DataFrame({"accuracy": accuracy, "stderr": stderr}),
            folds.groupby("layers")["validation_accuracy"].mean(),
            int(planned.index[0]),
            full,
            tolerance,
        )
        embed, score = seconds.loc[(model, task), list(JUDGES)]
        time = dict.fromkeys(CHOICES[:3], embed + score)
        time["linear probe"] = embed + probed["seconds"].sum()
        time["folded model"] = folded
        time |= dict.fromkeys(CHOICES[-2:], trained)
        for choice, layers in picks.items():
            chosen = runs.loc[layers, ["accuracy", "sigma", "spread"]]
            lost = runs.loc[picks["best on test"], "accuracy"] - chosen["accuracy"]
            cost = (time.get(choice, 0.0), counted.loc[layers, "multiply_adds"])
            rows.append((task, model, choice, layers, full, *chosen, lost, *cost))
    return pd.DataFrame(rows, columns=CHOICE_COLUMNS)


def time_training(steps: pd.Series, timing: pd.DataFrame) -> pd.Series:
    """Seconds of training runs by layers: the `steps` of each times the measured seconds of a step.

    `timing` is that of one model and task, by layers. The seconds of a step are the full model's (the median
    over its measurements) times the ratio measured for these layers, like the latency in the figure of
    trade-offs.
    """
    ratios = timing["step_ratio_median"].copy()
    ratios[timing["full_layers"].iloc[0]] = 1.0
    return steps * timing["step_full_median"].median() * ratios.reindex(steps.index)


def read_seconds(
    folder: str | os.PathLike[str], models: Mapping[str, Sequence[str]], embedded: Mapping[str, str]
) -> pd.DataFrame:
    """Wall time of the jobs JUDGES of each swept (model, task), from the benchmark files in `folder`.

    `embedded` names the dataset whose embeddings a task has.
    """

    def read(rule: str, model: str, task: str) -> float:
        name = embedded[task] if rule == "embed" else task
        path = Path(folder) / rule / model / "pretrained" / f"{name}.tsv"
        return benchmarks.read_benchmark(path)["s"].iloc[-1] if path.exists() else np.nan

    pairs = [(model, task) for task, names in models.items() for model in names]
    return pd.DataFrame(
        [[read(rule, *pair) for rule in JUDGES] for pair in pairs],
        index=pd.MultiIndex.from_tuples(pairs),
        columns=JUDGES,
    )


NOTES = (
    "Each cell: layers kept, and the test accuracy (%) of the model fine-tuned with them, mean over seeds.",
    "Lost: percentage points below the best trained depth of one layer or more, mean over models.",
    "Time: until the layers are known, mean over models: of the jobs that embed and judge, by the clock, or "
    "of the training steps at every depth, by the time of a step that ran alone. The first is too long where "
    "other jobs ran beside them, the second too short, for evaluations are not counted. Of the folded model: "
    "of the training steps of the full one, and of folding it, by the clock.",
    "GMAC: billions of multiply-adds that the chosen model takes for a clip, mean over models.",
    "The plan: what Table 1 keeps. Convexity: the fewest layers within {tolerance:g} of the highest "
    "convexity. Linear probe: the fewest within one standard error of the best probe. Folded model: the "
    "fewest with which the full model, folded, is within {tolerance:g} of itself on the validation split. "
    "Middle layer: the trained depth nearest it. The whole sweep: the best on the validation split. Best on "
    "test: by which no one may choose.",
)


def markdown(choices: pd.DataFrame, tolerance: float) -> str:
    """The table of `study_choices` as Markdown to read in a terminal: a table per task."""
    lines = ["# Does convexity choose well?", ""]
    for task, rows in choices.groupby("task", sort=False):
        models = list(rows["model"].unique())
        cells = []
        for choice in CHOICES:
            of_choice = rows[rows["choice"] == choice].set_index("model").loc[models]
            picked = (f"{row.layers}: {100 * row.accuracy:.2f}" for row in of_choice.itertuples())
            lost, time = f"{100 * of_choice['lost'].mean():.2f}", _duration(of_choice["seconds"].mean())
            cells.append([choice, *picked, lost, time, f"{of_choice['multiply_adds'].mean() / 1e9:.2f}"])
        headings = ("choice", *models, "lost", "time", "GMAC")
        lines += [f"## {title_of(task)}", "", markdown_tables.render(headings, cells), ""]
    notes = (markdown_tables.item(note.format(tolerance=tolerance)) for note in NOTES)
    return "\n".join([*lines, *notes]) + "\n"


def _duration(seconds: float) -> str:
    """Seconds as h:mm:ss, or nothing if unknown."""
    if np.isnan(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
