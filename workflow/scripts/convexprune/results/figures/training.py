"""Training curves of full, pruned and swept models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from convexprune.results.figures import style

# Kind -> its name in the legend, and the look of its lines.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "sweep": ("sweep", {"linewidth": 0.6}),
    "pruned": ("kept by the plan", {"linewidth": 1.2, "linestyle": (0, (3, 1))}),
    "full": ("full model", {"linewidth": 1.2}),
}
QUANTITIES = {"loss": "training loss", "validation_accuracy": "validation\naccuracy (%)"}
KEPT = {"linestyle": "none", "marker": "o", "markersize": 3, "markeredgecolor": "black"}
DEPTHS = ListedColormap(matplotlib.colormaps["viridis_r"](np.linspace(0.12, 1, 256)))  # no pale yellow


def tabulate(logs: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Training curves: a row per task, model, layers, seed and evaluation.

    `logs` are the training logs of results/README.md, one below the other. `kind` is `full`, `pruned` (as
    planned) or `sweep`. `loss` is the mean cross-entropy on the training split since the last evaluation;
    `validation_accuracy` is in %. `kept`: the model has the weights of this step, the first of the best.
    """
    table = logs.merge(plan[["task", "model", "full_layers"]])
    table["kind"] = style.name_runs(table, plan)
    table["validation_accuracy"] = 100 * table["eval_accuracy"]
    run = ["task", "model", "layers", "seed"]
    table = table.sort_values([*run, "step"], ignore_index=True)
    table["kept"] = table.index.isin(table.groupby(run)["validation_accuracy"].idxmax())
    return table[[*run, "full_layers", "kind", "step", *QUANTITIES, "kept"]]


def draw(*, logs: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str]) -> tuple[Figure, pd.DataFrame]:
    """Training loss and validation accuracy by step: two rows of panels per task, a column per model.

    A line is a run; its colour is the share of the layers that it keeps.
    """
    data = tabulate(logs, plan)
    tasks = style.in_order(task for task in plan["task"] if task in set(data["task"]))
    rows = [(task, quantity) for task in tasks for quantity in QUANTITIES]
    width = style.fit_columns(len(models), 1.4)
    panel = (width - 1) / len(models)
    with style.drawing(models):
        figure = Figure((width, 1.1 * len(rows) + 1), layout="constrained")
        grid = figure.subplots(len(rows), len(models), sharex=True, sharey="row", squeeze=False)
        for (task, quantity), axes in zip(rows, grid, strict=True):
            for model, ax in zip(models, axes, strict=True):
                runs = data[(data["task"] == task) & (data["model"] == model)]
                _draw_runs(ax, runs, quantity)
            axes[0].set_ylabel(f"{task}\n{QUANTITIES[quantity]}")
            if quantity == "loss":
                style.set_logarithmic(axes[0], "y", data["loss"][data["task"] == task])
            else:
                style.stretch_accuracy(axes[0])
        figure.align_ylabels(grid[:, 0])
        for model, ax in zip(models, grid[0], strict=True):
            ax.set_title(style.wrap(model, panel - 0.12), loc="left")
        grid[0, 0].xaxis.set_major_locator(MaxNLocator(2 if panel < 1 else 4, integer=True))
        grid[0, 0].xaxis.set_major_formatter(
            FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}")
        )
        bar = figure.colorbar(ScalarMappable(cmap=DEPTHS), ax=grid, aspect=40, pad=0.01)
        bar.set_label("layers kept, share of the full model")
        handles = [
            Line2D([], [], color="black", label=name, **form)
            for kind, (name, form) in KINDS.items()
            if kind in set(data["kind"])
        ]
        handles.append(Line2D([], [], color="grey", label="weights kept", **KEPT))
        style.add_legend(figure, handles, "training step")
    return figure, data


def _draw_runs(ax: Axes, runs: pd.DataFrame, quantity: str) -> None:
    """Draw the runs of one model and task: the sweep below, the full model on top."""
    for kind, (_, form) in KINDS.items():
        for (layers, full_layers, _), run in runs[runs["kind"] == kind].groupby(
            ["layers", "full_layers", "seed"]
        ):
            run = run.dropna(subset=quantity)
            colour = DEPTHS(layers / full_layers)
            ax.plot(run["step"], run[quantity], color=colour, **form)
            if quantity == "validation_accuracy" and kind != "sweep":
                best = run[run["kept"]]
                ax.plot(best["step"], best[quantity], color=colour, **KEPT)
    ax.grid(axis="y", linewidth=0.3, color="silver")
    ax.set_axisbelow(True)
