"""Who pays for the pruning: recall of classes against their convexity, and change of accuracy by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexprune.results.figures import lettering, style

SIGNIFICANT = 0.05  # of p_holm
NAMED = 3  # groups of a panel at most
LONGEST = 12  # letters of a group's name
SHOWN = ("full", "pruned", "change", "convexity")  # in %


def tabulate(groups: pd.DataFrame) -> pd.DataFrame:
    """The groups' table of results/README.md in % and points; `significant`: the change is, after Holm."""
    data = groups.assign(
        **{name: 100 * groups[name] for name in SHOWN}, significant=groups["p_holm"] < SIGNIFICANT
    )
    names = ("model", "task", "layers", "seed", "kind", "group", "n_items", *SHOWN, "p_holm", "significant")
    return data[list(names)]


def draw(
    *, groups: pd.DataFrame, correlations: pd.DataFrame, models: Sequence[str]
) -> tuple[Figure, pd.DataFrame]:
    """A row of panels per task: recall of the pruned model against convexity; change by class, by speaker.

    A point is a group of a model. A filled one has changed significantly; the greatest such are named.
    """
    data = tabulate(groups)
    tasks = style.in_order(data["task"])
    kinds = [kind for kind in ("class", "speaker") if kind in set(data["kind"])]
    looks = style.find_looks(models, data)
    with style.drawing([*models, *data["group"][data["significant"]]]):
        width = style.PAGE if len(kinds) == 2 else style.PAGE * 2 / 3
        figure = Figure((width, 2.1 * len(tasks) + 0.5), layout="constrained")
        grid = figure.subplots(len(tasks), 1 + len(kinds), squeeze=False)
        changed = {}
        for task, axes in zip(tasks, grid, strict=True):
            of_task = data[data["task"] == task]
            _draw_recall(axes[0], of_task[of_task["kind"] == "class"], looks)
            axes[0].set_title(f"{task}{_range_of_rho(correlations, task)}", loc="left")
            for kind, ax in zip(kinds, axes[1:], strict=True):
                changed[task, kind] = ax, of_task[of_task["kind"] == kind]
                _draw_changes(*changed[task, kind], kind, looks)
        marks = {"significant change": {}, "not significant": style.HOLLOW}
        handles = [
            Line2D([], [], label=label, color="black", marker="o", **style.POINT | look)
            for label, look in marks.items()
        ]
        style.add_legend(figure, [*style.model_handles(looks), *handles])
        for ax, shown in changed.values():
            named = shown[shown["significant"]].sort_values("change", key=abs, ascending=False)[:NAMED]
            texts = zip(_mean(named), named["change"], named["group"], named["model"], strict=True)
            style.label_points(
                ax, [(x, y, lettering.cut(name, LONGEST), looks[m]["color"]) for x, y, name, m in texts]
            )
    return figure, data


def _draw_recall(ax: Axes, classes: pd.DataFrame, looks: Mapping[str, Mapping[str, str]]) -> None:
    """Recall of each class in the pruned model against its convexity in the pretrained one."""
    for model, points in classes.groupby("model", sort=False):
        ax.plot(points["convexity"], points["pruned"], **looks[model], **style.POINT, alpha=0.8)
    ax.set_xlabel("convexity of the class (%)")
    ax.set_ylabel("recall of the pruned model (%)")


def _draw_changes(ax: Axes, groups: pd.DataFrame, kind: str, looks: Mapping[str, Mapping[str, str]]) -> None:
    """Change of accuracy of each group; significant ones are filled, and on top.

    Against the mean of both models: against the full one, chance alone would let the points fall.
    """
    if groups.empty:
        ax.set_axis_off()
        return
    ax.margins(0.12)  # room for names
    ax.axhline(0, color=style.GREY, linewidth=0.6, zorder=0)
    for (model, significant), points in groups.groupby(["model", "significant"], sort=False):
        look = {"zorder": 3} if significant else style.HOLLOW
        ax.plot(_mean(points), points["change"], **looks[model], **style.POINT, **look)
    ax.set_xlabel(f"{'recall' if kind == 'class' else 'accuracy'}, mean of both (%)")
    ax.set_ylabel("change by pruning (points)")
    ax.set_title({"class": "by class", "speaker": "by speaker"}[kind], loc="left")


def _mean(groups: pd.DataFrame) -> pd.Series:
    return (groups["full"] + groups["pruned"]) / 2


def _range_of_rho(correlations: pd.DataFrame, task: str) -> str:
    """The rank correlations of convexity and recall of the task's models, to follow its name."""
    found = correlations[(correlations["relation"] == "class convexity") & (correlations["task"] == task)]
    rho = found["rho"].dropna()
    if rho.empty:
        return ""
    low, high = (f"{value:.2f}" for value in (rho.min(), rho.max()))
    return f", ρ = {low}" if low == high else f", ρ = {low} to {high}"
