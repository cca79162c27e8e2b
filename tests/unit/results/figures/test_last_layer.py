"""Last layer: each full model stands at its convexity and its accuracy."""

from itertools import combinations

import numpy as np
import pytest
from convexprune.results.figures import last_layer
from drawn import PAPER, assert_nothing_is_covered_or_clipped
from figure_tables import BOTH, FIVE, convergence_of, correlations_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


def test_last_layer_convexity_is_drawn_against_accuracy_with_the_layers_written():
    table = convergence_of(PAPER)
    figure, _ = last_layer.draw(convergence=table, correlations=correlations_of(), models=list(PAPER))
    for ax, task in zip(figure.axes, ("words", "speakers"), strict=True):
        assert ax.get_title(loc="left") == f"{task}, ρ = 0.88"
        of_task = table[table["task"] == task]
        points = {
            (round(100 * row.convexity, 9), round(100 * row.accuracy, 9), str(row.stops_rising))
            for row in of_task.itertuples()
        }
        assert {(*np.round(text.xy, 9), text.get_text()) for text in ax.texts} == points
        drawn = np.concatenate([line.get_xydata() for line in ax.get_lines()])
        assert {tuple(point) for point in np.round(drawn, 9)} == {point[:2] for point in points}
    unknown, _ = last_layer.draw(
        convergence=table, correlations=correlations_of(rho=np.nan), models=list(PAPER)
    )
    assert [ax.get_title(loc="left") for ax in unknown.axes] == ["words", "speakers"]


@pytest.mark.parametrize("tasks", [("words",), BOTH, FIVE])
@pytest.mark.parametrize("layers", [PAPER, {"tiny": 4}], ids=["seven", "one"])
def test_nothing_is_covered_or_clipped(layers, tasks):
    figure, _ = last_layer.draw(
        convergence=convergence_of(layers, tasks), correlations=correlations_of(tasks), models=list(layers)
    )
    assert_nothing_is_covered_or_clipped(figure)
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in ax.texts]
        assert all(ax.get_window_extent().containsx(box.x0) for box in boxes)
        assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in combinations(boxes, 2))
