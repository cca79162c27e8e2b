"""Classes: each class has its row in each map, and its colours are its scores."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from convexprune.results.figures import classes as by_class
from convexprune.results.figures import style
from drawn import HOSTILE, LONG, MANY, PAPER, assert_nothing_is_covered_or_clipped, output_in
from figure_tables import COUNTS, classes_of, plan_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

TWO = {"small": 6, "tiny": 4}


def draw(classes, layers):
    return by_class.draw(classes=classes, plan=plan_of(layers), models=list(layers))


def test_the_most_convex_class_is_on_top_in_every_model():
    classes = classes_of(TWO)
    fine_tuned = classes_of(TWO, state="words").assign(score=0.99)
    other = classes_of({"other": 2}).assign(score=0.99)
    _, data = draw(pd.concat([fine_tuned, classes, other]), TWO)
    assert len(data) == len(classes)
    for dataset, n in COUNTS.items():
        means = classes[classes["dataset"] == dataset].groupby("label")["score"].mean()
        rows = data[data["dataset"] == dataset].groupby("label")["row"].unique()
        assert all(len(row) == 1 for row in rows)
        order = rows.str[0].sort_values()
        assert order.tolist() == list(range(n))
        assert order.index.tolist() == means.sort_values(ascending=False).index.tolist()


def test_colours_are_the_scores_on_one_scale():
    classes = classes_of(TWO)
    figure, data = draw(classes, TWO)
    *maps, bar = figure.axes
    expected = classes.set_index(["model", "dataset", "layers", "label"])["score"]
    labels = data.drop_duplicates(["dataset", "row"]).sort_values("row").groupby("dataset")["label"].agg(list)
    for ax, (dataset, model) in zip(maps, product(("words", "speakers", "phonemes"), TWO), strict=True):
        [image] = ax.get_images()
        assert image.get_array().shape == (COUNTS[dataset], TWO[model] + 1)
        for (row, layers), value in np.ndenumerate(image.get_array()):
            assert value == pytest.approx(100 * expected[model, dataset, layers, labels[dataset][row]])
        assert image.get_clim() == (30, 80)
        kept = [line.get_xdata()[0] for line in ax.get_lines()]
        assert kept == {"words": [TWO[model] // 2], "speakers": [TWO[model] // 4], "phonemes": []}[dataset]
    assert bar.get_ylim() == (30, 80)
    named = [[label.get_text() for label in ax.get_yticklabels()] for ax in maps[::2]]
    assert named == [labels["words"], [], labels["phonemes"]]
    assert maps[2].get_ylabel() == "41 speakers"


def test_a_class_of_one_item_has_no_score_and_comes_last():
    classes = classes_of({"a": 2}, {"words": 3})
    classes.loc[classes["label"] == "words-1", "score"] = np.nan
    figure, data = draw(classes, {"a": 2})
    assert set(data["row"][data["label"] == "words-1"]) == {2}
    [image] = figure.axes[0].get_images()
    assert image.get_array().mask.tolist() == [[False] * 3, [False] * 3, [True] * 3]


@pytest.mark.parametrize(
    ("layers", "counts"),
    [
        (PAPER, {"words": 35, "speakers": 388, "phonemes": 17}),
        (LONG, {"words": 60, "speakers": 2, "phonemes": 2}),
        (MANY, {"words": 5}),
    ],
    ids=["paper", "long", "many"],
)
def test_nothing_is_covered_or_clipped(layers, counts):
    figure, _ = draw(classes_of(layers, counts), layers)
    assert figure.get_figwidth() <= 8.5 and figure.get_figheight() <= 9.5
    assert_nothing_is_covered_or_clipped(figure)
    assert all(tick == round(tick) for ax in figure.axes[:-1] for tick in ax.get_xticks())


def test_any_label_stands_beside_its_row_as_it_is_spelled(tmp_path):
    classes = classes_of({"a": 2}, {"words": len(HOSTILE)})
    classes["label"] = classes["label"].map({f"words-{i}": name for i, name in enumerate(HOSTILE)})
    figure, data = draw(classes, {"a": 2})
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [
        " ".join(name.split()) for name in data.drop_duplicates("row").sort_values("row")["label"]
    ]
    style.save(figure, data, output_in(tmp_path, "classes"))
    written = pd.read_csv(tmp_path / "classes.csv", dtype=str, na_filter=False)
    assert set(written["label"]) == set(HOSTILE)
