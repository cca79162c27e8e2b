"""Does convexity choose well? The layers that it picks over a sweep against those that others pick.

A choice is judged by the test accuracy of the model fine-tuned with that many layers, so only trained depths
(the sweep, the planned and the full one) can be chosen. A rule that no trained depth meets takes the
trained depth with the highest score.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from convexprune import averages, markdown_tables, tables

CHOICES = (
    *("plan", "convexity", "highest convexity", "linear probe"),
    *("middle layer", "no pruning", "whole sweep", "best on test"),
)
CHOICE_COLUMNS = ["task", "model", "choice", "layers", "full_layers", "accuracy", "sigma", "spread", "lost"]
CHOICE_COLUMNS += ["seconds", "multiply_adds"]
JUDGES = ("embed", "score_convexity", "probe_layers")  # rules whose time a choice may cost


def average_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """The fine-tuning runs of one model and task by layers: means over seeds, `spread` their deviation."""
    return runs.groupby("layers").agg(
        accuracy=("accuracy", "mean"),
        sigma=("sigma", "mean"),
        spread=("accuracy", "std"),
        validation_accuracy=("validation_accuracy", "mean"),
    )


def pick_layers(
    runs: pd.DataFrame, scores: pd.Series, probe: pd.DataFrame, planned: int, full: int, tolerance: float
) -> dict[str, int]:
    """The layers, one or more, of each of CHOICES.

    All by layers, of one model and task: `runs` (`average_seeds`), the pretrained model's convexity
    `scores`, the accuracy and stderr of a linear `probe`.

    - plan: `planned`, what the pruned model of Table 1 keeps; no pruning: all `full` layers;
    - convexity: the fewest layers whose convexity is within `tolerance` of the highest, and that one;
    - linear probe: the fewest layers whose probe is within one standard error of the most accurate;
    - middle layer: the trained depth nearest half of the layers, the lower of two;
    - whole sweep: the most accurate on the validation split; best on test: by which no one may choose.
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
        "middle layer": int(trained.index[np.abs(2 * trained.index - full).argmin()]),
        "no pruning": full,
        "whole sweep": int(trained["validation_accuracy"].idxmax()),
        "best on test": int(trained["accuracy"].idxmax()),
    }


def study_choices(
    finetuning: pd.DataFrame,
    convexity: pd.DataFrame,
    plan: pd.DataFrame,
    costs: pd.DataFrame,
    probes: pd.DataFrame,
    seconds: pd.DataFrame,
    models: Mapping[str, Sequence[str]],
    average: str,
    tolerance: float,
) -> pd.DataFrame:
    """What each of CHOICES (`pick_layers`) costs, a row a task, model and choice.

    `models` are the swept models of each task; the tables are those of results/README.md, and `seconds` is
    that of `read_seconds`. `lost` is the best choice's accuracy less this one's, means over seeds, 0 to 1.
    `seconds` is the time until the layers are known: of embedding and judging, or of training the model at
    each depth of 1 or more, with every seed. `multiply_adds` are what the chosen model takes for one second
    of audio.

    Raises ValueError where no depth but the full one was trained, and for an unknown `average`.
    """
    rows = []
    pretrained = convexity[convexity["state"] == "pretrained"].rename(columns={"dataset": "task"})
    for task, model in [(task, model) for task, names in models.items() for model in names]:
        runs, scores, probe, planned, counted = (
            table[(table["task"] == task) & (table["model"] == model)].set_index("layers").sort_index()
            for table in (finetuning, pretrained, probes, plan, costs)
        )
        trained = runs.loc[1:, "training_time"].sum()
        runs, full = average_seeds(runs), int(counted.index.max())
        picks = pick_layers(
            runs, scores[averages.COLUMNS[average].score], probe, int(planned.index[0]), full, tolerance
        )
        embed, score, probing = seconds.loc[(model, task), list(JUDGES)]
        time = dict.fromkeys(CHOICES[:3], embed + score) | {"linear probe": embed + probing}
        time |= dict.fromkeys(CHOICES[-2:], trained)
        for choice, layers in picks.items():
            chosen = runs.loc[layers, ["accuracy", "sigma", "spread"]]
            lost = runs.loc[picks["best on test"], "accuracy"] - chosen["accuracy"]
            cost = (time.get(choice, 0.0), counted.loc[layers, "multiply_adds"])
            rows.append((task, model, choice, layers, full, *chosen, lost, *cost))
    return pd.DataFrame(rows, columns=CHOICE_COLUMNS)


def read_seconds(benchmarks: str | os.PathLike[str], models: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Wall time of the jobs JUDGES of each swept (model, task) by Snakemake's benchmark files, if there."""

    def read(rule: str, model: str, task: str) -> float:
        state = "" if rule == "probe_layers" else "pretrained"
        path = Path(benchmarks) / rule / model / state / f"{task}.tsv"
        return pd.read_csv(path, sep="\t")["s"].iloc[-1] if path.exists() else np.nan

    pairs = [(model, task) for task, names in models.items() for model in names]
    return pd.DataFrame(
        [[read(rule, *pair) for rule in JUDGES] for pair in pairs],
        index=pd.MultiIndex.from_tuples(pairs),
        columns=JUDGES,
    )


NOTES = (
    "Each cell: layers kept, and the test accuracy (%) of the model fine-tuned with them, mean over seeds.",
    "Lost: percentage points below the best trained depth of one layer or more, mean over models.",
    "Time: until the layers are known, mean over models: of embedding and judging, or of training at every "
    "depth.",
    "GMAC: billions of multiply-adds that the chosen model takes for a second of audio, mean over models.",
    "The plan: what Table 1 keeps. Convexity: the fewest layers within {tolerance:g} of the highest "
    "convexity. Linear probe: the fewest within one standard error of the best probe. Middle layer: the "
    "trained depth nearest it. The whole sweep: the best on the validation split. Best on test: by which "
    "no one may choose.",
)


def markdown(choices: pd.DataFrame, tolerance: float) -> str:
    """The table of `study_choices` as Markdown to read in a terminal: a table a task."""
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
        lines += [f"## {tables.TITLES[task]}", "", markdown_tables.render(headings, cells), ""]
    notes = (
        textwrap.fill("- " + note.format(tolerance=tolerance), width=104, subsequent_indent="  ")
        for note in NOTES
    )
    return "\n".join([*lines, *notes]) + "\n"


def _duration(seconds: float) -> str:
    """Seconds as h:mm:ss, or nothing if they are not known."""
    if np.isnan(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
