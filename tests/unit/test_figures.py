"""The figures: what is drawn is what the tables say, and nothing covers anything."""

from itertools import combinations, product
from types import SimpleNamespace

import draw_figure1
import draw_figure2
import numpy as np
import pandas as pd
import pytest
from convexprune import figures
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from PIL import Image

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

PAPER = {
    **{"wav2vec2-base": 12, "wav2vec2-large": 24, "wavlm-base": 12, "wavlm-large": 24},
    **{"hubert-base": 12, "hubert-large": 24, "ccc-wav2vec2-base": 12},
}
STATES = ("pretrained", "words", "speakers", "untrained")


def convexity_of(layers, states=STATES, datasets=("words", "speakers", "phonemes")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [
            {"model": model, "state": state, "dataset": dataset, "layers": k, "chance": 0.2}
            for (model, full), state, dataset in product(layers.items(), states, datasets)
            for k in range(full + 1)
        ]
    )
    for column, top in (("score", 1), ("class_score", 1), ("stderr", 0.05), ("class_stderr", 0.05)):
        table[column] = top * rng.random(len(table))
    return table.sample(frac=1, random_state=0)


def plan_of(layers, tasks=("words", "speakers")) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "task": task, "layers": full // divisor, "full_layers": full}
            for model, full in layers.items()
            for task, divisor in zip(tasks, (2, 4), strict=False)
        ]
    )


def finetuning_of(layers, task="words", step=2, seeds=(0,)) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"model": model, "task": task, "layers": k, "full_layers": full, "seed": seed}
        for model, full in layers.items()
        for k in sorted({*range(0, full, step), full})
        for seed in seeds
    ]
    return pd.DataFrame(rows).assign(accuracy=rng.uniform(0.7, 0.99, len(rows)), sigma=0.002)


def draw1(layers, average="pair", **kwargs):
    table = convexity_of(layers, **kwargs)
    sizes = {model: "large" if "large" in model else "base" for model in layers}
    return table, figures.figure1(table, plan_of(layers), list(layers), sizes, layers, average)


def grid_of(figure) -> list[list[str]]:
    """Titles of the panels, as they stand; empty where there is none."""
    places = {}
    for ax in figure.axes:
        spec = ax.get_subplotspec()
        places[spec.rowspan.start, spec.colspan.start] = (
            (ax.get_title(loc="left") or "axes without a title") if ax.axison else ""
        )
    rows, columns = (1 + max(place[i] for place in places) for i in (0, 1))
    return [[places[row, column] for column in range(columns)] for row in range(rows)]


def panel_of(figure, model):
    return next(ax for ax in figure.axes if ax.get_title(loc="left") == model)


def line_through(ax, x, y):
    """The one line of `ax` that goes through exactly these points."""
    (found,) = (
        line
        for line in ax.get_lines()
        if len(line.get_xdata()) == len(x) and np.allclose([line.get_xdata(), line.get_ydata()], [x, y])
    )
    return found


def assert_nothing_is_covered_or_clipped(figure):
    """Panels with their labels, legend and figure edge keep apart (a hair's rounding allowed)."""
    figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    edge = figure.bbox.padded(1)
    for box in boxes:
        assert edge.x0 <= box.x0 < box.x1 <= edge.x1
        assert edge.y0 <= box.y0 < box.y1 <= edge.y1
    for one, other in combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))


def test_base_models_above_large_ones():
    _, figure = draw1(PAPER)
    assert grid_of(figure) == [
        ["wav2vec2-base", "wavlm-base", "hubert-base", "ccc-wav2vec2-base"],
        ["wav2vec2-large", "wavlm-large", "hubert-large", ""],
    ]


def test_one_row_without_large_models_and_more_rows_for_many():
    assert grid_of(draw1({"a": 6, "b": 4})[1]) == [["a", "b"]]
    assert grid_of(draw1(dict.fromkeys("abcde", 2))[1]) == [[*"abcd"], ["e", "", "", ""]]


@pytest.mark.parametrize("average", ["pair", "class"])
def test_every_curve_is_drawn_as_its_dataset_and_state(average):
    layers = {"small": 6, "tiny": 4}
    table, figure = draw1(layers, average)
    columns = {"pair": ("score", "stderr"), "class": ("class_score", "class_stderr")}
    score, stderr = columns[average]
    dashes = {}
    for model, full in layers.items():
        ax = panel_of(figure, model)
        for state, dataset in product(STATES, ("words", "speakers", "phonemes")):
            rows = table.query("model == @model and state == @state and dataset == @dataset")
            rows = rows.sort_values("layers")
            line = line_through(ax, np.arange(full + 1), 100 * rows[score])
            if state != "untrained":
                assert same_color(line.get_color(), figures.DATASETS[dataset])
            dashes.setdefault(state, set()).add(str(line._unscaled_dash_pattern))
            low, high = 100 * (rows[score] - rows[stderr]), 100 * (rows[score] + rows[stderr])
            bands = (band.get_datalim(ax.transData) for band in ax.collections)
            assert any(np.allclose([band.y0, band.y1], [low.min(), high.max()]) for band in bands)
        flat = [line for line in ax.get_lines() if np.allclose([*line.get_ydata(), 20], 20)]
        assert len([line for line in flat if len(line.get_ydata())]) == 3
        assert ax.get_xlim()[0] < 0 < full < ax.get_xlim()[1]
    assert all(len(found) == 1 for found in dashes.values())
    assert len(set.union(*dashes.values())) == len(STATES)


def test_the_plan_is_marked_on_the_pretrained_curve_of_its_task():
    layers = {"small": 6, "tiny": 4}
    table, figure = draw1(layers)
    pretrained = table[table["state"] == "pretrained"].set_index(["model", "dataset", "layers"])["score"]
    for model, full in layers.items():
        marks = [line for line in panel_of(figure, model).get_lines() if line.get_marker() == "o"]
        found = {
            (line.get_color(), *line.get_xdata(), *np.round(line.get_ydata(), 9))
            for line in marks
            if len(line.get_xdata())
        }
        assert found == {
            (figures.DATASETS[task], k, round(100 * pretrained[model, task, k], 9))
            for task, k in (("words", full // 2), ("speakers", full // 4))
        }


def test_the_legend_names_only_what_is_there():
    _, figure = draw1({"a": 2}, states=("pretrained", "words"), datasets=("words",))
    texts = {text.get_text() for text in figure.legends[0].get_texts()} - {" "}
    assert texts == {
        *("words", "pretrained", "fine-tuned to words"),
        *("kept by the plan", "chance", "± standard error"),
    }


def test_an_unknown_average_is_named():
    with pytest.raises(ValueError, match="median"):
        draw1({"a": 2}, average="median")


@pytest.mark.parametrize("layers", [PAPER, {"small": 6, "tiny": 4}, {"a": 2}], ids=["paper", "two", "one"])
def test_figure1_keeps_everything_apart(layers):
    _, figure = draw1(layers)
    assert figure.get_figwidth() <= 7.2
    assert_nothing_is_covered_or_clipped(figure)


def starred(ax) -> list[tuple[float, float]]:
    return [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in ax.get_lines()
        if line.get_marker() == "*" and len(line.get_xdata())
    ]


def test_points_are_pretrained_convexity_against_mean_accuracy_with_layers_written():
    layers = {"small": 6, "tiny": 4}
    table, runs = convexity_of(layers), finetuning_of(layers, step=1, seeds=(0, 1))
    other = finetuning_of(layers, task="speakers", step=1)
    ax = figures.figure2(table, pd.concat([runs, other]), list(layers), "words", "class").axes[0]
    scores = table.query("state == 'pretrained' and dataset == 'words'").set_index(["model", "layers"])
    means = 100 * runs.groupby(["model", "layers"])["accuracy"].mean()
    expected = {
        (str(k), round(100 * scores.loc[(model, k), "class_score"], 9), round(accuracy, 9))
        for (model, k), accuracy in means.items()
    }
    assert {(text.get_text(), *np.round(text.xy, 9)) for text in ax.texts} == expected
    drawn = np.concatenate([line.get_xydata() for line in ax.get_lines() if line.get_linestyle() == "None"])
    assert {tuple(point) for point in np.round(drawn, 9)} >= {point[1:] for point in expected}
    # the star: the best of the pruned; hollow: the full model
    pruned = means[[k < layers[model] for model, k in means.index]]
    best = [pruned[model].idxmax() for model in layers]
    assert np.allclose(
        sorted(starred(ax)),
        sorted(
            (100 * scores.loc[(model, k), "class_score"], means[model, k])
            for model, k in zip(layers, best, strict=True)
        ),
    )
    hollow = [line.get_xydata()[0] for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    assert np.allclose(
        hollow, [(100 * scores.loc[(m, full), "class_score"], means[m, full]) for m, full in layers.items()]
    )


def test_every_model_looks_different():
    layers = dict.fromkeys("abcdefghijkl", 2)
    figure = figures.figure2(
        convexity_of(layers), finetuning_of(layers, step=1), list(layers), "words", "pair"
    )
    handles = figure.legends[0].legend_handles[: len(layers)]
    assert len({(line.get_color(), line.get_marker()) for line in handles}) == len(layers)


@pytest.mark.parametrize("step", [2, 6, 12], ids=["sweep", "few points", "no and all layers"])
def test_labels_of_like_models_keep_apart_and_inside(step):
    layers = {model: full for model, full in PAPER.items() if full == 12}
    rng = np.random.default_rng(2)
    table, runs = convexity_of(layers), finetuning_of(layers, step=step)
    table["score"] = 0.2 + 0.03 * table["layers"] + rng.normal(0, 0.003, len(table))
    table["stderr"] = 0.001
    runs["accuracy"] = 0.9 + 0.007 * runs["layers"] + rng.normal(0, 0.001, len(runs))
    figure = figures.figure2(table, runs, list(layers), "words", "pair")
    assert_nothing_is_covered_or_clipped(figure)
    (ax,) = figure.axes
    frame = ax.get_window_extent().padded(1)
    assert frame.height > figure.bbox.height / 2
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 4 * (12 // step + 1)
    for box in boxes:
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
    assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("accuracies", [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (0.971, 0.973), (0.1, 0.4)])
def test_any_accuracy_can_be_drawn_with_readable_ticks(accuracies):
    runs = finetuning_of({"a": 2}, step=1).assign(accuracy=[*accuracies, accuracies[0]])
    figure = figures.figure2(convexity_of({"a": 2}), runs, ["a"], "words", "pair")
    (ax,) = figure.axes
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    assert low < 100 * min(accuracies) <= 100 * max(accuracies) < high
    ticks = sorted(tick for tick in ax.get_yticks() if low <= tick <= high)
    assert len(ticks) >= 3
    heights = [ax.transData.transform((0, tick))[1] for tick in ticks]
    assert np.diff(heights).min() > 0.07 * ax.get_window_extent().height


def test_no_runs_of_the_task_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="fine-tuned to speakers"):
        figures.figure2(convexity_of({"a": 2}), finetuning_of({"a": 2}), ["a"], "speakers", "pair")


@pytest.mark.parametrize("adapter", [draw_figure1, draw_figure2])
def test_adapters_write_pdf_and_png(adapter, tmp_path):
    layers = {"small": 3}
    inputs = {"convexity": convexity_of(layers), "plan": plan_of(layers), "finetuning": finetuning_of(layers)}
    for name, table in inputs.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    settings = {
        draw_figure1: {"models": ["small"], "average": "pair", "sizes": {"small": "base"}, "layers": layers},
        draw_figure2: {"models": ["small"], "average": "pair", "task": "words"},
    }
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**{name: str(tmp_path / f"{name}.csv") for name in inputs}),
            output=SimpleNamespace(
                pdf=str(tmp_path / "out/figure.pdf"), png=str(tmp_path / "out/figure.png")
            ),
            params=SimpleNamespace(settings=settings[adapter]),
            log=[str(tmp_path / "log")],
        )
    )
    assert (tmp_path / "out/figure.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "out/figure.png") as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.width == 200 * figures.WIDTH


def test_a_figure_saved_later_has_the_same_bytes(tmp_path, monkeypatch):
    written = []
    for day in ("0", "86400"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", day)  # the date that matplotlib would write
        figure = Figure()
        figure.text(0.5, 0.5, "text")
        figures.save(figure, tmp_path / "a.pdf", tmp_path / "a.png")
        written.append([(tmp_path / name).read_bytes() for name in ("a.pdf", "a.png")])
    assert written[0] == written[1]
