"""Tests against the best layer, and simulated samples, against closed forms."""

import numpy as np
import pytest
from convexprune.convexity import stability
from convexprune.convexity.stability import Scores
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm, t


def keep_highest(values, scores):
    return 1 + values.argmax(axis=1)


def equal(n, error=0.02, correlation=0.0, freedom=np.inf, values=None):
    square = error**2 * ((1 - correlation) * np.eye(n) + correlation)
    return Scores(np.zeros(n) if values is None else np.array(values), square, freedom)


@pytest.mark.parametrize("n", [2, 3, 6, 12])
@pytest.mark.parametrize("correlation", [0, 0.9])
def test_criticals_are_those_of_comparisons_with_the_best(n, correlation):
    def exceeded(c):  # Dunnett's integral: none of n - 1 equal layers is so far above a given one
        return 1 - quad(lambda z: norm.pdf(z) * norm.cdf(np.sqrt(2) * c + z) ** (n - 1), -9, 9)[0]

    expected = brentq(lambda c: exceeded(c) - 0.05, 0, 5)
    found = stability.find_criticals(equal(n, correlation=correlation), 0.05)
    assert found == pytest.approx([expected] * n, abs=0.06)


def test_few_degrees_of_freedom_make_them_students():
    found = stability.find_criticals(equal(2, freedom=5), 0.05)
    assert found == pytest.approx([t.ppf(0.95, 5)] * 2, abs=0.08)


def test_a_gap_is_the_largest_in_errors_of_the_difference():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5))
    square, values = root @ root.T, rng.normal(size=(3, 5))
    found = stability.measure_gaps(values, square)
    for row, gaps in zip(values, found, strict=True):
        for k, gap in enumerate(gaps):
            others = [
                (row[other] - row[k]) / np.sqrt(square[k, k] + square[other, other] - 2 * square[k, other])
                for other in range(5)
                if other != k
            ]
            assert gap == pytest.approx(max(0, *others))


def test_layers_that_are_the_same_are_equal():
    scores = Scores(np.full(3, 0.5), np.full((3, 3), 0.02**2), np.inf)
    assert stability.find_criticals(scores, 0.05).tolist() == [0, 0, 0]


def test_layers_without_an_error_differ_if_they_differ():
    scores = equal(3, error=0.0, values=[0.5, 0.4, 0.5])
    assert stability.measure_gaps(scores.values[None], scores.covariance).tolist() == [[0, np.inf, 0]]
    assert stability.measure_stability(scores, keep_highest) == (1.0, 1, 1)


@pytest.mark.parametrize("apart", [0.0, 0.01, 0.05])
def test_stability_of_two_layers_is_a_normal_probability(apart):
    scores = equal(2, error=0.02, values=[0.5, 0.5 + apart])
    share, fewest, most = stability.measure_stability(scores, keep_highest)
    expected = norm.cdf(apart / (0.02 * np.sqrt(2)))
    assert share == pytest.approx(expected if apart else 0.5, abs=0.04)
    assert (fewest, most) == ((2, 2) if expected > 0.975 else (1, 2))


def test_needed_recordings_of_two_layers_are_those_of_a_normal_test():
    scores = equal(2, error=0.02, values=[0.5, 0.51])
    expected = (norm.ppf(0.9) * 0.02 * np.sqrt(2) / 0.01) ** 2
    assert stability.find_needed(scores, keep_highest) == pytest.approx(expected, rel=0.12)
    assert stability.find_needed(equal(2, values=[0.5, 0.9]), keep_highest) == 1
    assert stability.find_needed(equal(2, values=[0.5, 0.5001]), keep_highest) == np.inf


def test_degrees_of_freedom_are_pooled_by_their_median():
    square = np.array([[np.nan, 4, 8], [4, np.nan, 20], [8, 20, np.nan]])
    assert stability.pool_freedom(square) == 8
    assert stability.pool_freedom(np.full((2, 2), np.nan)) == np.inf
