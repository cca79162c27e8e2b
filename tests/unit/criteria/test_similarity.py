"""Two layers compared, against the formulas of the papers on whole matrices."""

import math

import numpy as np
import pytest
from convexprune.criteria import similarity
from convexprune.criteria.registry import UnsuitableError

N, D = 60, 7


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(N, D)) + 1
    return points, points + 0.5 * rng.normal(size=(N, D))


def test_cosines_and_angles_are_those_of_each_item(layers):
    cosines = [
        sum(a * b for a, b in zip(x, y, strict=True)) / math.hypot(*x) / math.hypot(*y)
        for x, y in zip(*(layer.tolist() for layer in layers), strict=True)
    ]
    np.testing.assert_allclose(similarity.cosines(*layers), cosines, atol=1e-12)
    angles = [math.degrees(math.acos(cosine)) / 180 for cosine in cosines]
    assert similarity.angular_distance(*layers) == pytest.approx(sum(angles) / N, abs=1e-12)
    assert similarity.angular_distance(layers[0], -layers[0]) == pytest.approx(1, abs=1e-6)
    assert similarity.angular_distance(np.eye(2), np.eye(2)[::-1]) == 0.5
    with pytest.raises(UnsuitableError, match="zero"):
        similarity.cosines(np.zeros((2, 2)), np.eye(2))


def test_cka_is_that_of_the_kernels_of_all_items(layers):
    """By the independence criterion of centred N x N kernels (Kornblith et al. 2019, equations 2 and 3)."""
    centring = np.eye(N) - 1 / N

    def hsic(K, L):
        return np.trace(K @ centring @ L @ centring) / (N - 1) ** 2

    K, L = (layer @ layer.T for layer in layers)
    points, others = (layer - layer.mean(0) for layer in layers)
    sizes = [np.linalg.norm(layer.T @ layer) for layer in (points, others)]
    found = similarity.linear_cka(points, others, *sizes)
    assert found == pytest.approx(hsic(K, L) / (hsic(K, K) * hsic(L, L)) ** 0.5, abs=1e-6)
    turned, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(D, D)))
    assert similarity.linear_cka(points, 3 * points @ turned, sizes[0], 9 * sizes[0]) == pytest.approx(1)
    with pytest.raises(UnsuitableError, match="equal"):
        similarity.linear_cka(points, 0 * others, sizes[0], 0)


def test_mutual_neighbours_are_counted_item_by_item():
    rng = np.random.default_rng(0)
    neighbours, others = (np.array([rng.permutation(9)[:4] for _ in range(N)]) for _ in range(2))
    common = [len({*a} & {*b}) / 4 for a, b in zip(neighbours.tolist(), others.tolist(), strict=True)]
    assert similarity.mutual_neighbours(neighbours, others) == pytest.approx(sum(common) / N, abs=1e-12)
