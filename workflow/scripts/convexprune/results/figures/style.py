"""Sizes, colours, axes, legends, labels and files, shared by all figures."""

from __future__ import annotations

import logging
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from convexprune.convexity import averages
from convexprune.jobs import csv_files, files
from convexprune.results.figures import lettering

WIDTH, PAGE = 3.6, 7.2  # inches: a column of a two-column page, and both
NARROW = 0.62  # inches: the least width of a panel, even if the page is too narrow for all panels
# Colours that stay distinct in every common colour blindness.
BLUE, ORANGE, GREEN, RED, PINK, *_, GREY, _, SKY = seaborn.color_palette("colorblind").as_hex()
DATASETS = {"words": BLUE, "speakers": RED, "phonemes": GREEN}  # those of the paper
OTHERS = (ORANGE, PINK, SKY, GREY, BLUE, RED, GREEN)  # of other datasets, in turn
MODELS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY)
MARKERS = "osD^vPXp"  # one more than MODELS, so that pairs of both repeat late
LAYERS = "transformer layers kept (the paper's layer number + 1)"
POINT = {"linestyle": "none", "markersize": 3.5}
FOLDED = {
    "linestyle": (0, (1, 1.2)),
    "linewidth": 0.9,
    "zorder": 1.5,
}  # a curve of models that were not trained
HOLLOW = {"markerfacecolor": "white"}
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
    "text.parse_math": False,  # a dollar in a label is a dollar
}
LETTER = 0.06  # inches: the width of a letter at these sizes, on the safe side

logging.getLogger("fontTools").setLevel(logging.WARNING)  # else it reports every font table


@contextmanager
def drawing(names: Iterable[object] = ()) -> Iterator[None]:
    """Within the block, figures have their style. `names` are the labels and models to draw, of any letters.

    One warning names the letters that no font of this machine has (`lettering.find_fonts`).
    """
    fonts = {"font.family": lettering.find_fonts(names)}
    with matplotlib.rc_context(STYLE | fonts), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # else one per letter and drawing
        yield


def read(paths: str | Sequence[str]) -> pd.DataFrame:
    """A table, or several one below the other."""
    paths = [paths] if isinstance(paths, str) else paths
    tables = [csv_files.read(path) for path in paths]
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def in_percent(convexity: pd.DataFrame, average: str) -> pd.DataFrame:
    """The convexity table with `score`, `stderr` and `chance` in %, for the mean `average`."""
    if average not in averages.COLUMNS:
        raise ValueError(f"average must be one of {sorted(averages.COLUMNS)}, not {average!r}")
    columns = averages.COLUMNS[average]._asdict()
    return convexity.assign(**{name: 100 * convexity[column] for name, column in columns.items()})


def average_runs(finetuning: pd.DataFrame) -> pd.DataFrame:
    """Fine-tuning runs, a row per model, task and layers. In %: `accuracy`, its `sigma` and its `spread`, the
    standard deviation over `seeds` runs (missing for one)."""
    runs = finetuning.groupby(["task", "model", "layers", "full_layers"], as_index=False, sort=False).agg(
        accuracy=("accuracy", "mean"),
        sigma=("sigma", "mean"),
        spread=("accuracy", "std"),
        seeds=("accuracy", "size"),
    )
    runs[["accuracy", "sigma", "spread"]] *= 100
    return runs


def name_runs(runs: pd.DataFrame, plan: pd.DataFrame) -> pd.Series:
    """The kind of each of `runs` (task, model, layers, full_layers): `full`, `pruned` as planned, `sweep`."""
    planned = runs[["task", "model"]].merge(plan, how="left")["layers"].set_axis(runs.index)
    kinds = pd.Series("sweep", index=runs.index)
    return kinds.mask(runs["layers"] == planned, "pruned").mask(runs["layers"] == runs["full_layers"], "full")


def in_order(datasets: Iterable[str]) -> list[str]:
    """The names of `datasets`, each once: those of the paper first, then the others as they come."""
    names = list(dict.fromkeys(datasets))
    return [*(name for name in DATASETS if name in names), *(name for name in names if name not in DATASETS)]


def colour_datasets(datasets: Iterable[str]) -> dict[str, str]:
    """A colour for each of `datasets`, `in_order`. Those of the paper have the same one in every run."""
    others = cycle(OTHERS)
    return {name: DATASETS.get(name) or next(others) for name in in_order(datasets)}


def mixed(*colours: str) -> tuple[float, ...]:
    """Equal parts of `colours`."""
    return tuple(np.mean([to_rgb(colour) for colour in colours], axis=0))


def find_looks(models: Sequence[str], data: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Colour and marker of each of `models` in `data`. Its place among all `models` decides them."""
    looks = zip(models, zip(cycle(MODELS), cycle(MARKERS), strict=False), strict=False)
    present = set(data["model"])
    return {
        model: {"color": colour, "marker": marker} for model, (colour, marker) in looks if model in present
    }


def model_handles(looks: Mapping[str, Mapping[str, str]]) -> list[Line2D]:
    """The models' entries in a legend."""
    return [Line2D([], [], label=lettering.plain(model), **look, **POINT) for model, look in looks.items()]


def add_legend(figure: Figure | SubFigure, handles: Sequence[Line2D], title: str | None = None) -> None:
    """Add a legend below the panels, in as many columns (at most four) as its names leave room for.

    Names that do not fit are cut. More than three rows make the whole figure taller, not its panels smaller.
    """
    width, whole = figure.bbox.width / figure.dpi, figure.get_figure(root=True)
    names = [lettering.cut(handle.get_label(), int((width - 0.5) / LETTER)) for handle in handles]
    columns = int(width / (0.5 + LETTER * max(map(lettering.count_columns, names))))
    columns = min(max(1, columns), 4, len(handles))
    rows = -(-len(handles) // columns)
    whole.set_figheight(whole.get_figheight() + 0.15 * max(0, rows - 3))
    figure.legend(handles, names, title=title, loc="outside lower center", ncols=columns)


def fit_columns(n: int, inches: float) -> float:
    """Width of a figure of `n` panels side by side, `inches` each if the page has room."""
    return max(WIDTH, min(PAGE, 1 + n * inches), 1 + n * NARROW)


def wrap(name: str, inches: float) -> str:
    """A name in lines of at most `inches` (or nine letters), broken at its hyphens if possible."""
    name = lettering.plain(name)
    share = len(name) / max(1, lettering.count_columns(name))  # some letters are twice as wide
    return textwrap.fill(name, max(1, int(max(9, inches / LETTER) * share)))


def stretch_accuracy(ax: Axes) -> None:
    """Stretch an axis of accuracies (%) towards 100, where good models crowd: logarithmic in 101 - y."""

    def forward(y: Any) -> Any:
        return -np.log(np.maximum(101 - y, 1e-3))

    ax.set_yscale("function", functions=(forward, lambda z: 101 - np.exp(-z)))
    low, high = ax.get_ylim()
    high = min(high, 100.2)
    ax.set_ylim(low, high)
    room = max(0.08, 0.12 * ax.figure.dpi / ax.get_window_extent().height)  # more than the height of a number
    ticks: list[float] = []
    for step in (10, 5, 2, 1, 0.5, 0.1):
        if step < 1 and len(ticks) >= 4:
            break
        for tick in np.arange(100, max(low, 0) - 1e-9, -step):
            gap = np.abs(forward(np.array(ticks)) - forward(tick)) / (forward(high) - forward(low))
            if tick <= high and (gap > room).all():
                ticks.append(round(tick, 1))
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def set_logarithmic(ax: Axes, direction: str, values: pd.Series) -> None:
    """Make the axis `x` or `y` logarithmic, with some room beyond `values` and ticks at round numbers."""
    low, high = np.log10([values[values > 0].min(), values.max()])
    margin = 0.08 * (high - low) + 0.02
    ends = 10 ** (low - margin), 10 ** (high + margin)
    if ends[1] < 6 * ends[0]:
        ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(*ends)
    else:
        steps = (1, 2, 5) if ends[1] < 200 * ends[0] else (1,)
        powers = range(math.floor(low) - 1, math.ceil(high) + 1)
        ticks = np.array([step * 10.0**power for power in powers for step in steps])
    ticks = ticks[(ticks >= ends[0]) & (ticks <= ends[1])]
    ax.set(**{f"{direction}scale": "log", f"{direction}lim": ends})
    ax.set(**{f"{direction}ticks": ticks, f"{direction}ticklabels": [f"{tick:.4g}" for tick in ticks]})
    ax.minorticks_off()


def label_points(ax: Axes, labels: Sequence[tuple[float, float, str, Any]]) -> None:
    """Write each (x, y, text, colour) beside its point, inside `ax` and off other points and labels."""
    size = 6.0  # points, as all lengths below
    ax.figure.draw_without_rendering()  # settles the layout, hence where the points are
    scale = 72 / ax.figure.dpi
    points = scale * ax.transData.transform([label[:2] for label in labels])
    low, high = scale * ax.get_window_extent().get_points()
    # diagonals first, to avoid error bars
    directions = np.exp(1j * np.pi / 4 * np.array([3, 7, 1, 5, 2, 6, 0, 4]))
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
        form = {"ha": "center", "va": "center", "size": size, "color": mixed(colour, colour, "black")}
        ax.annotate(text, (x, y), offsets[best], textcoords="offset points", **form)


def save(figure: Figure, data: pd.DataFrame, outputs: Any) -> None:
    """Write `figure` to `outputs.pdf` and (at 200 dpi) `outputs.png`, and the `data` it shows to `.csv`.

    The files have no dates: the same figure gives the same bytes.
    """
    with drawing():
        for path, kind, metadata in (
            (outputs.pdf, "pdf", {"CreationDate": None}),
            (outputs.png, "png", None),
        ):
            with files.atomic(path) as temporary, open(temporary, "wb") as file:
                figure.savefig(file, format=kind, dpi=200, metadata=metadata)
    csv_files.write(outputs.csv, data)
