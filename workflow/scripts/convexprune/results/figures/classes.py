"""Convexity of each class by layer, in the pretrained models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.markers import CARETDOWN
from matplotlib.ticker import MaxNLocator

from convexprune.results.figures import lettering, style

LABELLED = 40  # with more classes, rows have no labels
ROW = 0.09  # inches: the height of a labelled row
UNLABELLED = 1.6  # inches: the height of all rows without labels
LONGEST = 12  # letters (half as many Chinese ones): longer labels are cut


def tabulate(classes: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Convexity of each class of each dataset, `score` in %, in the pretrained `models` by layer.

    `classes` are the tables by class of results/README.md, one below the other. `row` 0 of a dataset is the
    class with the highest mean over models and layers. `kept`: the plan keeps these layers for the task with
    the dataset's name.
    """
    classes = classes[(classes["state"] == "pretrained") & classes["model"].isin(models)]
    means = classes.groupby(["dataset", "label"], sort=False)["score"].mean()
    rows = means.groupby("dataset").rank(method="first", ascending=False, na_option="bottom") - 1
    table = classes.join(rows.astype(int).rename("row"), on=["dataset", "label"])
    kept = plan.rename(columns={"task": "dataset"})[["model", "dataset", "layers"]].assign(kept=True)
    table = table.merge(kept, how="left")
    table["score"] *= 100
    table["kept"] = table["kept"].notna()
    return table[["model", "dataset", "layers", "row", "label", "score", "n_items", "kept"]]


def draw(*, classes: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str]) -> tuple[Figure, pd.DataFrame]:
    """A row of heat maps per dataset, one map per model: classes from top to bottom, layers across.

    With more than LABELLED classes, the rows have no labels.
    """
    data = tabulate(classes, plan, models)
    datasets = style.in_order(classes["dataset"])
    counts = [data["row"][data["dataset"] == name].max() + 1 for name in datasets]
    heights = [max(6, n) * ROW if n <= LABELLED else UNLABELLED for n in counts]
    limits = 10 * math.floor(data["score"].min() / 10), 10 * math.ceil(data["score"].max() / 10)
    width = style.fit_columns(len(models), 1.1)
    panel = (width - 1) / len(models)
    shown = [name for name, n in zip(datasets, counts, strict=True) if n <= LABELLED]
    labels = data["label"][data["dataset"].isin(shown)].unique()
    with style.drawing([*models, *labels]):
        figure = Figure((width, sum(heights) + 0.25 * len(datasets) + 0.7), layout="constrained")
        shape, shared = (len(datasets), len(models)), {"sharex": "col", "sharey": "row"}
        grid = figure.subplots(*shape, **shared, squeeze=False, height_ratios=heights)
        for dataset, n, axes in zip(datasets, counts, grid, strict=True):
            of_dataset = data[data["dataset"] == dataset]
            for model, ax in zip(models, axes, strict=True):
                image = _draw_map(ax, of_dataset[of_dataset["model"] == model], limits)
            if n <= LABELLED:
                labels = of_dataset.drop_duplicates("row").sort_values("row")["label"]
                axes[0].set_yticks(range(n), [lettering.cut(label, LONGEST) for label in labels], size=5.5)
                axes[0].set_ylabel(dataset)
            else:
                axes[0].set_yticks([])
                axes[0].set_ylabel(f"{n} {dataset}")
        for model, ax in zip(models, grid[0], strict=True):
            ax.set_title(style.wrap(model, panel - 0.12), loc="left", pad=8)
            ax.xaxis.set_major_locator(MaxNLocator(max(2, int(panel / 0.25)), integer=True))
        figure.align_ylabels(grid[:, 0])
        figure.colorbar(image, ax=grid, label="convexity of the class (%)", aspect=40, pad=0.01)
        figure.supxlabel(f"{style.LAYERS}\n▼ kept by the plan", size=7.5)
    return figure, data


def _draw_map(ax: Axes, classes: pd.DataFrame, limits: tuple[float, float]) -> AxesImage:
    """Draw the classes of one dataset in one model."""
    scores = classes.pivot(index="row", columns="layers", values="score")
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="lightgrey")
    image = ax.imshow(scores, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    mark = {"marker": CARETDOWN, "color": "black", "markersize": 4, "clip_on": False}
    for layers in classes["layers"][classes["kept"]].unique():
        ax.plot(layers, 1.01, transform=ax.get_xaxis_transform(), **mark)
    ax.tick_params(length=1.5)
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return image
