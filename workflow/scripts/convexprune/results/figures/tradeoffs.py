"""Accuracy of full, pruned and swept models against the costs of running them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexprune.results.figures import style

COSTS = {  # cost -> its axis, and the factor for its column
    "latency": ("inference time of a clip (ms)", 1e3),
    "bytes": ("size on disk (MB)", 1e-6),
    "multiply_adds": ("multiply-adds for a clip (G)", 1e-9),
}
# Kind -> its name in the legend, and the look of its points. Colour and form are the model's.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("full model", {"markersize": 4.5, "markerfacecolor": "white"}),
    "pruned": ("kept by the plan", {"markersize": 4.5, "markeredgecolor": "black"}),
    "sweep": ("sweep", {"markersize": 2.5}),
}
FRONT = {"color": "grey", "linewidth": 0.8, "linestyle": (0, (3, 1)), "drawstyle": "steps-post", "zorder": 1}


def tabulate(
    finetuning: pd.DataFrame,
    costs: pd.DataFrame,
    timing: pd.DataFrame,
    plan: pd.DataFrame,
    folding: pd.DataFrame,
) -> pd.DataFrame:
    """Accuracy and costs of the fine-tuned models: a row per task, model, kind, layers and `cost` of COSTS.

    The tables are those of results/README.md. `kind` is `full`, `pruned` (as planned), `sweep`, or `folded`:
    the full model, folded to so many layers, which is never on the front.
    `accuracy`, `sigma` and `spread` are in %: means and deviation over `seeds` runs. `value` is the cost:
    `latency` in ms, `bytes` in MB, `multiply_adds` in billions. Latency is that of the full model (the median
    over all its measurements) times the ratio measured for these layers (`ratio_median`). Both models were
    timed in turn, so other work on the machine hardly changes the ratio. `disturbed`: other work may have
    falsified the latency. `front`: no model of the task is at least as accurate for less, nor more accurate
    at the same cost.
    """
    key = ["task", "model"]
    runs = style.average_runs(finetuning)
    runs["kind"] = style.name_runs(runs, plan)
    folded = style.average_runs(folding).assign(kind="folded")
    full = timing.groupby([*key, "full_layers"], as_index=False).agg(
        latency=("full_median", "median"), disturbed=("disturbed", "any")
    )
    full = full.rename(columns={"full_layers": "layers"})
    others = timing[timing["layers"] < timing["full_layers"]].merge(full[[*key, "latency"]], on=key)
    others["latency"] *= others["ratio_median"]
    latency = pd.concat([full, others])[[*key, "layers", "latency", "disturbed"]]
    counted = costs[[*key, "layers", "bytes", "multiply_adds"]]
    points = pd.concat([runs, folded]).merge(counted).merge(latency, how="left")
    names = [column for column in points if column not in COSTS]
    table = points.melt(names, list(COSTS), var_name="cost").dropna(subset="value")
    table["value"] *= table["cost"].map({cost: factor for cost, (_, factor) in COSTS.items()})
    table["disturbed"] = table["disturbed"].eq(True) & (table["cost"] == "latency")
    trained = table[table["kind"] != "folded"]
    fronts = pd.concat([find_front(group) for _, group in trained.groupby(["task", "cost"], sort=False)])
    table["front"] = fronts.reindex(table.index, fill_value=False)
    return table.sort_values(["task", "cost", "model", "layers"])


def find_front(points: pd.DataFrame) -> pd.Series:
    """Which of `points` (value, accuracy) are on the Pareto front: no other is better in one and as good in
    the other."""
    order = points.sort_values(["value", "accuracy"], ascending=[True, False])
    before = order["accuracy"].cummax().shift()  # missing for the first
    return (~(order["accuracy"] <= before)).reindex(points.index)


def draw(
    *,
    finetuning: pd.DataFrame,
    costs: pd.DataFrame,
    timing: pd.DataFrame,
    plan: pd.DataFrame,
    folding: pd.DataFrame,
    models: Sequence[str],
) -> tuple[Figure, pd.DataFrame]:
    """Test accuracy against each of COSTS, a row of panels per task.

    The Pareto front is dashed, folded models are dotted. Numbers are the layers kept by the models on it.
    """
    data = tabulate(finetuning, costs, timing, plan, folding)
    tasks = style.in_order(task for task in plan["task"] if task in set(data["task"]))
    looks = style.find_looks(models, data)
    with style.drawing(models):
        figure = Figure((style.PAGE, 2.1 * len(tasks) + 0.7), layout="constrained")
        grid = figure.subplots(len(tasks), len(COSTS), sharex="col", sharey="row", squeeze=False)
        for task, axes in zip(tasks, grid, strict=True):
            for cost, ax in zip(COSTS, axes, strict=True):
                points = data[(data["task"] == task) & (data["cost"] == cost)]
                for model, look in looks.items():
                    _draw_model(ax, points[points["model"] == model].sort_values("layers"), look)
                front = points[points["front"]].sort_values("value")
                ax.plot(front["value"], front["accuracy"], **FRONT)
            style.stretch_accuracy(axes[0])
            axes[0].set_ylabel(f"test accuracy, {task} (%)")
        for cost, ax in zip(COSTS, grid[-1], strict=True):
            ax.set_xlabel(COSTS[cost][0])
            style.set_logarithmic(ax, "x", data["value"][data["cost"] == cost])
        handles = [
            *style.model_handles(looks),
            *(
                Line2D([], [], ls="none", marker="o", color="grey", label=name, **form)
                for kind, (name, form) in KINDS.items()
                if kind in set(data["kind"])
            ),
            Line2D([], [], label="Pareto front", **FRONT),
            Line2D([], [], color="grey", label="folded, not trained", **style.FOLDED),
        ]
        style.add_legend(figure, handles, "numbers: layers kept (the paper's + 1)")
        for task, axes in zip(tasks, grid, strict=True):
            for cost, ax in zip(COSTS, axes, strict=True):
                points = data[(data["task"] == task) & (data["cost"] == cost) & data["front"]]
                texts = zip(
                    points["value"], points["accuracy"], points["layers"], points["model"], strict=True
                )
                style.label_points(ax, [(x, y, str(k), looks[model]["color"]) for x, y, k, model in texts])
    return figure, data


def _draw_model(ax: Axes, points: pd.DataFrame, look: dict[str, str]) -> None:
    """Draw one model's depths, joined in order, with the errors of their accuracies."""
    folded = points[points["kind"] == "folded"]
    ax.plot(folded["value"], folded["accuracy"], color=look["color"], **style.FOLDED)
    points = points[points["kind"] != "folded"]
    error = points["spread"].fillna(points["sigma"])
    faint = style.mixed(look["color"], "white")
    bars = {"elinewidth": 0.5, "linewidth": 0.4, "zorder": 1}
    ax.errorbar(points["value"], points["accuracy"], yerr=error, color=faint, **bars)
    for kind, (_, form) in KINDS.items():
        of_kind = points[points["kind"] == kind]
        ax.plot(of_kind["value"], of_kind["accuracy"], linestyle="none", **look | form)
