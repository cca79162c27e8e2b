"""The paper's two figures and two more. Each is drawn from one table, which is written beside it.

`figure1_data` and its like make that table: what is drawn and nothing else, scores and accuracies in %.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import cycle, zip_longest
from typing import Any

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
MEAN = {"linestyle": "none", "color": "black", "marker": "|", "markersize": 10, "mew": 1}
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
TIMES = (  # ticks of a logarithmic axis of seconds, up to an hour and beyond
    {0: "0", 10: "10 s", 600: "10 min"},
    {0: "0", 60: "1 min", 3600: "1 h", 86400: "1 d"},
)
WIDTH = 3.6  # inches: a column of a two-column page; Figure 1 grows to the page's 7.2 with its panels
PANELS = 4  # most panels side by side

logging.getLogger("fontTools").setLevel(logging.WARNING)  # else it tells of every table of a font it embeds


def figure1_data(
    convexity: pd.DataFrame, plan: pd.DataFrame, models: Sequence[str], average: str
) -> pd.DataFrame:
    """Convexity of `models` by layer: `score`, `stderr`, `chance` in %, and `kept`, what the plan keeps.

    `convexity` and `plan` are the tables of results/README.md, `average` the mean that is drawn (`pair` or
    `class`). `kept` is true on the pretrained curve of the task's own dataset.
    """
    curves = _in_percent(convexity[convexity["model"].isin(models)], average)
    chosen = plan.rename(columns={"task": "dataset"})[["model", "dataset", "layers"]]
    chosen = chosen.assign(state="pretrained", kept=True)
    curves = curves.merge(chosen, how="left")
    curves["kept"] = curves["kept"].notna()
    return curves[["model", "state", "dataset", "layers", "score", "stderr", "chance", "kept"]]


def figure1(data: pd.DataFrame, models: Sequence[str], sizes: Mapping[str, str]) -> Figure:
    """Figure 1: convexity of each dataset by layer, a panel a model, base models above large ones.

    `data` is that of `figure1_data`, `sizes` tells `base` from `large`.
    """
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
                _draw_panel(ax, data[data["model"] == model])
                ax.set_title(model, loc="left")
        for ax in grid[:, 0]:
            ax.set_ylabel("convexity (%)")
        # The legend's title stands where the label of a shared x axis belongs, which it would cover.
        title = "transformer layers kept (the paper's layer number + 1)"
        handles = _in_columns(_datasets(data), _states(data), _marks())
        figure.legend(handles=handles, title=title, loc="outside lower center", ncols=3)
    return figure


def _draw_panel(ax: Axes, convexity: pd.DataFrame) -> None:
    """Draw one model's panel of Figure 1."""
    full_layers = convexity["layers"].max()
    for dataset, colour in DATASETS.items():
        of_dataset = convexity[convexity["dataset"] == dataset]
        for state, (_, style, width) in STATES.items():
            curve = of_dataset[of_dataset["state"] == state].sort_values("layers")
            x, y, error = curve["layers"], curve["score"], curve["stderr"]
            shade = _mixed(colour, "grey") if state == "untrained" else colour
            ax.fill_between(x, y - error, y + error, color=shade, alpha=0.2, linewidth=0)
            ax.plot(x, y, color=shade, linestyle=style, linewidth=width)
            if state == "pretrained":
                chosen = curve[curve["kept"]]
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


def figure2_data(
    convexity: pd.DataFrame, finetuning: pd.DataFrame, models: Sequence[str], task: str, average: str
) -> pd.DataFrame:
    """Accuracy of `models` fine-tuned to `task` at each depth, and the pretrained model's convexity there.

    A row a model and depth, in %: `score` and `stderr`, the convexity of the dataset of the task's name and
    its error; `accuracy`, its `sigma` and its `spread`, the standard deviation over `seeds` runs (missing
    for one). Raises ValueError where there is none.
    """
    convexity = _in_percent(convexity, average)
    pretrained = convexity[(convexity["state"] == "pretrained") & (convexity["dataset"] == task)]
    runs = finetuning[(finetuning["task"] == task) & finetuning["model"].isin(models)]
    runs = runs.groupby(["model", "layers", "full_layers"], as_index=False).agg(
        accuracy=("accuracy", "mean"),
        sigma=("sigma", "mean"),
        spread=("accuracy", "std"),
        seeds=("accuracy", "size"),
    )
    runs[["accuracy", "sigma", "spread"]] *= 100
    points = runs.merge(pretrained[["model", "layers", "score", "stderr"]], on=["model", "layers"])
    if points.empty:
        raise ValueError(f"no model was both fine-tuned to {task} and scored on {task}: no Figure 2 to draw")
    return points


def figure2(data: pd.DataFrame, models: Sequence[str], task: str) -> Figure:
    """Figure 2: test accuracy after pruning against the pretrained model's convexity at that layer.

    A point is a depth at which a model was fine-tuned to `task`. Error bars are the standard error of the
    convexity and, of the accuracy, the standard deviation over seeds, or sigma where there is one seed.
    `data` is that of `figure2_data`; `models` are all of the config, so that each looks alike everywhere.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.6), layout="constrained")
        ax = figure.subplots()
        labels = []
        looks = _looks(models, data)
        for model, look in looks.items():
            curve = data[data["model"] == model].sort_values("layers")
            pruned = curve[curve["layers"] < curve["full_layers"]]
            best = pruned.nlargest(1, "accuracy")
            error = curve["spread"].fillna(curve["sigma"])
            bars = {"xerr": curve["stderr"], "yerr": error, "elinewidth": 0.5, "linewidth": 0.4}
            faint = _mixed(look["color"], "white")
            ax.errorbar(curve["score"], curve["accuracy"], color=faint, **bars, zorder=1)
            for chosen, form in (
                (pruned.drop(best.index), look | POINT),
                (curve.drop(pruned.index), look | POINT | HOLLOW),
                (best, look | BEST),
            ):
                ax.plot(chosen["score"], chosen["accuracy"], **form)
            labels += [
                (row.score, row.accuracy, str(row.layers), look["color"]) for row in curve.itertuples()
            ]
        _stretch(ax)
        ax.set_xlabel(f"convexity of {task} in the pretrained model (%)")
        ax.set_ylabel(f"test accuracy, {task} (%)")
        handles = _models(looks)
        handles += [
            Line2D([], [], color="silver", label="best pruned model", **BEST),
            Line2D([], [], color="black", marker="o", label="full model", **POINT, **HOLLOW),
        ]
        title = "numbers: layers kept (the paper's + 1)"
        figure.legend(handles=handles, title=title, loc="outside lower center", ncols=2)
        _label(ax, labels)
    return figure


def _looks(models: Sequence[str], data: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Colour and marker of those of `models` that are in `data`, by their place among all `models`."""
    looks = zip(models, zip(cycle(MODELS), cycle(MARKERS), strict=False), strict=False)
    present = set(data["model"])
    return {
        model: {"color": colour, "marker": marker} for model, (colour, marker) in looks if model in present
    }


def _models(looks: Mapping[str, Mapping[str, str]]) -> list[Line2D]:
    return [Line2D([], [], label=model, **look, **POINT) for model, look in looks.items()]


def figure3(choices: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Figure 3: what each choice of layers loses in accuracy and takes in time, a row of panels a task.

    `choices` is the table of results/README.md, `models` all of the config. Ticks are means over models.
    """
    choices = choices[choices["lost"].notna() & (choices["choice"] != "best on test")]
    names, tasks = list(choices["choice"].unique()), list(choices["task"].unique())
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 1.9 * len(tasks) + 0.5), layout="constrained")
        grid = figure.subplots(len(tasks), 2, sharey=True, squeeze=False)
        looks = _looks(models, choices)
        for task, axes in zip(tasks, grid, strict=True):
            of_task = choices[choices["task"] == task]
            for ax, values in zip(axes, (100 * of_task["lost"], of_task["seconds"]), strict=True):
                _draw_strip(ax, of_task, values, names, looks)
            axes[0].set_title(f"accuracy lost, {task}", loc="left")
            axes[0].set_xlabel("percentage points")
            axes[1].set_title("time to choose", loc="left")
            axes[1].set_xscale("symlog", linthresh=1, linscale=0.5)
            longest = max(30, of_task["seconds"].max())
            times = {time: name for time, name in TIMES[int(longest > 3600)].items() if time <= 2 * longest}
            axes[1].set_xlim(-0.3, 2 * longest)
            axes[1].set_xticks(list(times), times.values())
            axes[1].minorticks_off()
        handles = [*_models(looks), Line2D([], [], label="mean", **MEAN)]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _draw_strip(
    ax: Axes,
    choices: pd.DataFrame,
    values: pd.Series,
    names: Sequence[str],
    looks: Mapping[str, Mapping[str, str]],
) -> None:
    """Draw `values` of each choice from left to right, a line a choice, models a little apart."""
    shifts = dict(zip(looks, np.linspace(-0.28, 0.28, len(looks)) if len(looks) > 1 else [0], strict=True))
    places = choices["choice"].map({name: place for place, name in enumerate(names)})
    for model, look in looks.items():
        own = choices["model"] == model
        ax.plot(values[own], places[own] + shifts[model], clip_on=False, **look, **POINT)
    means = values.groupby(places).mean()
    ax.plot(means, means.index, zorder=1, **MEAN)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="x", linewidth=0.3, color="silver")
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)


def figure4(convergence: pd.DataFrame, correlations: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Figure 4: test accuracy of the full models against their last layer's convexity, a panel a task.

    The tables are those of results/README.md, `models` all of the config. The number beside a point is
    that of the layers after which the fine-tuned convexity stops rising.
    """
    tasks = list(convergence["task"].unique())
    rho = correlations[correlations["relation"] == "last-layer convexity"].set_index("task")["rho"]
    looks = _looks(models, convergence)
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 2.7), layout="constrained")
        axes = figure.subplots(1, len(tasks), squeeze=False)[0]
        for task, ax in zip(tasks, axes, strict=True):
            points = convergence[convergence["task"] == task]
            for row in points.itertuples():
                bars = {"xerr": 100 * row.stderr, "yerr": 100 * row.sigma, "elinewidth": 0.5}
                look = looks[row.model]
                ax.errorbar(100 * row.convexity, 100 * row.accuracy, **bars, **look, **POINT)
            _stretch(ax)
            known = "" if np.isnan(rho[task]) else f", ρ = {rho[task]:.2f}"
            ax.set_title(f"{task}{known}", loc="left")
            ax.set_xlabel("last-layer convexity (%)")
        axes[0].set_ylabel("test accuracy (%)")
        title = "numbers: layers after which convexity stops rising"
        figure.legend(handles=_models(looks), title=title, loc="outside lower center", ncols=3)
        for task, ax in zip(tasks, axes, strict=True):
            points = convergence[convergence["task"] == task]
            percent = 100 * points[["convexity", "accuracy"]].to_numpy()
            texts = zip(percent, points["stops_rising"], points["model"], strict=True)
            _label(ax, [(*xy, str(layers), looks[model]["color"]) for xy, layers, model in texts])
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
    """Write each (x, y, text, colour) beside its point, inside `ax` and off other points and labels."""
    size = 6.0  # points, as all lengths below
    ax.figure.draw_without_rendering()  # settles the layout, hence where the points are
    scale = 72 / ax.figure.dpi
    points = scale * ax.transData.transform([label[:2] for label in labels])
    low, high = scale * ax.get_window_extent().get_points()
    directions = np.exp(
        1j * np.pi / 4 * np.array([3, 7, 1, 5, 2, 6, 0, 4])
    )  # diagonals first, off error bars
    offsets = np.array([(r * d.real, r * d.imag) for r in (6.5, 10, 14) for d in directions])
    taken = [(x, y, 2.0, 2.0) for x, y in points]  # centre and half extent of markers, then of labels
    for point, (x, y, text, colour) in zip(points, labels, strict=True):
        half = np.array([0.32 * size * len(text), 0.42 * size])
        centres = point + offsets
        boxes = np.array(taken)
        sides = half + boxes[:, 2:] - np.abs(centres[:, None] - boxes[:, :2])
        covered = np.maximum(sides, 0).prod(axis=2).sum(axis=1)
        outside = np.maximum([low + half - centres, centres + half - high], 0).sum(axis=(0, 2))
        best = (covered + 10 * outside + 0.3 * np.hypot(*offsets.T)).argmin()
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


def save(figure: Figure, data: pd.DataFrame, outputs: Any) -> None:
    """Write `figure` to `outputs.pdf` and, at 200 dpi, `outputs.png`, and `data`, what it shows, to `.csv`.

    Undated: the same figure gives the same bytes.
    """
    with matplotlib.rc_context(STYLE):
        for path, kind, metadata in (
            (outputs.pdf, "pdf", {"CreationDate": None}),
            (outputs.png, "png", None),
        ):
            with provenance.atomic(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=200, metadata=metadata)
    provenance.write_csv(outputs.csv, data)
