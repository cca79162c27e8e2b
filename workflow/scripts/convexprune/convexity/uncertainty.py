"""Standard errors of convexity, from what each point adds to the scores.

Points are the independent units: an infinitesimal jackknife. Pairs are not, since they share their ends and
the vertices between.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Effects(NamedTuple):
    """What each of the S scored points adds to three scores: the mean over pairs, that over classes, and the
    score of its own class. The points stand class by class, in the order of the C classes."""

    points: np.ndarray  # (S,) their rows
    n_scored: np.ndarray  # (C,) how many of them are in each class
    sizes: np.ndarray  # (C,) all points of each class
    shares: np.ndarray  # (S,) the mean share of the paths from each
    moves: np.ndarray  # (S, 3) how far each moves the three scores


class Variances(NamedTuple):
    """Squared standard errors (C, 3): what each class adds to those of the three scores."""

    total: np.ndarray
    sampling: np.ndarray  # the part that scoring all points would remove


def class_weights(sizes: np.ndarray) -> np.ndarray:
    """The weights (C, 3) of classes of so many points in the three scores; 0 for a class without pairs."""
    pairs = sizes * (sizes - 1)
    has_pairs = pairs > 0
    return np.stack([pairs / pairs.sum(), has_pairs / np.count_nonzero(has_pairs), has_pairs], axis=1)


def find_variances(effects: Effects) -> Variances:
    """The squared standard errors of three scores. Classes and their sizes are taken as given."""
    weights = class_weights(effects.sizes)
    total, sampling = np.zeros((2, *weights.shape))
    ends = np.cumsum(effects.n_scored)[:-1]
    shares, moves = np.split(effects.shares, ends), np.split(effects.moves, ends)
    for c, (n, n_scored) in enumerate(zip(effects.sizes, effects.n_scored, strict=True)):
        if n > 1:
            sampling[c] = weights[c] ** 2 * shares[c].var(ddof=1) * (1 / n_scored - 1 / n)
            total[c] = n * moves[c].var(axis=0, ddof=1) + sampling[c]
    return Variances(total, sampling)
