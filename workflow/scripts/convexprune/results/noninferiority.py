"""How much worse is the pruned model at most? One-sided 95 % bounds of the accuracy lost.

Of n test items that both models were given, the full model alone got f right and the pruned one alone g: the
loss of accuracy is about (f - g) / n. A bound of 0.02 says that the pruned model is at most two points worse.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, binom, t

ALPHA = 0.05
SPENT = 0.001  # of ALPHA, on the interval of the nuisance parameter
GRID = 60  # values of the nuisance parameter that are tried in its interval
TINY = 1e-12  # of the probability: outcomes that are left out, on either side
STEP = 1e-6  # of the bound
LEAST = 3  # speakers


def exact_bound(n: int, only_full: int, only_pruned: int) -> float:
    """The largest loss of accuracy that `n` items do not refute at the level ALPHA; -1 to 1.

    Unconditional and exact: the test of each loss is inverted. Outcomes are ordered by Tango's score (1998,
    Equivalence test and confidence interval for the difference in proportions for the paired-sample design).
    The p-value is the highest over the share of items on which the two models differ, the nuisance parameter
    (Lloyd and Moldovan 2007, Exact one-sided confidence limits for the difference between two correlated
    proportions), within its Clopper-Pearson interval at the level SPENT, which is added (Berger and Boos
    1994, P values maximized over a confidence set for the nuisance parameter).
    """
    below, above = (only_full - only_pruned) / n, 1.0
    while above - below > STEP:
        loss = (below + above) / 2
        if _p_value(n, only_full, only_pruned, loss) > ALPHA:
            below = loss
        else:
            above = loss
    return above


def clustered_bound(lost: ArrayLike, speakers: ArrayLike) -> float:
    """The same where recordings of one speaker may be alike: never below the exact bound.

    `lost`, (n,): 1 for an item that the full model alone got right, -1 for the pruned one alone, else 0.
    `speakers`, (n,): who spoke it. The bound is the mean of `lost` plus its standard error by sums over
    speakers (Obuchowski 1998, On the comparison of correlated proportions for clustered data) times
    Student's quantile, with a degree of freedom less than there are speakers. If few items differ, this error
    may be far too small, even zero. So the exact bound takes its place where that is higher.

    Missing (NaN) for fewer than LEAST speakers.
    """
    lost = np.asarray(lost)
    _, who = np.unique(np.asarray(speakers), return_inverse=True)
    counts = np.bincount(who)
    if len(counts) < LEAST:
        return math.nan
    sums = np.bincount(who, weights=lost)
    n, degrees = len(lost), len(counts) - 1
    squares = ((sums - counts * lost.mean()) ** 2).sum()
    stderr = math.sqrt((degrees + 1) / degrees * squares) / n
    bound = float(lost.mean() + t.ppf(1 - ALPHA, degrees) * stderr)
    return min(1.0, max(bound, exact_bound(n, int((lost == 1).sum()), int((lost == -1).sum()))))


def tango_score(only_full: ArrayLike, only_pruned: ArrayLike, n: int, loss: float) -> np.ndarray:
    """Tango's score statistic of a `loss`: (f - g - n loss), over its standard error under that loss.

    It falls if the observed loss is smaller than `loss`. Of arrays, that of each pair of counts.
    """
    f, g = np.asarray(only_full, float), np.asarray(only_pruned, float)
    b, c = (2 * n - f + g) * loss - f - g, -g * loss * (1 - loss)
    # the most likely share of only_pruned, given the loss
    rare = (np.sqrt(np.maximum(b * b - 8 * n * c, 0)) - b) / (4 * n)
    variance = np.maximum(n * (2 * rare + loss * (1 - loss)), 0)
    distance = f - g - n * loss
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0, 0.0, distance / np.sqrt(variance))


def _p_value(n: int, only_full: int, only_pruned: int, loss: float) -> float:
    """Of the hypothesis that at least `loss` is lost, against a smaller loss."""
    differ = only_full + only_pruned
    low = beta.ppf(SPENT / 2, differ, n - differ + 1) if differ else 0.0
    high = beta.ppf(1 - SPENT / 2, differ + 1, n - differ) if differ < n else 1.0
    if abs(loss) > high:
        return SPENT
    share = np.linspace(max(low, abs(loss)), high, GRID)[:, None]  # of items on which the models differ
    of_full, of_pruned = (share + loss) / 2, (share - loss) / 2
    g = np.arange(binom.ppf(TINY, n, of_pruned.min()), binom.ppf(1 - TINY, n, of_pruned.max()) + 1)
    f = _highest(n, g, loss, float(tango_score(only_full, only_pruned, n, loss)) + 1e-9)
    rest = np.clip(of_full / np.maximum(1 - of_pruned, TINY), 0, 1)
    chance = (binom.pmf(g, n, of_pruned) * binom.cdf(f, n - g, rest)).sum(axis=1)
    return SPENT + 2 * TINY + float(chance.max())


def _highest(n: int, only_pruned: np.ndarray, loss: float, score: float) -> np.ndarray:
    """For each count of `only_pruned` the highest of only_full with at most this score, or -1.

    The score rises with only_full, so halving finds it.
    """
    low, high = np.full(len(only_pruned), -1.0), n - only_pruned
    while (low < high).any():
        middle = np.ceil((low + high) / 2)
        within = tango_score(middle, only_pruned, n, loss) <= score
        low, high = np.where(within, middle, low), np.where(within, high, middle - 1)
    return low
