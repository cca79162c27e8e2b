"""How many dimensions the points of a layer fill."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from convexprune.criteria.registry import UnsuitableError

KEPT = 0.9  # TwoNN's share of ratios: the largest are the noisiest


def effective_rank(eigenvalues: np.ndarray) -> float:
    """RankMe (Garrido et al. 2023, without its epsilon): the exponential of the entropy of the
    singular values divided by their sum, 1 to D.

    `eigenvalues` (D,) are those of X^T X, for points X as they are: squares of the singular values.
    """
    singular = np.sqrt(np.maximum(eigenvalues, 0))
    if not singular.any():
        raise UnsuitableError("all states are zero")
    return float(np.exp(entr(singular / singular.sum()).sum()))


def intrinsic_dimension(distances: np.ndarray) -> float:
    """TwoNN (Facco et al. 2017): the slope, through the origin, of -log(1 - F) by log(r2 / r1).

    `distances` (N, 2 or more) to the nearest points, in order. F is the share of items with a ratio as small
    or smaller; the tenth of them with the largest ratios is left out, and so are items equal to another one.
    """
    first, second = distances[:, 0], distances[:, 1]
    ratios = np.sort(np.log(second[first > 0] / first[first > 0]))
    kept = ratios[: int(KEPT * len(ratios))]
    if not kept.any():
        raise UnsuitableError("too few items differ from each other")
    survived = -np.log1p(-np.arange(1, len(kept) + 1) / len(ratios))
    return float(kept @ survived / (kept @ kept))
