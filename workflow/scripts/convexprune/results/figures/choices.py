"""The accuracy that each choice of layers loses and the time that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexprune.results.choices import BEST
from convexprune.results.figures import style
from convexprune.results.verdict import title_of

ROW = 0.16  # inches: the height of a choice
NAMES = 1.4  # inches: more than a usual figure, for the names of choices
MEAN = {"linestyle": "none", "color": "black", "marker": "|", "markersize": 10, "mew": 1}
TIMES = {  # ticks of a logarithmic axis of seconds
    **{0: "0", 1: "1\ns", 10: "10\ns", 60: "1\nmin", 600: "10\nmin", 3600: "1\nh", 36000: "10\nh"},
    **{86400 * 10**power: f"{10**power}\nd" for power in range(4)},
}


def draw(*, choices: pd.DataFrame, models: Sequence[str]) -> tuple[Figure, pd.DataFrame]:
    """The accuracy that each choice of layers loses and the time that it takes: a row of panels per task.

    A criterion keeps the fewest layers near its best value. Black ticks are means over models.
    """
    shown = choices[
        choices["lost"].notna() & (choices["choice"] != "best on test") & (choices["rule"] != BEST)
    ]
    names, tasks = list(shown["choice"].unique()), list(shown["task"].unique())
    with style.drawing(models):
        height = ROW * len(names) + 0.7
        figure = Figure((style.WIDTH + NAMES, height * len(tasks) + 0.5), layout="constrained")
        grid = figure.subplots(len(tasks), 2, sharey=True, squeeze=False)
        looks = style.find_looks(models, shown)
        for task, axes in zip(tasks, grid, strict=True):
            of_task = shown[shown["task"] == task]
            for ax, values in zip(axes, (100 * of_task["lost"], of_task["seconds"]), strict=True):
                _draw_strip(ax, of_task, values, names, looks)
            axes[0].set_title(f"accuracy lost, {task}", loc="left")
            axes[0].set_xlabel("percentage points")
            axes[0].set_xlim(left=min(0, 100 * of_task["lost"].min()))
            axes[1].set_title("time to choose", loc="left")
        handles = [*style.model_handles(looks), Line2D([], [], label="mean", **MEAN)]
        style.add_legend(figure, handles)
        for task, axes in zip(tasks, grid, strict=True):
            _set_times(axes[1], shown["seconds"][shown["task"] == task].max())
    return figure, choices


def _draw_strip(
    ax: Axes,
    choices: pd.DataFrame,
    values: pd.Series,
    names: Sequence[str],
    looks: Mapping[str, Mapping[str, str]],
) -> None:
    """Draw `values` from left to right, a line per choice, with the models a little apart."""
    shifts = dict(zip(looks, np.linspace(-0.28, 0.28, len(looks)) if len(looks) > 1 else [0], strict=True))
    places = choices["choice"].map({name: place for place, name in enumerate(names)})
    for model, look in looks.items():
        own = choices["model"] == model
        ax.plot(values[own], places[own] + shifts[model], clip_on=False, **look, **style.POINT)
    means = values.groupby(places).mean()
    ax.plot(means, means.index, zorder=1, **MEAN)
    ax.set_yticks(range(len(names)), [title_of(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="x", linewidth=0.3, color="silver")
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)


def _set_times(ax: Axes, longest: float) -> None:
    """A logarithmic axis of times from 0 to beyond `longest` seconds, with as many ticks as fit."""
    end = 2 * (30 if np.isnan(longest) else max(30, longest))
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xlim(-0.3, end)
    ax.set_xticks([])  # Matplotlib's own labels are formulas, but formulas are off (`style.STYLE`)
    ax.figure.draw_without_rendering()  # settles how wide the panel is
    ticks: dict[float, str] = {}
    taken = -np.inf  # inches, to the right end of the last label
    for time, name in TIMES.items():
        place = ax.transData.transform((time, 0))[0] / ax.figure.dpi
        half = style.LETTER * max(map(len, name.splitlines())) / 2
        if time <= end and place - half > taken + 0.05:
            ticks[time], taken = name, place + half
    ax.set_xticks(list(ticks), ticks.values())
    ax.minorticks_off()
