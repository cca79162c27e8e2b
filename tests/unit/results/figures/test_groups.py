"""Groups: every group is a point, significant changes are filled, and nothing is covered."""

import numpy as np
import pandas as pd
import pytest
from convexprune.results.figures import groups, style
from drawn import HOSTILE, LONG, MANY, PAPER, assert_nothing_is_covered_or_clipped, output_in
from figure_tables import correlations_of, groups_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

TWO = {"small": 6, "tiny": 4}


def draw(layers, **made):
    return groups.draw(groups=groups_of(layers, **made), correlations=correlations_of(), models=list(layers))


def points_in(ax, filled=None) -> set[tuple[float, float]]:
    """The points of a panel; only those that are filled, or hollow."""
    lines = [line for line in ax.get_lines() if line.get_marker() not in ("None", "")]
    lines = [line for line in lines if filled in (None, line.get_markerfacecolor() != "white")]
    return {tuple(np.round(xy, 6)) for line in lines for xy in line.get_xydata()}


def test_recall_is_drawn_against_convexity_and_change_against_the_mean():
    figure, data = draw(TWO)
    assert len(data) == len(groups_of(TWO)) and data["significant"].any()
    words = data[data["task"] == "words"]
    recall, by_class, by_speaker, *_ = figure.axes
    classes = words[words["kind"] == "class"]
    expected = classes[["convexity", "pruned"]].round(6)
    assert points_in(recall) == set(expected.itertuples(index=False, name=None))
    for ax, kind in ((by_class, "class"), (by_speaker, "speaker")):
        for filled in (True, False):
            shown = words[(words["kind"] == kind) & (words["significant"] == filled)]
            middle = (shown["full"] + shown["pruned"]) / 2
            expected = set(zip(middle.round(6), shown["change"].round(6), strict=True))
            assert points_in(ax, filled) == expected
    named = {text.get_text() for text in by_class.texts}
    assert named and named <= set(classes["group"][classes["significant"]])
    assert recall.get_title(loc="left") == "words, ρ = 0.25"


def test_a_change_is_significant_after_holms_correction():
    table = groups_of({"a": 2}).assign(p_value=0.01, p_holm=0.06)
    figure, data = groups.draw(groups=table, correlations=correlations_of(), models=["a"])
    assert not data["significant"].any()
    assert not [text for ax in figure.axes for text in ax.texts]


def test_the_range_of_rho_is_that_of_the_models():
    correlations = correlations_of()
    correlations.loc[(correlations["task"] == "words"), "model"] = "a"
    again = correlations.assign(model="b", rho=-0.5)
    table = groups_of(TWO)
    figure, _ = groups.draw(groups=table, correlations=pd.concat([again, correlations]), models=list(TWO))
    assert figure.axes[0].get_title(loc="left") == "words, ρ = -0.50 to 0.25"


@pytest.mark.parametrize("layers", [PAPER, LONG, MANY, {"one": 3}], ids=["paper", "long", "many", "one"])
@pytest.mark.parametrize("made", [{}, {"tasks": ("words",), "classes": 35, "speakers": 0}, {"classes": 2}])
def test_any_models_and_groups_fit(layers, made):
    figure, _ = draw(layers, **made)
    assert_nothing_is_covered_or_clipped(figure)


def test_any_group_is_named_as_it_is_spelled(tmp_path):
    table = groups_of({"a": 2}, tasks=("words",), classes=len(HOSTILE), speakers=0).assign(p_holm=0.01)
    table["group"] = HOSTILE
    figure, data = groups.draw(groups=table, correlations=correlations_of(), models=["a"])
    assert len(figure.axes[1].texts) == groups.NAMED
    style.save(figure, data, output_in(tmp_path, "groups"))
    written = pd.read_csv(tmp_path / "groups.csv", dtype=str, na_filter=False)
    assert written["group"].tolist() == HOSTILE


def test_unknown_speakers_have_no_panel():
    figure, data = draw(TWO, tasks=("words",), speakers=0)
    assert len(figure.axes) == 2 and set(data["kind"]) == {"class"}
