"""How similar the layers of a pretrained model are to each other, as in arXiv 2409.16302."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.markers import CARETDOWN
from matplotlib.ticker import MaxNLocator

from convexprune.results.figures import lettering, style

ABOVE, BELOW = "linear cka", "mutual neighbours"  # the measures above and below the diagonal
LABEL = f"{style.LAYERS}\nabove the diagonal: linear CKA; below: mutual neighbours\n▼ kept by the plan"


def tabulate(similarities: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The similarity `value` (0 to 1) of every two layers of the pretrained `models`, each pair once.

    `similarities` and `plan` are the tables of results/README.md. `kept`: the plan keeps
    one of the two for the task.
    """
    found = similarities[(similarities["state"] == "pretrained") & similarities["model"].isin(models)]
    found = found.rename(columns={"dataset": "task"})
    planned = found[["task", "model"]].merge(plan, how="left")["layers"].set_axis(found.index)
    kept = found["layers"].eq(planned) | found["other_layers"].eq(planned)
    columns = ["task", "model", "measure", "layers", "other_layers", "value", "kept"]
    return found.assign(kept=kept)[columns].reset_index(drop=True)


def draw(
    *, similarities: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str]
) -> tuple[Figure, pd.DataFrame]:
    """A map of layers by layers per model (side by side) and task (below each other).

    Each half of a map is one measure: both are symmetric. A layer is as similar to itself as can be.
    """
    data = tabulate(similarities, plan, models)
    tasks = style.in_order(data["task"])
    width = style.fit_columns(len(models), 1.5)
    panel = (width - 1) / len(models)
    planned = plan.set_index(["task", "model"])["layers"]
    with style.drawing(models):
        figure = Figure((width, (panel + 0.15) * len(tasks) + 0.9), layout="constrained")
        grid = figure.subplots(len(tasks), len(models), squeeze=False)
        for task, axes in zip(tasks, grid, strict=True):
            for model, ax in zip(models, axes, strict=True):
                own = data[(data["task"] == task) & (data["model"] == model)]
                image = _draw_map(ax, own, planned.get((task, model)))
                for axis in (ax.xaxis, ax.yaxis):
                    axis.set_major_locator(MaxNLocator(max(2, int(panel / 0.25)), integer=True))
            axes[0].set_ylabel(lettering.plain(task))
        for model, ax in zip(models, grid[0], strict=True):
            ax.set_title(style.wrap(model, panel - 0.2), loc="left", pad=8)
        figure.align_ylabels(grid[:, 0])
        figure.colorbar(image, ax=grid, label="similarity", aspect=30, pad=0.01)
        figure.supxlabel(LABEL, size=7.5)
    return figure, data


def _draw_map(ax: Axes, data: pd.DataFrame, kept: int | None) -> AxesImage:
    """Draw the similarities of one model and task; grey where there are none."""
    values = np.eye(int(data["other_layers"].max()) + 1) if len(data) else np.full((1, 1), np.nan)
    values[values == 0] = np.nan
    above, below = (data[data["measure"] == measure] for measure in (ABOVE, BELOW))
    values[above["other_layers"], above["layers"]] = above["value"]
    values[below["layers"], below["other_layers"]] = below["value"]
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="lightgrey")
    image = ax.imshow(values, cmap=colours, vmin=0, vmax=1, origin="lower")
    if kept is not None:
        mark = {"marker": CARETDOWN, "color": "black", "markersize": 4, "clip_on": False}
        ax.plot(kept, 1.01, transform=ax.get_xaxis_transform(), **mark)
    ax.tick_params(length=1.5)
    ax.spines[:].set_visible(False)
    return image
