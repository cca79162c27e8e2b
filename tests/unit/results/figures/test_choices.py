"""Choices: each is drawn with its loss and its time."""

from itertools import combinations

import numpy as np
import pytest
from convexprune.criteria.registry import CRITERIA
from convexprune.results.figures import choices
from drawn import PAPER, assert_nothing_is_covered_or_clipped
from figure_tables import choices_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


def drawn_points(ax, marker) -> set[tuple[float, float]]:
    lines = (line for line in ax.get_lines() if line.get_marker() == marker)
    return {tuple(point) for line in lines for point in np.round(line.get_xydata(), 9)}


def test_choices_are_drawn_with_their_loss_and_their_time():
    table = choices_of(["a", "b"], tasks=("words", "speakers"))
    figure, data = choices.draw(choices=table, models=["a", "b"])
    assert data is table
    axes = figure.axes
    assert [ax.get_title(loc="left") for ax in axes] == (
        ["accuracy lost, words", "time to choose", "accuracy lost, speakers", "time to choose"]
    )
    # Of a criterion the fewest layers near its best value; the best on test loses nothing by definition.
    shown = table[(table["choice"] != "best on test") & (table["rule"] != "best")]
    for i, task in enumerate(("words", "speakers")):
        of_task = shown[shown["task"] == task]
        names = [label.get_text() for label in axes[2 * i].get_yticklabels()]
        assert len(names) == of_task["choice"].nunique() == len(CRITERIA) + 4
        assert names[0] == "plan" and names[1:-3] == [criterion.title for criterion in CRITERIA.values()]
        for ax, values in ((axes[2 * i], 100 * of_task["lost"]), (axes[2 * i + 1], of_task["seconds"])):
            for model, marker in (("a", "o"), ("b", "s")):
                found = sorted(drawn_points(ax, marker), key=lambda point: point[1])
                assert [x for x, _ in found] == pytest.approx(
                    values[of_task["model"] == model].tolist(), abs=1e-8
                )
                assert [round(y) for _, y in found] == list(range(len(names)))
            means = sorted(drawn_points(ax, "|"), key=lambda point: point[1])
            expected = values.groupby(of_task["choice"], sort=False).mean()
            assert [x for x, _ in means] == pytest.approx(expected.tolist(), abs=1e-8)


def test_a_tick_stands_wherever_there_is_room_for_its_label():
    table = choices_of(PAPER, ("words", "speakers"))
    figure, _ = choices.draw(choices=table, models=list(PAPER))
    labels = [" ".join(label.get_text().split()) for label in figure.axes[1].get_xticklabels()]
    assert labels == ["0", "1 s", "10 s", "10 min", "1 h", "10 h"]


def test_unknown_times_are_left_out():
    table = choices_of(["a"]).assign(seconds=np.nan)
    figure, _ = choices.draw(choices=table, models=["a"])
    assert_nothing_is_covered_or_clipped(figure)


@pytest.mark.parametrize("seconds", [1, 50, 1e3, 1e6])
@pytest.mark.parametrize("models", [list(PAPER), ["a"]], ids=["seven", "one"])
def test_nothing_is_covered_or_clipped(models, seconds):
    figure, _ = choices.draw(choices=choices_of(models, ("words", "speakers"), seconds), models=models)
    assert_nothing_is_covered_or_clipped(figure)
    for ax in figure.axes:
        low, high = ax.get_xlim()
        ticks = [t for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high and t.get_text()]
        assert len(ticks) >= 2
        boxes = [tick.get_window_extent() for tick in ticks]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
