"""Accuracy of the full models against the convexity of their last layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convexprune.results.figures import style


def draw(
    *, convergence: pd.DataFrame, correlations: pd.DataFrame, models: Sequence[str]
) -> tuple[Figure, pd.DataFrame]:
    """Test accuracy of the full models against their last layer's convexity, a panel per task, two in a row.

    The number beside a point says after how many layers the fine-tuned convexity stops rising.
    """
    tasks = list(convergence["task"].unique())
    last = correlations[correlations["relation"] == "last-layer convexity"]
    rho = last.set_index("task")["rho"]
    looks = style.find_looks(models, convergence)
    with style.drawing(models):
        rows, columns = -(-len(tasks) // 2), min(2, len(tasks))
        figure = Figure((style.WIDTH, 2.2 * rows + 0.5), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        axes = grid.flat[: len(tasks)]
        for ax in grid.flat[len(tasks) :]:
            ax.set_axis_off()
        for task, ax in zip(tasks, axes, strict=True):
            points = convergence[convergence["task"] == task]
            for row in points.itertuples():
                bars = {"xerr": 100 * row.stderr, "yerr": 100 * row.sigma, "elinewidth": 0.5}
                look = looks[row.model]
                ax.errorbar(100 * row.convexity, 100 * row.accuracy, **bars, **look, **style.POINT)
            style.stretch_accuracy(ax)
            known = "" if np.isnan(rho[task]) else f", ρ = {rho[task]:.2f}"
            ax.set_title(f"{task}{known}", loc="left")
            ax.set_xlabel("last-layer convexity (%)")
        for ax in grid[:, 0]:
            ax.set_ylabel("test accuracy (%)")
        title = "numbers: layers after which convexity stops rising"
        style.add_legend(figure, style.model_handles(looks), title)
        for task, ax in zip(tasks, axes, strict=True):
            points = convergence[convergence["task"] == task]
            percent = 100 * points[["convexity", "accuracy"]].to_numpy()
            texts = zip(percent, points["stops_rising"], points["model"], strict=True)
            style.label_points(ax, [(*xy, str(layers), looks[model]["color"]) for xy, layers, model in texts])
    return figure, convergence
