"""All criteria by layer, each scaled to its range, with the layers that each would keep."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from convexprune.criteria import footing
from convexprune.results.choices import JUDGES, collect_goodness
from convexprune.results.figures import lettering, style

ROW = 0.12  # inches: the height of a criterion
# Those that need labels first.
ORDER = sorted(JUDGES, key=lambda name: not JUDGES[name].labels)
KEPT = {"linestyle": "none", "marker": "o", "markersize": 3, "color": "black", "markerfacecolor": "white"}
BEST = {"linestyle": (0, (1, 1)), "color": style.RED, "linewidth": 1.2}


def tabulate(
    criteria: pd.DataFrame, folding: pd.DataFrame, choices: pd.DataFrame | None, models: Sequence[str]
) -> pd.DataFrame:
    """Every criterion of every task in the pretrained `models`, a row per layers from 1 on.

    `criteria`, `folding` and `choices` (with a sweep) are the tables of results/README.md. Columns beside
    `task`, `model`, `criterion` and `layers`: `scaled`, the value from 0, the worst of these layers, to 1,
    the best (all 1 if equal); `kept`: the criterion keeps these layers (`footing.fewest_near_best`);
    `best_on_test`: so many layers were the most accurate on test.
    """
    one = ["task", "model", "criterion"]
    table = collect_goodness(criteria, folding).rename(columns={"choice": "criterion"})
    table = table[table["model"].isin(models) & (table["layers"] > 0)].sort_values([*one, "layers"])
    goodness = table.groupby(one)["goodness"]
    low, high = goodness.transform("min"), goodness.transform("max")
    table["scaled"] = ((table["goodness"] - low) / (high - low)).where(high > low, 1.0)
    kept = table.set_index("layers").groupby(one)["goodness"].agg(footing.fewest_near_best)
    table = table.join(kept.rename("fewest"), on=one)
    table["kept"], table["best_on_test"] = table["layers"] == table["fewest"], False
    if choices is not None:
        best = choices[choices["choice"] == "best on test"].set_index(["task", "model"])["layers"]
        best = table[["task", "model"]].join(best, on=["task", "model"])["layers"]
        table["best_on_test"] = table["layers"] == best
    return table[[*one, "layers", "scaled", "kept", "best_on_test"]]


def draw(
    *,
    criteria: pd.DataFrame,
    folding: pd.DataFrame,
    models: Sequence[str],
    choices: pd.DataFrame | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """A row of heat maps per task, one map per model: criteria from top to bottom, layers across."""
    data = tabulate(criteria, folding, choices, models)
    tasks = style.in_order(data["task"])
    shown = {
        task: [name for name in ORDER if name in set(data["criterion"][data["task"] == task])]
        for task in tasks
    }
    heights = [ROW * len(names) for names in shown.values()]
    width = style.fit_columns(len(models) + 1, 1.1)  # the names of the criteria are as wide as a panel
    panel = (width - 2) / len(models)
    with style.drawing(models):
        figure = Figure((width, sum(heights) + 0.3 * len(tasks) + 1), layout="constrained")
        shared = {"sharex": "col", "sharey": "row", "squeeze": False, "height_ratios": heights}
        grid = figure.subplots(len(tasks), len(models), **shared)
        for task, axes in zip(tasks, grid, strict=True):
            for model, ax in zip(models, axes, strict=True):
                own = data[(data["task"] == task) & (data["model"] == model)]
                image = _draw_map(ax, own, shown[task])
            axes[0].set_yticks(
                range(len(shown[task])), [JUDGES[name].title for name in shown[task]], size=5.5
            )
            axes[0].set_ylabel(lettering.plain(task))
        for model, ax in zip(models, grid[0], strict=True):
            ax.set_title(style.wrap(model, panel - 0.12), loc="left")
            ax.xaxis.set_major_locator(MaxNLocator(max(2, int(panel / 0.25)), integer=True))
        figure.align_ylabels(grid[:, 0])
        label = "from the worst to the best layer"
        figure.colorbar(image, ax=grid, label=label, ticks=[0, 1], aspect=40, pad=0.01)
        handles = [Line2D([], [], label="kept by the criterion", **KEPT)]
        if data["best_on_test"].any():
            handles.append(Line2D([], [], label="best on test", **BEST))
        style.add_legend(figure, handles, title=f"{style.LAYERS}\nabove the line: criteria that need labels")
    return figure, data


def _draw_map(ax: Axes, data: pd.DataFrame, names: Sequence[str]) -> AxesImage:
    """Draw the criteria `names` of one task in one model; grey where there is no value."""
    scaled = data.pivot(index="criterion", columns="layers", values="scaled").reindex(names)
    colours = matplotlib.colormaps["GnBu"].with_extremes(bad="lightgrey")
    full = data["layers"].max()
    extent = (0.5, full + 0.5, len(names) - 0.5, -0.5)
    image = ax.imshow(scaled, cmap=colours, vmin=0, vmax=1, aspect="auto", extent=extent)
    kept = data[data["kept"]]
    for layers in data["layers"][data["best_on_test"]].unique():
        ax.axvline(layers, **BEST)
    ax.plot(kept["layers"], kept["criterion"].map(names.index), **KEPT)
    ax.axhline(sum(JUDGES[name].labels for name in names) - 0.5, color="black", linewidth=0.8)
    ax.tick_params(length=1.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return image
