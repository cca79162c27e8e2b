"""Bounds of the accuracy lost: their coverage, counted; and Tango's score, by optimisation."""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
from convexprune.results import noninferiority
from convexprune.results.noninferiority import clustered_bound, exact_bound, tango_score
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import multinomial, norm, t

exact = cache(exact_bound)


def outcomes(n):
    """All numbers of items that only the full, and only the pruned model got right."""
    return [(f, g) for f, g in product(range(n + 1), repeat=2) if f + g <= n]


@pytest.mark.parametrize("n", [3, 8, 15])
def test_the_exact_bound_holds_for_every_chance_nineteen_times_in_twenty(n):
    """Counted: the probability of all outcomes whose bound is not below the true loss."""
    possible = np.array([(f, g, n - f - g) for f, g in outcomes(n)])
    bounds = np.array([exact(n, f, g) for f, g in outcomes(n)])
    grid = [*np.linspace(0, 1, 26), 0.002, 0.005, 0.995]
    covered = {
        (p, q): multinomial.pmf(possible, n, [p, q, max(0, 1 - p - q)])[bounds >= p - q - 1e-9].sum()
        for p, q in product(grid, repeat=2)
        if p + q <= 1
    }
    assert min(covered.values()) >= 0.95 - 1e-6
    assert min(covered.values()) < 0.96  # and no wider than it takes


@pytest.mark.parametrize(("n", "f", "g"), [(12, 3, 1), (12, 0, 0), (12, 0, 5), (12, 9, 2), (6, 6, 0)])
def test_the_bound_is_where_the_p_value_of_all_outcomes_is_one_in_twenty(n, f, g):
    """The p-value by adding up every outcome that is not less extreme, over many values of the nuisance."""
    bound = exact(n, f, g)

    def p_value(loss):
        shares = np.linspace(abs(loss), 1, 2000)
        extreme = [it for it in outcomes(n) if tango_score(*it, n, loss) <= tango_score(f, g, n, loss) + 1e-9]
        cells = np.array([(f, g, n - f - g) for f, g in extreme])
        chances = np.array([[(s + loss) / 2, (s - loss) / 2, 1 - s] for s in shares])
        return max(multinomial.pmf(cells, n, chance).sum() for chance in np.clip(chances, 0, 1))

    if bound < 1:
        assert p_value(min(1, bound + 0.002)) < noninferiority.ALPHA
        # a nuisance parameter that the data refute may be left out, at the price of SPENT
        assert p_value(bound - 0.01) > noninferiority.ALPHA - noninferiority.SPENT


@pytest.mark.parametrize(
    ("n", "f", "g"), [(288, 5, 2), (288, 9, 4), (216, 42, 27), (216, 28, 35), (4890, 60, 50), (4890, 0, 0)]
)
def test_the_bound_is_hardly_wider_than_tangos(n, f, g):
    tango = brentq(lambda loss: tango_score(f, g, n, loss) - norm.ppf(0.05), (f - g) / n + 1e-9, 0.9)
    assert 0.98 < (exact(n, f, g) - (f - g) / n) / (tango - (f - g) / n) < (1.02 if f else 1.15)


@pytest.mark.parametrize(
    ("f", "g", "loss"), [(5, 2, 0.1), (5, 2, -0.3), (0, 4, 0.05), (7, 1, 0.02), (0, 0, 0.2)]
)
def test_the_score_is_that_of_the_most_likely_chances_with_this_loss(f, g, loss):
    n = 20

    def unlikely(rare):
        chances = np.array([rare + loss, rare, 1 - 2 * rare - loss])
        counts = np.array([f, g, n - f - g])
        return -float(np.log(chances[counts > 0]) @ counts[counts > 0])

    ends = (max(0, -loss) + 1e-12, (1 - loss) / 2 - 1e-12)
    rare = minimize_scalar(unlikely, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
    expected = (f - g - n * loss) / math.sqrt(n * (2 * rare + loss - loss**2))
    assert tango_score(f, g, n, loss) == pytest.approx(expected, rel=1e-4)


def test_the_score_rises_with_what_the_full_model_alone_got_right():
    """What `_highest` takes for granted."""
    for loss, one in product(np.linspace(-0.99, 0.99, 23), range(16)):
        rest = np.arange(16 - one)
        assert (np.diff(tango_score(rest, one, 15, loss)) > -1e-12).all()
        assert (np.diff(tango_score(one, rest, 15, loss)) < 1e-12).all()


def test_more_losses_raise_the_bound_and_more_gains_lower_it():
    assert exact(100, 5, 2) < exact(100, 6, 2) < exact(100, 7, 2)
    assert exact(100, 5, 4) < exact(100, 5, 3) < exact(100, 5, 2)
    assert exact(1000, 0, 60) < 0  # surely better
    assert exact(5, 5, 0) == pytest.approx(1, abs=1e-5)


def test_the_bound_by_speaker_is_that_of_the_speakers_sums():
    lost = np.array([1, 1, 1, 0, 0, 0, 0, -1, 0, 1] * 3)
    speakers = np.repeat(["a", "b", "c", "d", "e", "f"], 5)
    mean = lost.mean()
    sums = np.array([(lost[speakers == name] - mean).sum() for name in "abcdef"])
    stderr = math.sqrt(6 / 5 * (sums**2).sum()) / 30
    assert clustered_bound(lost, speakers) == pytest.approx(mean + t.ppf(0.95, 5) * stderr)
    shuffled = np.random.default_rng(0).permutation(30)
    assert clustered_bound(lost[shuffled], speakers[shuffled]) == clustered_bound(lost, speakers)


def test_the_bound_by_speaker_is_never_below_the_exact_one():
    assert clustered_bound(np.zeros(30), np.repeat(range(5), 6)) == exact(30, 0, 0)


def test_two_speakers_have_no_bound():
    assert math.isnan(clustered_bound([1, 0, 0, 0], ["a", "a", "b", "b"]))


def test_where_speakers_differ_the_bound_by_speaker_holds_and_that_of_items_does_not():
    """Simulated: 20 speakers of 15 items, whose chances vary (Dirichlet, intraclass correlation 0.2)."""
    rng = np.random.default_rng(0)
    chances, speakers = np.array([0.2, 0.1, 0.7]), np.repeat(range(20), 15)
    held = []
    for _ in range(120):
        own = rng.dirichlet(chances * (1 / 0.2 - 1), 20)
        lost = np.concatenate([rng.choice([1, -1, 0], size=15, p=p) for p in own])
        by_item = exact(300, int((lost == 1).sum()), int((lost == -1).sum()))
        held.append((by_item >= 0.1, clustered_bound(lost, speakers) >= 0.1))
    of_items, of_speakers = np.mean(held, axis=0)
    assert of_items < 0.85 and of_speakers > 0.92
