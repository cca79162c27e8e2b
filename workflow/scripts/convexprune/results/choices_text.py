"""The choices of layers and the verdict, in Markdown to read in a terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convexprune.criteria import footing
from convexprune.results import markdown_tables, verdict
from convexprune.results.choices import BEST, FEWEST
from convexprune.results.table1_text import title_of

NOTES = (
    "Each criterion keeps the fewest layers, one or more, whose value is within {share:g} of its range of "
    "the best value. `Best`: the layers that have the best value, where they differ. Where these layers were "
    "not trained, the next deeper trained model counts.",
    "Lost: test accuracy, in percentage points below the best trained depth of one layer or more. Rank: "
    "Spearman's correlation of the criterion with test accuracy over the trained depths. Means over cells; a "
    "cell is a model, task and seed. In brackets: 95 % intervals, by a bootstrap of pairs of model and task, "
    "then of their seeds; none for fewer than six cells.",
    "Kept: the share of layers, mean over cells. A criterion may lose little because it keeps nearly all.",
    "Needs, beside embeddings: labels; the fine-tuned full model; every model of the sweep; or the labels of "
    "the test split, by which no one may choose.",
    "Time: until the layers are known, mean over models and tasks: of the jobs that embed and judge, by the "
    "clock, or of the training steps at every depth, by the time of a step that ran alone. The first is too "
    "long where other jobs ran beside them, the second too short, for evaluations are not counted. Of the "
    "folded model: of the training steps of the full one, and of folding it, by the clock.",
    "By task: layers kept, and the test accuracy (%) of the model fine-tuned with them, mean over seeds. "
    "GMAC: billions of multiply-adds that the chosen model takes for a clip, mean over models.",
    "The plan: what Table 1 keeps. Middle layer: the trained depth nearest it. Whole sweep: the best on the "
    "validation split.",
)


def write_markdown(choices: pd.DataFrame, judged: pd.DataFrame) -> str:
    """The sentence of the verdict, its table, then the table of `choices.average_seeds` per task.

    `judged` is the table of `verdict.judge`; the choices stand in its order everywhere.
    """
    lines = ["# Does convexity choose well?", "", markdown_tables.fill(verdict.conclude(judged)), ""]
    lines += [render_verdict(judged), ""]
    order = {key: place for place, key in enumerate(zip(judged["choice"], judged["rule"], strict=True))}
    for task, rows in choices.groupby("task", sort=False):
        lines += [f"## {title_of(task)}", "", render_task(rows, order), ""]
    notes = (markdown_tables.item(note.format(share=footing.SHARE)) for note in NOTES)
    return "\n".join([*lines, *notes]) + "\n"


def render_verdict(judged: pd.DataFrame) -> str:
    """A row per choice and rule: what it needs, loses, and takes."""
    cells = [
        [
            verdict.title_of(row["choice"], row["rule"]),
            _with_interval(row, "lost", 100),
            f"{100 * row['kept']:.0f} %",
            _with_interval(row, "rho", 1),
            *(row["needs"], _duration(row["seconds"]), row["cells"]),
        ]
        for _, row in judged.iterrows()
    ]
    headings = ("choice", "lost", "kept", "rank", "needs", "time", "cells")
    return markdown_tables.render(headings, cells, "lrrrl")


def render_task(choices: pd.DataFrame, order: dict[tuple[str, str], int]) -> str:
    """A row per choice and rule in `order`: layers and accuracy by model. Best values where they differ."""
    models = list(choices["model"].unique())
    keyed = choices.set_index(["choice", "rule"])
    cells = []
    for choice, rule in sorted(set(keyed.index) & set(order), key=order.__getitem__):
        rows = keyed.loc[[(choice, rule)]].set_index("model").reindex(models)
        if rule == BEST and rows["layers"].tolist() == keyed.loc[[(choice, FEWEST)], "layers"].tolist():
            continue
        picked = [
            "" if np.isnan(row.layers) else f"{row.layers:.0f}: {100 * row.accuracy:.2f}"
            for row in rows.itertuples()
        ]
        lost, compute = 100 * rows["lost"].mean(), rows["multiply_adds"].mean() / 1e9
        cells.append([verdict.title_of(choice, rule), *picked, f"{lost:.2f}", f"{compute:.2f}"])
    return markdown_tables.render(("choice", *models, "lost", "GMAC"), cells)


def _with_interval(row: pd.Series, name: str, scale: float) -> str:
    """A mean and its interval, as far as they are known."""
    if np.isnan(row[name]):
        return ""
    mean = f"{scale * row[name]:.2f}"
    if np.isnan(row[f"{name}_low"]):
        return mean
    return f"{mean} [{scale * row[f'{name}_low']:.2f}, {scale * row[f'{name}_high']:.2f}]"


def _duration(seconds: float) -> str:
    """Seconds as h:mm:ss, or nothing if unknown."""
    if np.isnan(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
