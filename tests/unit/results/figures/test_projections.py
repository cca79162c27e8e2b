"""Projections: views stand by model, dataset and depth, with the score of their layer, one look a class."""

import pandas as pd
import pytest
from convexprune.results import projection
from convexprune.results.figures import projections, style
from drawn import HOSTILE, LONG, PAPER, assert_nothing_is_covered_or_clipped, output_in
from figure_tables import BOTH, views_of
from matplotlib.colors import same_color

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


def draw(views, models):
    """The figure of `views`, each of a convexity of 3 % a layer, and what it shows."""
    keys = views[["model", "dataset", "layers"]].drop_duplicates()
    convexity = keys.assign(state="pretrained", score=0.03 * keys["layers"], stderr=0.01)
    convexity = convexity.assign(chance=0.1, class_chance=0.1)
    convexity = pd.concat([convexity.assign(state="words", score=0.9), convexity])
    return projections.draw(projections=views, convexity=convexity, models=models, average="pair")


def test_the_table_is_the_views_with_the_scores_of_their_layers():
    views = views_of({"a": 6, "b": 1})
    _, data = draw(views, ["a", "b"])
    assert data["convexity"].tolist() == pytest.approx((3 * data["layers"]).tolist())
    assert data.drop(columns="convexity").equals(
        views.reset_index(drop=True).astype({"x": "float32", "y": "float32"})[
            [name for name in data if name != "convexity"]
        ]
    )


def test_every_class_that_is_coloured_has_a_look():
    assert len(projections.LOOKS) == projection.COLOURS


def test_views_stand_by_model_dataset_and_depth_with_one_look_a_class():
    layers = {"a": 6, "b": 1}
    figure, data = draw(views_of(layers), list(layers))
    words, speakers = figure.subfigs
    for part, name in ((words, "words"), (speakers, "speakers")):
        assert [ax.get_title() for ax in part.axes] == [
            *(f"{name}\n0 layers, 0 %", "▼ 3 layers, 9 %", "6 layers, 18 %"),
            *("▼ 0 layers, 0 %", "1 layer, 3 %", ""),
        ]
    assert [ax.get_ylabel() for ax in words.axes[::3]] == ["a", "b"]
    for ax, layers_kept in zip(words.axes[:3], (0, 3, 6), strict=True):
        view = data[(data["model"] == "a") & (data["dataset"] == "words") & (data["layers"] == layers_kept)]
        others, *classes = ax.get_lines()
        assert others.get_xydata().tolist() == view.loc[~view["coloured"], ["x", "y"]].to_numpy().tolist()
        [legend] = words.legends
        for line, handle, text in zip(classes, legend.legend_handles, legend.get_texts(), strict=True):
            own = view[view["label"] == text.get_text()]
            assert line.get_xydata().tolist() == own[["x", "y"]].to_numpy().tolist()
            assert (
                same_color(line.get_color(), handle.get_color()) and line.get_marker() == handle.get_marker()
            )


@pytest.mark.parametrize(
    ("layers", "datasets"),
    [(PAPER, ("words",)), (LONG, ("speakers",)), ({"a": 3}, BOTH)],
    ids=["paper", "long", "one"],
)
def test_nothing_is_covered_or_clipped(layers, datasets):
    figure, _ = draw(views_of(layers, datasets), list(layers))
    assert figure.get_figwidth() <= 7.2
    assert_nothing_is_covered_or_clipped(figure)


def test_any_label_stands_in_the_legend_as_it_is_spelled(tmp_path):
    for start in range(0, len(HOSTILE), len(projections.LOOKS)):
        names = HOSTILE[start : start + len(projections.LOOKS)]
        views = views_of({"a": 2}, ("words",), classes=len(names))
        views["label"] = [names[i % len(names)] for i in range(len(views))]
        figure, data = draw(views.assign(coloured=True), ["a"])
        shown = [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
        assert shown == [" ".join(name.split()) for name in sorted(names)]
        style.save(figure, data, output_in(tmp_path, "projections"))
