"""How sure a choice of layers is: tests against the best layer, and choices from simulated samples.

The scores of L layers are taken as normal (`comparison.find_covariances`). As far as few recordings, or few
speakers, leave the covariances uncertain, tests use Student's t (`comparison.find_freedom`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DRAWS = 10_000  # of a critical value
SAMPLES = 2_000  # of a stability
LARGEST = 100  # times as many recordings as there are, at most, when a number of recordings is looked for


class Scores(NamedTuple):
    """The convexity of 1 to L layers, as measured."""

    values: np.ndarray  # (L,)
    covariance: np.ndarray  # (L, L)
    freedom: float  # degrees of freedom of the covariances


Rule = Callable[[np.ndarray, Scores], np.ndarray]  # from scores (N, L) of N samples to layers (N,)


def pool_freedom(square: np.ndarray) -> float:
    """One number of degrees of freedom for all pairs of layers: the median of theirs (L, L)."""
    known = square[~np.isnan(square)]
    return float(np.median(known)) if len(known) else np.inf


def find_criticals(scores: Scores, alpha: float) -> np.ndarray:
    """What the gap of each layer (`measure_gaps`) exceeds with probability `alpha` if all are equal (L,).

    These are the multiple comparisons with the best of Hsu (1981, Simultaneous confidence intervals for all
    distances from the best): whichever layer is truly the best, it exceeds its own value with probability
    `alpha` at most. They are simulated, with a fixed seed.
    """
    rng = np.random.default_rng(0)
    drawn = _draw(np.zeros(len(scores.values)), scores.covariance, DRAWS, rng)
    if np.isfinite(scores.freedom):
        drawn /= np.sqrt(rng.chisquare(scores.freedom, (DRAWS, 1)) / scores.freedom)
    return np.quantile(measure_gaps(drawn, scores.covariance), 1 - alpha, axis=0)


def measure_gaps(values: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """How far each layer is below another one, at most, in standard errors of their difference: (N, L) of the
    scores (N, L) of N samples. At the best layer it is 0; where layers differ without an error, infinite."""
    variances = np.diag(covariance)
    errors = np.sqrt(np.maximum(variances[:, None] + variances - 2 * covariance, 0))
    nothing = 1e-6 * np.sqrt(variances.max(initial=1e-12))  # below this, rounding
    gaps = values[:, None, :] - values[:, :, None]  # [sample, layer, other layer]
    known = np.where(gaps > nothing, np.inf, 0.0)
    return np.divide(gaps, errors, out=known, where=errors > nothing).max(axis=2)


def measure_stability(scores: Scores, rule: Rule, confidence: float = 0.95) -> tuple[float, int, int]:
    """The share of simulated samples that choose the same number of layers, and the range of choices.

    The scores of a sample are drawn around those measured, by their covariances: what other recordings (of
    other speakers, where these are the groups) would give. The range holds `confidence` of the choices.
    """
    drawn = _draw(scores.values, scores.covariance, SAMPLES, np.random.default_rng(0))
    measured, *chosen = rule(np.vstack([scores.values, drawn]), scores)
    tail = (1 - confidence) / 2
    low, high = np.quantile(chosen, [tail, 1 - tail], method="inverted_cdf")
    return float(np.mean(np.array(chosen) == measured)), int(low), int(high)


def find_needed(scores: Scores, rule: Rule, confidence: float = 0.9) -> float:
    """How many times as many recordings make a choice sure: infinite beyond LARGEST.

    Sure means: if the scores measured are the true ones, `confidence` of samples of that size choose what the
    true scores choose. With groups, there are as many times more groups. Covariances are taken to fall as one
    over the number of recordings.
    """
    rng = np.random.default_rng(0)
    standard = _draw(np.zeros(len(scores.values)), scores.covariance, SAMPLES, rng)
    target = rule(scores.values[None], Scores(scores.values, scores.covariance * 1e-12, np.inf))
    for times in np.geomspace(1, LARGEST, 84):  # steps of 5.7 %
        more = Scores(scores.values, scores.covariance / times, scores.freedom * times)
        chosen = rule(scores.values + standard / np.sqrt(times), more)
        if np.mean(chosen == target) >= confidence:
            return float(times)
    return np.inf


def _draw(mean: np.ndarray, covariance: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` samples (n, L) of a normal distribution, whose covariances need not have full rank."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return mean + rng.standard_normal((n, len(mean))) @ root.T
