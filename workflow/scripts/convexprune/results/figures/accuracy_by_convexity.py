"""Accuracy after pruning at each layer against the convexity of that layer: the paper's Figure 2."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexprune.results.figures import style

BEST = {"linestyle": "none", "marker": "*", "markersize": 8.5, "markeredgecolor": "black", "mew": 0.4}


def tabulate(
    convexity: pd.DataFrame,
    finetuning: pd.DataFrame,
    folding: pd.DataFrame,
    models: Sequence[str],
    task: str,
    average: str,
) -> pd.DataFrame:
    """Accuracy of `models` for `task` at each depth, and the pretrained model's convexity there.

    A row per model, `kind` (trained: fine-tuned with so many layers; folded: the full model, folded to so
    many) and depth, in %: `score` and `stderr`, the convexity of the dataset of the task's name and
    its error; `accuracy`, its `sigma` and its `spread`, the standard deviation over `seeds` runs (missing
    for one). Raises ValueError if there are no rows.
    """
    convexity = style.in_percent(convexity, average)
    pretrained = convexity[(convexity["state"] == "pretrained") & (convexity["dataset"] == task)]
    tables = {"trained": finetuning, "folded": folding}
    runs = pd.concat([style.average_runs(table).assign(kind=kind) for kind, table in tables.items()])
    runs = runs[(runs["task"] == task) & runs["model"].isin(models)]
    points = runs.merge(pretrained[["model", "layers", "score", "stderr"]], on=["model", "layers"])
    if not (points["kind"] == "trained").any():
        raise ValueError(f"no model was both fine-tuned to {task} and scored on {task}: nothing to draw")
    return points


def draw(
    *,
    convexity: pd.DataFrame,
    finetuning: pd.DataFrame,
    folding: pd.DataFrame,
    models: Sequence[str],
    average: str,
    swept: Sequence[str],
    task: str,
) -> tuple[Figure, pd.DataFrame]:
    """Test accuracy after pruning against the pretrained model's convexity at that layer.

    A point is a depth at which a model of `swept` was fine-tuned to `task`. Error bars are the standard error
    of the convexity and the standard deviation of the accuracy over seeds (sigma for one seed). Dotted
    curves are full models, folded to each depth.
    """
    data = tabulate(convexity, finetuning, folding, swept, task, average)
    with style.drawing(models):
        figure = Figure((style.WIDTH, 3.6), layout="constrained")
        ax = figure.subplots()
        labels = []
        looks = style.find_looks(models, data)
        for model, look in looks.items():
            own = data[data["model"] == model].sort_values("layers")
            curve, folded = (own[own["kind"] == kind] for kind in ("trained", "folded"))
            pruned = curve[curve["layers"] < curve["full_layers"]]
            best = pruned.nlargest(1, "accuracy")
            error = curve["spread"].fillna(curve["sigma"])
            bars = {"xerr": curve["stderr"], "yerr": error, "elinewidth": 0.5, "linewidth": 0.4}
            faint = style.mixed(look["color"], "white")
            ax.errorbar(curve["score"], curve["accuracy"], color=faint, **bars, zorder=1)
            ax.plot(folded["score"], folded["accuracy"], color=look["color"], **style.FOLDED)
            for chosen, form in (
                (pruned.drop(best.index), look | style.POINT),
                (curve.drop(pruned.index), look | style.POINT | style.HOLLOW),
                (best, look | BEST),
            ):
                ax.plot(chosen["score"], chosen["accuracy"], **form)
            labels += [
                (row.score, row.accuracy, str(row.layers), look["color"]) for row in curve.itertuples()
            ]
        style.stretch_accuracy(ax)
        ax.set_xlabel(f"convexity of {task} in the pretrained model (%)")
        ax.set_ylabel(f"test accuracy, {task} (%)")
        handles = style.model_handles(looks)
        handles += [
            Line2D([], [], color="silver", label="best pruned model", **BEST),
            Line2D([], [], color="black", marker="o", label="full model", **style.POINT, **style.HOLLOW),
            Line2D([], [], color="grey", label="folded, not trained", **style.FOLDED),
        ]
        title = "numbers: layers kept (the paper's + 1)"
        style.add_legend(figure, handles, title)
        style.label_points(ax, labels)
    return figure, data
