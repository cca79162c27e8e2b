"""The paper's two figures: convexity by layer, and accuracy after pruning against convexity."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from itertools import cycle, zip_longest

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from convexprune import provenance

# Colours that stay apart in every common colour blindness.
BLUE, ORANGE, GREEN, RED, PINK, *_, GREY, _, SKY = seaborn.color_palette("colorblind").as_hex()
DATASETS = {"words": BLUE, "speakers": RED, "phonemes": GREEN}
MODELS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY)
MARKERS = "osD^vPXp"  # one more than colours, so that a pair of both repeats late
STATES = {  # state -> name in the legend, line style, line width
    "pretrained": ("pretrained", "-", 1.3),
    "words": ("fine-tuned to words", (0, (4, 1.5)), 1.1),
    "speakers": ("fine-tuned to speakers", (0, (1, 1)), 1.1),
    "untrained": ("untrained control", (0, (5, 1, 1, 1)), 0.7),
}
SCORES = {"pair": ("score", "stderr"), "class": ("class_score", "class_stderr")}
CHOSEN = {"linestyle": "none", "marker": "o", "markersize": 4.5, "markeredgecolor": "black"}
POINT = {"linestyle": "none", "markersize": 3.5}
HOLLOW = {"markerfacecolor": "white"}
BEST = {"linestyle": "none", "marker": "*", "markersize": 8.5, "markeredgecolor": "black", "mew": 0.4}
STYLE = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.markeredgewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7.5,
    "legend.columnspacing": 1.2,
    "pdf.fonttype": 42,  # text stays text, as journals ask
}
WIDTH = 3.6  # inches: a column of a two-column page; Figure 1 grows to the page's 7.2 with its panels
PANELS = 4  # most panels side by side

logging.getLogger("fontTools").setLevel(logging.WARNING)  # else it tells of every table of a font it embeds


def figure1(
    convexity: pd.DataFrame,
    plan: pd.DataFrame,
    models: Sequence[str],
    sizes: Mapping[str, str],
    layers: Mapping[str, int],
    average: str,
) -> Figure:
    """Figure 1: convexity of each dataset by layer, a panel a model, base models above large ones.

    `convexity` and `plan` are the tables of results/README.md, `sizes` tells `base` from `large`,
    `layers` is each model's full depth, `average` the mean that is drawn (`pair` or `class`).
    """
    convexity = _in_percent(convexity[convexity["model"].isin(models)], average)
    by_size = [[model for model in models if sizes[model] == size] for size in ("base", "large")]
    rows = [names[i : i + PANELS] for names in by_size for i in range(0, len(names), PANELS)]
    columns = max(map(len, rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure((max(WIDTH, 1.8 * columns), 1.7 * len(rows) + 0.8), layout="constrained")
        grid = figure.subplots(len(rows), columns, sharey=True, squeeze=False)
        for names, axes in zip(rows, grid, strict=True):
            for model, ax in zip_longest(names, axes):
                if model is None:
                    ax.set_axis_off()
                    continue
                of_model = convexity[convexity["model"] == model]
                _draw_panel(ax, of_model, plan[plan["model"] == model], layers[model])
                ax.set_title(model, loc="left")
        for ax in grid[:, 0]:
            ax.set_ylabel("convexity (%)")
        # The legend's title stands where the label of a shared x axis belongs, which it would cover.
        title = "transformer layers kept (the paper's layer number + 1)"
        handles = _in_columns(_datasets(convexity), _states(convexity), _marks())
        figure.legend(handles=handles, title=title, loc="outside lower center", ncols=3)
    return figure


def _draw_panel(ax: Axes, convexity: pd.DataFrame, plan: pd.DataFrame, full_layers: int) -> None:
    """Draw one model's panel of Figure 1."""
    kept = dict(zip(plan["task"], plan["layers"], strict=True))
    for dataset, colour in DATASETS.items():
        of_dataset = convexity[convexity["dataset"] == dataset]
        for state, (_, style, width) in STATES.items():
            curve = of_dataset[of_dataset["state"] == state].sort_values("layers")
            x, y, error = curve["layers"], curve["score"], curve["stderr"]
            shade = _mixed(colour, "grey") if state == "untrained" else colour
            ax.fill_between(x, y - error, y + error, color=shade, alpha=0.2, linewidth=0)
            ax.plot(x, y, color=shade, linestyle=style, linewidth=width)
            if state == "pretrained":
                chosen = curve[x == kept.get(dataset)]
                ax.plot(chosen["layers"], chosen["score"], color=colour, **CHOSEN)
        for chance in of_dataset["chance"].head(1):
            ax.axhline(chance, color=colour, linewidth=0.5, alpha=0.7, zorder=1)
    ax.set_xlim(-0.02 * full_layers, 1.02 * full_layers)
    ax.set_ylim(0, 102)
    ax.set_xticks(range(0, full_layers + 1, -(-full_layers // 6)))


def _datasets(convexity: pd.DataFrame) -> list[Line2D]:
    present = set(convexity["dataset"])
    return [Line2D([], [], color=DATASETS[name], lw=2, label=name) for name in DATASETS if name in present]


def _states(convexity: pd.DataFrame) -> list[Line2D]:
    present = set(convexity["state"])
    return [
        Line2D([], [], color="black", linestyle=style, linewidth=width, label=name)
        for state, (name, style, width) in STATES.items()
        if state in present
    ]


def _marks() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color="silver", label="kept by the plan", **CHOSEN),
        Line2D([], [], color="grey", linewidth=0.5, label="chance"),
        Patch(facecolor="silver", label="± standard error"),
    ]


def _in_columns(*columns: list) -> list:
    """Legend handles in the order that shows each of `columns` as a column: short ones are filled up."""
    height = max(map(len, columns))
    blank = Line2D([], [], linestyle="none", label=" ")
    return [handle for column in columns for handle in column + [blank] * (height - len(column))]


def figure2(
    convexity: pd.DataFrame, finetuning: pd.DataFrame, models: Sequence[str], task: str, average: str
) -> Figure:
    """Figure 2: test accuracy after pruning against the pretrained model's convexity at that layer.

    A point is a depth at which a model was fine-tuned to `task` (the mean over its seeds); its convexity
    is that of the dataset of that name, `average` which mean of it (`pair` or `class`). Error bars are
    sigma of the accuracy and the standard error of the convexity.
    """
    convexity = _in_percent(convexity, average)
    pretrained = convexity[(convexity["state"] == "pretrained") & (convexity["dataset"] == task)]
    runs = finetuning[finetuning["task"] == task]
    runs = runs.groupby(["model", "layers", "full_layers"], as_index=False)[["accuracy", "sigma"]].mean()
    runs[["accuracy", "sigma"]] *= 100
    points = runs.merge(pretrained[["model", "layers", "score", "stderr"]], on=["model", "layers"])
    points = points[points["model"].isin(models)]
    if points.empty:
        raise ValueError(f"no model was both fine-tuned to {task} and scored on {task}: no Figure 2 to draw")
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.6), layout="constrained")
        ax = figure.subplots()
        looks = dict(zip(models, zip(cycle(MODELS), cycle(MARKERS), strict=False), strict=False))
        labels = []
        for model, (colour, marker) in looks.items():
            curve = points[points["model"] == model].sort_values("layers")
            pruned = curve[curve["layers"] < curve["full_layers"]]
            best = pruned.nlargest(1, "accuracy")
            bars = {"xerr": curve["stderr"], "yerr": curve["sigma"], "elinewidth": 0.5, "linewidth": 0.4}
            ax.errorbar(curve["score"], curve["accuracy"], color=_mixed(colour, "white"), **bars, zorder=1)
            for chosen, form in (
                (pruned.drop(best.index), {"marker": marker, **POINT}),
                (curve.drop(pruned.index), {"marker": marker, **POINT, **HOLLOW}),
                (best, BEST),
            ):
                ax.plot(chosen["score"], chosen["accuracy"], color=colour, **form)
            labels += [(row.score, row.accuracy, str(row.layers), colour) for row in curve.itertuples()]
        _stretch(ax)
        ax.set_xlabel(f"convexity of {task} in the pretrained model (%)")
        ax.set_ylabel(f"test accuracy, {task} (%)")
        handles = [
            Line2D([], [], color=colour, marker=marker, label=model, **POINT)
            for model, (colour, marker) in looks.items()
        ]
        handles += [
            Line2D([], [], color="silver", label="best pruned model", **BEST),
            Line2D([], [], color="black", marker="o", label="full model", **POINT, **HOLLOW),
        ]
        title = "numbers: layers kept (the paper's + 1)"
        figure.legend(handles=handles, title=title, loc="outside lower center", ncols=2)
        _label(ax, labels)
    return figure


def _stretch(ax: Axes) -> None:
    """Stretch an axis of accuracies (%) towards 100, where good models crowd: logarithmic in 101 - y."""

    def forward(y):
        return -np.log(np.maximum(101 - y, 1e-3))

    ax.set_yscale("function", functions=(forward, lambda z: 101 - np.exp(-z)))
    low, high = ax.get_ylim()
    high = min(high, 100.2)
    ax.set_ylim(low, high)
    ticks: list[float] = []
    for step in (10, 5, 2, 1, 0.5, 0.1):
        if step < 1 and len(ticks) >= 4:
            break
        for tick in np.arange(100, max(low, 0) - 1e-9, -step):
            gap = np.abs(forward(np.array(ticks)) - forward(tick)) / (forward(high) - forward(low))
            if tick <= high and (gap > 0.08).all():
                ticks.append(round(tick, 1))
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def _label(ax: Axes, labels: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each (x, y, text, colour) beside its point, where it covers the fewest points and labels."""
    size = 6.0  # points, as all lengths below
    ax.figure.draw_without_rendering()  # settles the layout, hence where the points are
    scale = 72 / ax.figure.dpi
    points = scale * ax.transData.transform([label[:2] for label in labels])
    directions = np.exp(1j * np.pi / 4 * np.array([2, 1, 3, 0, 4, 6, 7, 5]))
    offsets = np.array([(r * d.real, r * d.imag) for r in (6.5, 10, 14) for d in directions])
    taken = [(x, y, 2.0, 2.0) for x, y in points]  # centre and half extent of markers, then of labels
    for point, (x, y, text, colour) in zip(points, labels, strict=True):
        half = np.array([0.32 * size * len(text), 0.42 * size])
        centres = point + offsets
        boxes = np.array(taken)
        sides = half + boxes[:, 2:] - np.abs(centres[:, None] - boxes[:, :2])
        covered = np.maximum(sides, 0).prod(axis=2).sum(axis=1)
        best = (covered + 0.3 * np.hypot(*offsets.T)).argmin()
        taken.append((*centres[best], *half))
        form = {"ha": "center", "va": "center", "size": size, "color": _mixed(colour, colour, "black")}
        ax.annotate(text, (x, y), offsets[best], textcoords="offset points", **form)


def _in_percent(convexity: pd.DataFrame, average: str) -> pd.DataFrame:
    """The convexity table with `score`, `stderr` and `chance` in %, of the mean asked for."""
    if average not in SCORES:
        raise ValueError(f"average must be one of {sorted(SCORES)}, not {average!r}")
    score, stderr = SCORES[average]
    columns = {"score": score, "stderr": stderr, "chance": "chance"}
    return convexity.assign(**{name: 100 * convexity[column] for name, column in columns.items()})


def _mixed(*colours: str) -> tuple[float, ...]:
    """Equal parts of `colours`."""
    return tuple(np.mean([to_rgb(colour) for colour in colours], axis=0))


def save(figure: Figure, pdf: str | os.PathLike[str], png: str | os.PathLike[str]) -> None:
    """Write `figure` as PDF and as PNG (200 dpi), undated: the same figure gives the same bytes."""
    with matplotlib.rc_context(STYLE):
        for path, kind, metadata in ((pdf, "pdf", {"CreationDate": None}), (png, "png", None)):
            with provenance.atomic(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=200, metadata=metadata)
