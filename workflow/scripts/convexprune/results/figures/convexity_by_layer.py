"""Convexity by layer, before and after fine-tuning: the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, zip_longest
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from convexprune.results.figures import style

Look = tuple[str, Any, float]  # of a state: its name in the legend, line style, line width
DASHES = ((4, 1.5), (1, 1), (4, 1, 1, 1), (8, 2), (2, 2), (6, 1, 1, 1, 1, 1))  # of fine-tuned states, in turn
UNTRAINED: Look = ("untrained control", (0, (5, 1, 1, 1)), 0.7)
CROWDED = 4  # with so many datasets, a fine-tuned model is drawn on the dataset of its task only
CHOSEN = {"linestyle": "none", "marker": "o", "markersize": 4.5, "markeredgecolor": "black"}
PLAUSIBLE = {"linewidth": 6, "alpha": 0.3, "solid_capstyle": "round"}
PANELS = 4  # at most so many panels side by side
BASE = 12  # layers of a base model


def tabulate(
    convexity: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str], average: str
) -> pd.DataFrame:
    """Convexity of `models` by layer: `score`, `stderr` and `chance` in %, `kept` and `plausible`.

    `convexity` and `plan` are the tables of results/README.md, `average` the mean that is drawn (`pair` or
    `class`). `kept` marks the layers that the plan keeps, on the pretrained curve of the task's own dataset;
    `plausible` the range of what it would keep in 95 % of simulated samples.
    With CROWDED datasets, those of a fine-tuned model are left out that are not its task's.
    """
    curves = style.in_percent(convexity[convexity["model"].isin(models)], average)
    if curves["dataset"].nunique() >= CROWDED:
        others = curves["state"].isin(plan["task"]) & (curves["state"] != curves["dataset"])
        curves = curves[~others]
    chosen = plan.rename(columns={"task": "dataset", "layers": "planned"}).assign(state="pretrained")
    curves = curves.merge(chosen[["model", "dataset", "state", "planned", "fewest", "most"]], how="left")
    curves["kept"] = curves["layers"] == curves["planned"]
    curves["plausible"] = curves["layers"].between(curves["fewest"], curves["most"])
    columns = ["model", "state", "dataset", "layers", "score", "stderr", "chance", "kept", "plausible"]
    return curves[columns]


def draw(
    *,
    convexity: pd.DataFrame,
    plan: pd.DataFrame,
    models: Sequence[str],
    average: str,
) -> tuple[Figure, pd.DataFrame]:
    """Convexity of each dataset by layer, a panel per model: rows of base models, then of deeper ones."""
    data = tabulate(convexity, plan, models, average)
    colours, looks = style.colour_datasets(data["dataset"]), look_up(style.in_order(plan["task"]))
    looks = {state: look for state, look in looks.items() if state in set(data["state"])}
    depth = data.groupby("model")["layers"].max()
    by_size = [[model for model in models if (depth[model] > BASE) == large] for large in (False, True)]
    rows = [names[i : i + PANELS] for names in by_size for i in range(0, len(names), PANELS)]
    columns = max(map(len, rows))
    with style.drawing(models):
        legend = 0.15 * max(0, len(looks) - 4)  # inches of rows that are more than usual
        size = max(style.WIDTH, 1.8 * columns), 1.7 * len(rows) + 0.8 + legend
        figure = Figure(size, layout="constrained")
        grid = figure.subplots(len(rows), columns, sharey=True, squeeze=False)
        for names, axes in zip(rows, grid, strict=True):
            for model, ax in zip_longest(names, axes):
                if model is None:
                    ax.set_axis_off()
                    continue
                _draw_panel(ax, data[data["model"] == model], colours, looks)
                ax.set_title(style.wrap(model, figure.get_figwidth() / columns - 0.2), loc="left")
        for ax in grid[:, 0]:
            ax.set_ylabel("convexity (%)")
        # The legend would cover the label of a shared x axis, so its title takes that label's place.
        handles = _in_columns(_datasets(colours), _states(looks), _marks())
        figure.legend(handles=handles, title=style.LAYERS, loc="outside lower center", ncols=3)
    return figure, data


def look_up(tasks: Sequence[str]) -> dict[str, Look]:
    """The look of each state."""
    tuned: dict[str, Look] = {
        task: (f"fine-tuned to {task}", (0, dashes), 1.1)
        for task, dashes in zip(tasks, cycle(DASHES), strict=False)
    }
    return {"pretrained": ("pretrained", "-", 1.3), **tuned, "untrained": UNTRAINED}


def _draw_panel(
    ax: Axes, convexity: pd.DataFrame, colours: Mapping[str, str], looks: Mapping[str, Look]
) -> None:
    """Draw one model's panel."""
    full_layers = convexity["layers"].max()
    for dataset, colour in colours.items():
        of_dataset = convexity[convexity["dataset"] == dataset]
        for state, (_, dashes, width) in looks.items():
            curve = of_dataset[of_dataset["state"] == state].sort_values("layers")
            x, y, error = curve["layers"], curve["score"], curve["stderr"]
            shade = style.mixed(colour, "grey") if state == "untrained" else colour
            ax.fill_between(x, y - error, y + error, color=shade, alpha=0.2, linewidth=0)
            ax.plot(x, y, color=shade, linestyle=dashes, linewidth=width)
            if state == "pretrained":
                plausible, chosen = curve[curve["plausible"]], curve[curve["kept"]]
                ax.plot(plausible["layers"], plausible["score"], color=colour, **PLAUSIBLE)
                ax.plot(chosen["layers"], chosen["score"], color=colour, **CHOSEN)
        for chance in of_dataset["chance"].head(1):
            ax.axhline(chance, color=colour, linewidth=0.5, alpha=0.7, zorder=1)
    ax.set_xlim(-0.02 * full_layers, 1.02 * full_layers)
    ax.set_ylim(0, 102)
    ax.set_xticks(range(0, full_layers + 1, -(-full_layers // 6)))


def _datasets(colours: Mapping[str, str]) -> list[Line2D]:
    return [Line2D([], [], color=colour, lw=2, label=name) for name, colour in colours.items()]


def _states(looks: Mapping[str, Look]) -> list[Line2D]:
    return [
        Line2D([], [], color="black", linestyle=dashes, linewidth=width, label=name)
        for name, dashes, width in looks.values()
    ]


def _marks() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color="silver", label="kept by the plan", **CHOSEN),
        Line2D([], [], color="silver", label="plausible choices", **PLAUSIBLE),
        Line2D([], [], color="grey", linewidth=0.5, label="chance"),
        Patch(facecolor="silver", label="± standard error"),
    ]


def _in_columns(*columns: list[Any]) -> list[Any]:
    """Legend handles in an order that shows each of `columns` as a column. Blanks fill up short ones."""
    height = max(map(len, columns))
    blank = Line2D([], [], linestyle="none", label=" ")
    return [handle for column in columns for handle in column + [blank] * (height - len(column))]
