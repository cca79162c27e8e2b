"""Dimensions against NumPy on whole matrices, and of points whose dimension is known."""

import numpy as np
import pytest
from convexprune.convexity.neighbours import nearest_neighbours
from convexprune.criteria import dimension
from convexprune.criteria.registry import UnsuitableError
from scipy.spatial.distance import cdist
from scipy.stats import entropy


def test_the_effective_rank_is_that_of_the_singular_values():
    rng = np.random.default_rng(0)
    for points in (rng.normal(size=(50, 8)) * np.arange(1, 9) + 3, rng.normal(size=(5, 8))):
        singular = np.linalg.svd(points, compute_uv=False)
        found = dimension.effective_rank(np.linalg.eigvalsh(points.T @ points))
        assert found == pytest.approx(np.exp(entropy(singular)), abs=1e-6)
    assert dimension.effective_rank(np.full(6, 4.0)) == pytest.approx(6)
    with pytest.raises(UnsuitableError):
        dimension.effective_rank(np.zeros(3))


def test_twonn_is_the_line_through_the_ratios():
    points = np.random.default_rng(0).normal(size=(200, 4))
    points[7] = points[8]
    distances = np.sort(cdist(points, points), axis=1)[:, 1:3]
    ratios = np.sort([r2 / r1 for r1, r2 in distances if r1 > 0])
    n = len(ratios)  # 198: the two equal items are left out
    kept = int(0.9 * n)
    y = [-np.log(1 - (i + 1) / n) for i in range(kept)]
    [slope], *_ = np.linalg.lstsq(np.log(ratios[:kept])[:, None], np.array(y), rcond=None)
    found = dimension.intrinsic_dimension(nearest_neighbours(points, 5)[1])
    assert n == 198 and found == pytest.approx(slope, abs=1e-6)
    with pytest.raises(UnsuitableError):
        dimension.intrinsic_dimension(np.zeros((9, 2)))


@pytest.mark.parametrize("true", [1, 2, 5])
def test_twonn_finds_the_dimension_of_a_cube_that_lies_in_more(true):
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(3000, true)) @ np.linalg.qr(rng.normal(size=(20, true)))[0].T
    found = dimension.intrinsic_dimension(nearest_neighbours(points, 2)[1])
    assert found == pytest.approx(true, rel=0.1)
