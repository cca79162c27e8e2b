"""Figure 8: the embeddings of the pretrained models in two dimensions."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from threadpoolctl import threadpool_limits

from convexprune import embeddings
from convexprune.figures import style

log = logging.getLogger(__name__)

ITEMS = 2000  # most items of a view
PERPLEXITY = 30
LOOKS = [  # of the classes that are coloured: no more can be told apart
    {"color": colour, "marker": marker, "markersize": 2, "markeredgewidth": 0}
    for colour, marker in zip((*style.MODELS[:6], "black"), style.MARKERS, strict=False)
]
OTHERS = {"color": "silver", "marker": "o", "markersize": 1.2, "markeredgewidth": 0}


def tabulate(
    paths: Mapping[tuple[str, str], str | os.PathLike[str]],
    plan: pd.DataFrame,
    convexity: pd.DataFrame,
    average: str,
    threads: int,
) -> pd.DataFrame:
    """Views of the embeddings before the first layer, at the layers that the plan keeps, and after the last.

    `paths` are embeddings files of pretrained models by model and dataset, a task of the `plan`; the tables
    are those of results/README.md. A row an item drawn: `model`, `dataset`, `layers`, `kept` (by the plan),
    `convexity` of that layer in %, the mean called `average`; `item`, its place in the file, `label`,
    `coloured` (one of the most frequent), and its place `x`, `y` (`project`).
    """
    scores = style.in_percent(convexity[convexity["state"] == "pretrained"], average)
    scores = scores.set_index(["model", "dataset", "layers"])["score"]
    planned = plan.set_index(["model", "task"])[["layers", "full_layers"]]
    views = []
    for (model, dataset), path in paths.items():
        kept, full_layers = planned.loc[(model, dataset)]
        for layers in sorted({0, kept, full_layers}):
            points, labels = embeddings.read_layer(path, layers)
            items = draw_items(len(points))
            log.info("%s, %s, %d layers: %d of %d items", model, dataset, layers, len(items), len(points))
            view = {"model": model, "dataset": dataset, "layers": layers, "kept": layers == kept}
            view |= {"convexity": scores[model, dataset, layers], "item": items, "label": labels[items]}
            frequent = [label for label, _ in Counter(labels.tolist()).most_common(len(LOOKS))]
            view["coloured"] = np.isin(labels[items], frequent)
            view["x"], view["y"] = project(points[items], threads).T
            views.append(pd.DataFrame(view))
    return pd.concat(views, ignore_index=True)


def draw_items(n: int) -> np.ndarray:
    """Which of `n` items are shown, in order: all, or ITEMS at random, always the same."""
    return np.sort(np.random.default_rng(0).permutation(n)[:ITEMS])


def project(points: np.ndarray, threads: int = 1) -> np.ndarray:
    """Points (N, D) in the plane (N, 2), by t-SNE with a fixed seed, from their principal components."""
    from sklearn.manifold import TSNE

    with threadpool_limits(threads):
        perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
        return TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=threads).fit_transform(points)


def draw(data: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Figure 8: for each dataset three columns of views, a row a model. `data` is that of `tabulate`."""
    datasets = [name for name in style.DATASETS if name in set(data["dataset"])]
    width = style.PAGE * len(datasets) / 2
    height = min(1.3, max(0.8, 8.5 / len(models)))  # of a row: a page takes them all, if they stay readable
    with matplotlib.rc_context(style.STYLE):
        figure = Figure((width, height * len(models) + 0.9), layout="constrained")
        grid = figure.subplots(len(models), 3 * len(datasets), squeeze=False)
        for ax in grid.flat:
            ax.set(xticks=[], yticks=[], frame_on=False)
        for column, dataset in enumerate(datasets):
            of_dataset = data[data["dataset"] == dataset]
            labels = of_dataset["label"][of_dataset["coloured"]].unique()
            looks = dict(zip(sorted(labels), LOOKS, strict=False))
            for model, axes in zip(models, grid[:, 3 * column :], strict=True):
                views = of_dataset[of_dataset["model"] == model].groupby("layers")
                for ax, (layers, view) in zip(axes, views, strict=False):
                    _draw_view(ax, view, looks)
                    mark = "▼ " if view["kept"].any() else ""
                    count = "1 layer" if layers == 1 else f"{layers} layers"
                    ax.set_title(f"{mark}{count}, {view['convexity'].iloc[0]:.0f} %", size=6.5, pad=2)
            grid[0, 3 * column].set_title(f"{dataset}\n{grid[0, 3 * column].get_title()}", size=6.5, pad=2)
            handles = [
                Line2D([], [], linestyle="none", label=name, **look | {"markersize": 4})
                for name, look in looks.items()
            ]
            place = ("left", "right")[column] if len(datasets) == 2 else "center"
            style.add_legend(figure, handles, dataset, place)
        for model, ax in zip(models, grid[:, 0], strict=True):
            ax.set_ylabel(style.wrap(model, height))
        figure.suptitle("▼ kept by the plan; %: convexity in the pretrained model", size=7.5)
    return figure


def _draw_view(ax: Axes, view: pd.DataFrame, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the items of one model, dataset and layer; those of classes with a look on top, in turn."""
    others = view[~view["coloured"]]
    ax.plot(others["x"], others["y"], linestyle="none", rasterized=True, **OTHERS)
    for label, look in looks.items():
        own = view[view["label"] == label]
        ax.plot(own["x"], own["y"], linestyle="none", rasterized=True, **look)
    ax.set_box_aspect(1)
