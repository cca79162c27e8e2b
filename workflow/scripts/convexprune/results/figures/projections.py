"""The embeddings of the pretrained models in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexprune.results.figures import style

LOOKS = [  # of the coloured classes, as many as projection.COLOURS
    {"color": colour, "marker": marker, "markersize": 2, "markeredgewidth": 0}
    for colour, marker in zip((*style.MODELS[:6], "black"), style.MARKERS, strict=False)
]
OTHERS = {"color": "silver", "marker": "o", "markersize": 1.2, "markeredgewidth": 0}


def tabulate(projections: pd.DataFrame, convexity: pd.DataFrame, average: str) -> pd.DataFrame:
    """The views (results/README.md, `projections.csv`) with the `convexity` of their layer in %."""
    scores = style.in_percent(convexity[convexity["state"] == "pretrained"], average)
    scores = scores[["model", "dataset", "layers", "score"]].rename(columns={"score": "convexity"})
    views = projections.merge(scores)
    names = ["model", "dataset", "layers", "kept", "convexity", "item", "label", "coloured", "x", "y"]
    return views.astype({"x": "float32", "y": "float32"})[names]  # as they were computed


def draw(
    *, projections: pd.DataFrame, convexity: pd.DataFrame, models: Sequence[str], average: str
) -> tuple[Figure, pd.DataFrame]:
    """Three columns of views for each dataset, a row per model. Two datasets are side by side."""
    data = tabulate(projections, convexity, average)
    datasets = style.in_order(projections["dataset"])
    columns, rows = min(2, len(datasets)), -(-len(datasets) // 2)
    height = min(1.3, max(0.8, 8.5 / len(models)))  # of a row: all fit on a page, if readable
    with style.drawing([*models, *data["label"][data["coloured"]].unique()]):
        size = style.PAGE * columns / 2, rows * (height * len(models) + 0.8) + 0.1
        figure = Figure(size, layout="constrained")
        parts = figure.subfigures(rows, columns, squeeze=False)
        for dataset, part in zip(datasets, parts.flat, strict=False):
            grid = part.subplots(len(models), 3, squeeze=False)
            looks = _draw_dataset(grid, data[data["dataset"] == dataset], models)
            grid[0, 0].set_title(f"{dataset}\n{grid[0, 0].get_title()}", size=6.5, pad=2)
            if part in parts[:, 0]:
                for model, ax in zip(models, grid[:, 0], strict=True):
                    ax.set_ylabel(style.wrap(model, height))
            handles = [
                Line2D([], [], linestyle="none", label=name, **look | {"markersize": 4})
                for name, look in looks.items()
            ]
            style.add_legend(part, handles, dataset)
        figure.suptitle("▼ kept by the plan; %: convexity in the pretrained model", size=7.5)
    return figure, data


def _draw_dataset(grid: np.ndarray, data: pd.DataFrame, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Draw the views of one dataset, a row per model; return the looks of its coloured classes."""
    labels = data["label"][data["coloured"]].unique()
    looks = dict(zip(sorted(labels), LOOKS, strict=False))
    for model, axes in zip(models, grid, strict=True):
        views = data[data["model"] == model].groupby("layers")
        for ax in axes:
            ax.set(xticks=[], yticks=[], frame_on=False)
        for ax, (layers, view) in zip(axes, views, strict=False):
            _draw_view(ax, view, looks)
            mark = "▼ " if view["kept"].any() else ""
            count = "1 layer" if layers == 1 else f"{layers} layers"
            ax.set_title(f"{mark}{count}, {view['convexity'].iloc[0]:.0f} %", size=6.5, pad=2)
    return looks


def _draw_view(ax: Axes, view: pd.DataFrame, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the items of one model, dataset and layer; those of classes with a look on top."""
    others = view[~view["coloured"]]
    ax.plot(others["x"], others["y"], linestyle="none", rasterized=True, **OTHERS)
    for label, look in looks.items():
        own = view[view["label"] == label]
        ax.plot(own["x"], own["y"], linestyle="none", rasterized=True, **look)
    ax.set_box_aspect(1)
