"""The figure of criteria: what is drawn is in the table, and each criterion marks the layers it keeps."""

import numpy as np
import pandas as pd
import pytest
from convexprune.criteria.registry import CRITERIA
from convexprune.results.figures import criteria
from drawn import LONG, PAPER, assert_nothing_is_covered_or_clipped
from figure_tables import BOTH, FIVE, choices_of, criteria_of, folding_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

CURVES = {  # of 1 to 4 layers; 0 layers have the value 9
    "graph convexity": [0.2, 0.585, 0.6, 0.4],
    "block influence": [0.7, 0.1, 0.3, np.nan],  # lower is better
    "effective rank": [5.0, 5.0, 5.0, 5.0],
    "logme": [np.nan] * 4,
}
SCALED = {
    "graph convexity": [0, 0.9625, 1, 0.5],
    "block influence": [0, 1, 2 / 3],
    "effective rank": [1] * 4,
    "folded model": [0, 0.5, 0.5, 1],
}
KEPT = {"graph convexity": 2, "block influence": 2, "effective rank": 1, "folded model": 4}


@pytest.fixture
def drawn():
    table = pd.DataFrame(
        {
            "model": "tiny",
            "state": "pretrained",
            "dataset": "words",
            "layers": k,
            "criterion": name,
            "value": value,
        }
        for name, values in CURVES.items()
        for k, value in enumerate([9, *values])
    )
    folding = pd.DataFrame({"task": "words", "model": "tiny", "seed": 0, "layers": range(5)})
    folding = folding.assign(validation_accuracy=[0.9, 0.6, 0.7, 0.7, 0.8])
    choices = choices_of(["tiny"]).assign(layers=3)
    table = pd.concat([table.assign(state="words", value=0.5), table])
    return criteria.draw(criteria=table, folding=folding, choices=choices, models=["tiny"])


def test_each_criterion_is_scaled_to_its_range_over_one_layer_or_more(drawn):
    figure, data = drawn
    assert data["layers"].min() == 1 and set(data["criterion"]) == set(SCALED)
    for name, scaled in SCALED.items():
        own = data[data["criterion"] == name]
        assert own["scaled"].tolist() == pytest.approx(scaled)
        assert own["layers"][own["kept"]].tolist() == [KEPT[name]]
    assert set(data["layers"][data["best_on_test"]]) == {3}
    [image] = figure.axes[0].get_images()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["graph convexity", "folded model", "block influence", "effective rank (RankMe)"]
    pixels = image.get_array()
    assert pixels[0].tolist() == pytest.approx(SCALED["graph convexity"])
    assert pixels.mask.tolist()[2] == [False, False, False, True]  # the next layer of the last is not there


def test_marks_stand_where_the_table_says(drawn):
    figure, _ = drawn
    lines = figure.axes[0].get_lines()
    [dotted] = [line for line in lines if line.get_color() == criteria.BEST["color"]]
    assert list(dotted.get_xdata()) == [3, 3]
    [circles] = [line for line in lines if line.get_marker() == "o"]
    by_row = dict(zip(circles.get_ydata(), circles.get_xdata(), strict=True))
    assert by_row == {0: 2, 1: 4, 2: 2, 3: 1}
    [line] = [line for line in lines if line.get_color() == "black" and line.get_marker() != "o"]
    assert list(line.get_ydata()) == [1.5, 1.5]  # between those that need labels and those that do not


def test_without_a_sweep_nothing_is_best_on_test():
    layers = {"tiny": 3}
    table, folding = criteria_of(layers), folding_of(layers, BOTH)
    figure, data = criteria.draw(criteria=table, folding=folding, models=["tiny"])
    assert not data["best_on_test"].any()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["kept by the criterion"]
    assert data.groupby(["task", "criterion"])["kept"].sum().eq(1).all() and len(CRITERIA) > 10


@pytest.mark.parametrize("tasks", [BOTH, FIVE], ids=len)
@pytest.mark.parametrize("layers", [{"tiny": 3}, LONG, PAPER], ids=len)
def test_nothing_is_covered_or_clipped(layers, tasks):
    figure, _ = criteria.draw(
        criteria=criteria_of(layers, tasks),
        folding=folding_of(layers, tasks),
        choices=choices_of(layers),
        models=list(layers),
    )
    assert_nothing_is_covered_or_clipped(figure)
