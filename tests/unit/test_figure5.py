"""Figure 5: each class has its row in each map, and its colours are its scores."""

from itertools import product
from types import SimpleNamespace

import draw_figure5
import numpy as np
import pandas as pd
import pytest
from convexprune.figures import figure5
from drawn import LONG, MANY, PAPER, assert_nothing_is_covered_or_clipped, output_in

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

TWO = {"small": 6, "tiny": 4}
COUNTS = {"words": 5, "speakers": 41, "phonemes": 3}  # one more than is labelled


def classes_of(layers, counts=COUNTS, state="pretrained") -> pd.DataFrame:
    rng = np.random.default_rng(6)
    rows = [
        {"model": model, "state": state, "dataset": dataset, "layers": k, "label": f"{dataset}-{i}"}
        for (model, full), (dataset, n) in product(layers.items(), counts.items())
        for k, i in product(range(full + 1), range(n))
    ]
    return pd.DataFrame(rows).assign(score=rng.uniform(0.31, 0.79, len(rows)), n_items=9)


def plan_of(layers, tasks=("words", "speakers")) -> pd.DataFrame:
    rows = [(model, task, full // 2, full) for (model, full), task in product(layers.items(), tasks)]
    return pd.DataFrame(rows, columns=["model", "task", "layers", "full_layers"])


def drawn(layers, counts=COUNTS):
    data = figure5.tabulate(classes_of(layers, counts), plan_of(layers), list(layers))
    return data, figure5.draw(data, list(layers))


def test_the_most_convex_class_is_on_top_in_every_model():
    classes = classes_of(TWO)
    fine_tuned = classes_of(TWO, state="words").assign(score=0.99)
    other = classes_of({"other": 2}).assign(score=0.99)
    data = figure5.tabulate(pd.concat([fine_tuned, classes, other]), plan_of(TWO), list(TWO))
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
    data, figure = drawn(TWO)
    *maps, bar = figure.axes
    expected = classes.set_index(["model", "dataset", "layers", "label"])["score"]
    labels = data.drop_duplicates(["dataset", "row"]).sort_values("row").groupby("dataset")["label"].agg(list)
    for ax, (dataset, model) in zip(maps, product(("words", "speakers", "phonemes"), TWO), strict=True):
        [image] = ax.get_images()
        assert image.get_array().shape == (COUNTS[dataset], TWO[model] + 1)
        for (row, layers), value in np.ndenumerate(image.get_array()):
            assert value == pytest.approx(100 * expected[model, dataset, layers, labels[dataset][row]])
        assert image.get_clim() == (30, 80)
        kept = [line.get_xdata().tolist() for line in ax.get_lines()]
        assert kept == ([[TWO[model] // 2]] if dataset != "phonemes" else [])
    assert bar.get_ylim() == (30, 80)
    named = [[label.get_text() for label in ax.get_yticklabels()] for ax in maps[::2]]
    assert named == [labels["words"], [], labels["phonemes"]]
    assert maps[2].get_ylabel() == "41 speakers"


def test_a_class_of_one_item_has_no_score_and_comes_last():
    classes = classes_of({"a": 2}, {"words": 3})
    classes.loc[classes["label"] == "words-1", "score"] = np.nan
    data = figure5.tabulate(classes, plan_of({"a": 2}), ["a"])
    assert set(data["row"][data["label"] == "words-1"]) == {2}
    [image] = figure5.draw(data, ["a"]).axes[0].get_images()
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
def test_figure5_keeps_everything_apart(layers, counts):
    _, figure = drawn(layers, counts)
    assert figure.get_figwidth() <= 8.5 and figure.get_figheight() <= 9.5
    assert_nothing_is_covered_or_clipped(figure)
    assert all(tick == round(tick) for ax in figure.axes[:-1] for tick in ax.get_xticks())


def test_the_adapter_keeps_labels_as_they_are(tmp_path):
    classes = classes_of({"a": 2}, {"words": 3}).replace({"label": {"words-0": "null", "words-1": "007"}})
    classes.to_csv(tmp_path / "classes.csv", index=False)
    plan_of({"a": 2}).to_csv(tmp_path / "plan.csv", index=False)
    draw_figure5.main(
        SimpleNamespace(
            input=SimpleNamespace(classes=[tmp_path / "classes.csv"], plan=tmp_path / "plan.csv"),
            output=output_in(tmp_path),
            params=SimpleNamespace(settings={"models": ["a"]}),
            log=[str(tmp_path / "log")],
        )
    )
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    shown = pd.read_csv(tmp_path / "figure.csv", dtype=str, na_filter=False)
    assert set(shown["label"]) == {"null", "007", "words-2"}
