"""Convexity by layer: every curve, band and mark is that of the tables."""

from itertools import product

import numpy as np
import pytest
from convexprune.results.figures import convexity_by_layer, style
from drawn import HOSTILE, PAPER, assert_nothing_is_covered_or_clipped, output_in
from figure_tables import FIVE, STATES, convexity_of, plan_of
from matplotlib.colors import same_color

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


def draw(layers, average="pair", **kwargs):
    """The convexity table of models with so many `layers`, and the figure of it."""
    table = convexity_of(layers, **kwargs)
    figure, _ = convexity_by_layer.draw(
        convexity=table, plan=plan_of(layers), models=list(layers), average=average
    )
    return table, figure


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


def test_base_models_above_large_ones():
    _, figure = draw(PAPER)
    assert grid_of(figure) == [
        ["wav2vec2-base", "wavlm-base", "hubert-base", "ccc-wav2vec2-base"],
        ["wav2vec2-large", "wavlm-large", "hubert-large", ""],
    ]


def test_one_row_without_large_models_and_more_rows_for_many():
    assert grid_of(draw({"a": 6, "b": 4})[1]) == [["a", "b"]]
    assert grid_of(draw(dict.fromkeys("abcde", 2))[1]) == [[*"abcd"], ["e", "", "", ""]]


@pytest.mark.parametrize("average", ["pair", "class"])
def test_every_curve_is_drawn_as_its_dataset_and_state(average):
    layers = {"small": 6, "tiny": 4}
    table, figure = draw(layers, average)
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
                assert same_color(line.get_color(), style.DATASETS[dataset])
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
    table, figure = draw(layers)
    pretrained = table[table["state"] == "pretrained"].set_index(["model", "dataset", "layers"])["score"]
    for model, full in layers.items():
        marks = [line for line in panel_of(figure, model).get_lines() if line.get_marker() == "o"]
        found = {
            (line.get_color(), *line.get_xdata(), *np.round(line.get_ydata(), 9))
            for line in marks
            if len(line.get_xdata())
        }
        assert found == {
            (style.DATASETS[task], k, round(100 * pretrained[model, task, k], 9))
            for task, k in (("words", full // 2), ("speakers", full // 4))
        }


def test_plausible_choices_are_a_broad_line_on_that_curve():
    _, figure = draw({"small": 6, "tiny": 4})
    broad = [line for line in panel_of(figure, "small").get_lines() if line.get_linewidth() == 6]
    found = {line.get_color(): list(line.get_xdata()) for line in broad if len(line.get_xdata())}
    assert found == {style.DATASETS["words"]: [2, 3, 4], style.DATASETS["speakers"]: [0, 1, 2]}


def test_the_legend_names_only_what_is_there():
    _, figure = draw({"a": 2}, states=("pretrained", "words"), datasets=("words",))
    texts = {text.get_text() for text in figure.legends[0].get_texts()} - {" "}
    assert texts == {
        *("words", "pretrained", "fine-tuned to words"),
        *("kept by the plan", "plausible choices", "chance", "± standard error"),
    }


def test_an_unknown_average_is_named():
    with pytest.raises(ValueError, match="median"):
        draw({"a": 2}, average="median")


@pytest.mark.parametrize("layers", [PAPER, {"small": 6, "tiny": 4}, {"a": 2}], ids=["paper", "two", "one"])
def test_nothing_is_covered_or_clipped(layers):
    _, figure = draw(layers)
    assert figure.get_figwidth() <= 7.2
    assert_nothing_is_covered_or_clipped(figure)


def test_of_many_datasets_a_fine_tuned_model_is_drawn_on_that_of_its_task_alone():
    """Every dataset has a colour of its own, and the legend takes no room from the panels."""
    layers = {"small": 6, "tiny": 4}
    table = convexity_of(layers, states=("pretrained", *FIVE), datasets=FIVE)
    plan = plan_of(layers, tasks=FIVE, divisors=(2,) * 5)
    figure, data = convexity_by_layer.draw(convexity=table, plan=plan, models=list(layers), average="pair")
    drawn = set(data[["state", "dataset"]].itertuples(index=False, name=None))
    assert drawn == {("pretrained", name) for name in FIVE} | {(name, name) for name in FIVE}
    colours = style.colour_datasets(FIVE)
    assert len(set(colours.values())) == 5 and colours["words"] == style.DATASETS["words"]
    assert_nothing_is_covered_or_clipped(figure)
    assert figure.axes[0].get_window_extent().height / figure.dpi > 0.9


def test_any_model_is_named_as_it_is_spelled(tmp_path):
    table, figure = draw(dict.fromkeys(HOSTILE, 2), states=("pretrained",), datasets=("words",))
    titles = [title for row in grid_of(figure) for title in row if title]
    assert ["".join(title.split()) for title in titles] == ["".join(name.split()) for name in HOSTILE]
    style.save(figure, table, output_in(tmp_path, "figure"))
