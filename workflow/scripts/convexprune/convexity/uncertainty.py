"""Standard errors of convexity, from what each point adds to the scores.

Units are the points, or groups of points that are not independent, such as the recordings of a speaker. Pairs
are never units, since they share their ends and the vertices between. What a unit adds to a score is its
effect; the sum of the squared effects is the infinitesimal jackknife. It counts the part of the variance that
comes from two units together (an end of a path and a vertex on it, or the two ends) once for each of them,
so twice (Efron and Stein 1981, The jackknife estimate of variance). This part is subtracted once. It is the
sum, over pairs of units, of squared joint effects. No pair is looked at for it: give every unit a coin, +1 or
-1, and the square of a sum of effects times coins is on average the sum of their squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SCORES = 3  # the mean over pairs, that over classes, and the score of the point's own class


class Effects(NamedTuple):
    """What each of the S scored points adds to three scores: the mean over pairs, that over classes, and the
    score of its own class. The points stand class by class, in the order of the C classes."""

    points: np.ndarray  # (S,) their rows
    n_scored: np.ndarray  # (C,) how many of them are in each class
    sizes: np.ndarray  # (C,) all points of each class
    weights: np.ndarray  # (C, 3) those of the classes in the three scores
    groups: np.ndarray | None  # (S,) from 0 on; None: the points are independent
    shares: np.ndarray  # (S,) the mean share of the paths from each, less that of its class
    moves: np.ndarray  # (S, 3) how far each moves the three scores
    between: np.ndarray  # (S, 3) the same as a vertex between, each path times the coin of its source
    ends: np.ndarray  # (S, 3) the same as an end, each path times the coin of its other end

    @property
    def classes(self) -> np.ndarray:
        """(S,) the class of each, from 0 on."""
        return np.repeat(np.arange(len(self.sizes)), self.n_scored)


class Variances(NamedTuple):
    """Squared standard errors of the means over pairs and over classes (2,), and of each class (C,)."""

    means: np.ndarray
    sampling: np.ndarray  # the part of `means` that scoring all points would remove
    of_classes: np.ndarray


def weigh_classes(pairs: np.ndarray) -> np.ndarray:
    """The weights (C, 3) of classes with so many `pairs` in the three scores; 0 for a class without pairs."""
    has_pairs = pairs > 0
    return np.stack([pairs / pairs.sum(), has_pairs / np.count_nonzero(has_pairs), has_pairs], axis=1)


def toss_coins(units: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """A coin of each point (N,), +1 or -1, less their mean in its class. Points of one unit share a coin."""
    faces = np.random.default_rng(0).choice([-1.0, 1.0], units.max() + 1)[units]
    return center(faces, classes)


def center(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """`values` (..., S) less their means in each of the classes (S,)."""
    sizes = np.maximum(np.bincount(classes), 1)
    sums = np.apply_along_axis(lambda row: np.bincount(classes, row), -1, values)
    return values - (sums / sizes)[..., classes]


def find_variances(effects: Effects) -> Variances:
    """The squared standard errors of three scores. Classes and their sizes are taken as given."""
    sampling = np.array([_sample([effects], column)[0, 0] for column in range(2)])
    means = np.array([find_covariances([effects], column)[0, 0] for column in range(2)])
    return Variances(means, sampling, _of_classes(effects))


def find_covariances(effects: Sequence[Effects], column: int) -> np.ndarray:
    """The covariances (L, L) of L scores of the same points: of the means over pairs (`column` 0) or over
    classes (1). They are those of points, or of groups, drawn anew from the same classes."""
    first = effects[0]

    def cross(name: str) -> np.ndarray:
        values = np.stack([getattr(it, name)[:, column] for it in effects])
        deviations = _deviate(values, first, first.classes)
        return deviations @ deviations.T

    return _correct(cross("moves"), cross("between") + cross("ends") / 2) + _sample(effects, column)


def find_freedom(effects: Sequence[Effects], column: int) -> np.ndarray:
    """The degrees of freedom (L, L) of the variances of differences of L scores; of U units, at most U - 1.

    They are Satterthwaite's (1946): twice the square of a sum of squares over the variance of that sum. Few
    units, and differences that hang on few of them, leave an error uncertain. NaN where nothing differs.
    """
    values = np.stack([it.moves[:, column] for it in effects])
    deviations = _deviate(values, effects[0], effects[0].classes)
    found = np.full((len(values), len(values)), np.nan)
    n_units = deviations.shape[1]
    for a, b in zip(*np.triu_indices(len(values), 1), strict=True):
        squares = (deviations[a] - deviations[b]) ** 2
        if spread := n_units * squares.var():
            found[a, b] = found[b, a] = min(2 * squares.sum() ** 2 / spread, n_units - 1)
    return found


def _of_classes(effects: Effects) -> np.ndarray:
    """The squared standard error of each class (C,): only its own points are drawn anew."""
    found = np.zeros(len(effects.sizes))
    classes = effects.classes
    for c in np.flatnonzero(effects.weights[:, SCORES - 1]):
        mine = classes == c
        of_class = effects._replace(
            n_scored=effects.n_scored[c : c + 1],
            sizes=effects.sizes[c : c + 1],
            weights=effects.weights[c : c + 1],
            groups=None if effects.groups is None else effects.groups[mine],
            **{name: getattr(effects, name)[mine] for name in ("shares", "moves", "between", "ends")},
        )
        found[c] = find_covariances([of_class], SCORES - 1)[0, 0]
    return found


def _deviate(values: np.ndarray, effects: Effects, classes: np.ndarray) -> np.ndarray:
    """Deviations (L, units) of the `values` (L, S) of points: products of two rows add up to a covariance.

    Where points were sampled, they stand for all of their class.
    """
    deviations = center(values, classes)
    n, scored = effects.sizes[classes], effects.n_scored[classes]
    if effects.groups is None:
        return deviations * np.sqrt(n / np.maximum(scored - 1, 1))
    groups = np.unique(effects.groups, return_inverse=True)[1]
    n_groups = groups.max() + 1
    sums = np.stack([np.bincount(groups, row, n_groups) for row in deviations * (n / scored)])
    return sums * np.sqrt(n_groups / max(n_groups - 1, 1))


def _correct(full: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """The covariances `full` less their `joint` part, which is never more than half of them."""
    values, vectors = np.linalg.eigh(full / 2 - joint)
    return full / 2 + (vectors * np.maximum(values, 0)) @ vectors.T


def _sample(effects: Sequence[Effects], column: int) -> np.ndarray:
    """The covariances (L, L) that come from scoring a sample of the points."""
    first = effects[0]
    classes, weights = first.classes, first.weights[:, column]
    shares = center(np.stack([it.shares for it in effects]), classes)
    spread = weights**2 * (1 / first.n_scored - 1 / first.sizes) / np.maximum(first.n_scored - 1, 1)
    return (shares * spread[classes]) @ shares.T
