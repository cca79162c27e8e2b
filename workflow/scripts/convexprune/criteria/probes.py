"""A linear classifier in closed form, and what it says of a layer: cross-validated accuracy, code length.

The classifier is linear discriminant analysis: a normal distribution for each class, with one covariance for
all. The covariance of the standardised dimensions is shrunk towards the identity, as much as Chen et al.
(2010, IEEE Transactions on Signal Processing 58, equation 23; without 2/D, as scikit-learn has it) prescribe.
So it needs no setting and no iterations, and of the points no more than their moments.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import linalg, special

from convexprune.criteria.registry import UnsuitableError

FOLDS = 5
NOTHING = 1e-12  # smaller shares are rounding errors
# The items sent, as shares of all, after which Voita and Titov (2020) train a probe anew
SENT = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1)


class Moments(NamedTuple):
    """What a discriminant needs to know of its n items. Those of two sets of items add up."""

    counts: np.ndarray  # (K,) items of each class
    sums: np.ndarray  # (K, D) of the points of each class
    products: np.ndarray  # (D, D) sum of x x^T

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        return Moments(*(mine + its for mine, its in zip(self, other, strict=True)))

    def __sub__(self, other: Moments) -> Moments:
        return Moments(*(mine - its for mine, its in zip(self, other, strict=True)))


class Discriminant(NamedTuple):
    """A linear classifier. The score of a class is `points @ weights + offsets`, a log probability but for a
    constant. A class without items has the score -inf."""

    weights: np.ndarray  # (D, K)
    offsets: np.ndarray  # (K,)


def find_moments(points: np.ndarray, classes: np.ndarray, n_classes: int) -> Moments:
    """The moments of float64 points (n, D) of `classes` (n,), numbers from 0 to `n_classes` - 1."""
    of_class = np.equal.outer(np.arange(n_classes), classes).astype(np.float64)
    return Moments(of_class.sum(axis=1), of_class @ points, points.T @ points)


def add(moments: list[Moments]) -> Moments:
    """The moments of all items, from those of several sets of them."""
    total, *others = moments
    for more in others:
        total += more
    return total


def fit(moments: Moments) -> Discriminant:
    """The discriminant of the n items with these `moments`.

    If no two items of a class differ, the classes count as wide as all items together.
    """
    counts, sums, products = moments
    n, D = counts.sum(), len(products)
    means = sums / np.maximum(counts, 1)[:, None]
    overall = sums.sum(axis=0) / n
    squares = np.diag(products) / n
    variances = squares - overall**2
    varies = variances > NOTHING * squares
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variances, 1)), 0)
    covariance = (products - (means.T * counts) @ means) / n * scale[:, None] * scale
    variance = np.trace(covariance) / D
    if variance > NOTHING:
        square = np.square(covariance).mean()
        away = (n + 1) * (square - variance**2 / D)
        shrinkage = min(1.0, (square + variance**2) / away) if away > 0 else 1.0
        covariance *= 1 - shrinkage
        covariance[np.diag_indices(D)] += shrinkage * variance
    else:
        covariance = np.eye(D)
    centres = (means - overall) * scale
    weights = linalg.solve(covariance, centres.T, assume_a="pos", overwrite_a=True, check_finite=False)
    with np.errstate(divide="ignore"):
        offsets = np.log(counts / n) - np.einsum("kd,dk->k", centres, weights) / 2
    weights *= scale[:, None]
    return Discriminant(weights, offsets - overall @ weights)


def score(discriminant: Discriminant, points: np.ndarray) -> np.ndarray:
    """The scores (n, K) of the classes for each of the `points` (n, D)."""
    return points @ discriminant.weights + discriminant.offsets


def make_folds(labels: np.ndarray, speakers: np.ndarray | None) -> list[np.ndarray]:
    """The held-out indices of FOLDS folds, or of fewer if the speakers or the largest class are too few.

    They are stratified by label. With `speakers` (N,), no speaker is in two folds. Raises UnsuitableError if
    no class has two items.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    largest = int(np.unique(labels, return_counts=True)[1].max())
    if largest < 2:
        raise UnsuitableError("no class has two items")
    n_folds = min(FOLDS, largest)
    if speakers is None:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=0).split(labels, labels)
    else:
        n_folds = min(n_folds, len(set(speakers)))
        folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0).split(labels, labels, speakers)
    return [held_out for _, held_out in folds]


def probe_accuracy(
    points: np.ndarray, classes: np.ndarray, folds: list[np.ndarray], moments: list[Moments]
) -> float:
    """The share of items that a discriminant trained on the other folds puts in the right class.

    `points` (N, D), float64; their `classes` (N,); `moments` of the items of each fold.
    """
    total = add(moments)
    right = 0
    for held_out, of_fold in zip(folds, moments, strict=True):
        probe = fit(total - of_fold)
        right += int((score(probe, points[held_out]).argmax(axis=1) == classes[held_out]).sum())
    return right / len(points)


def code_length(points: np.ndarray, classes: np.ndarray, n_classes: int, order: np.ndarray) -> float:
    """Bits for each label that it takes to send all `classes` (N,) to someone who has the `points` (N, D).

    Labels are sent in `order` (N,), in blocks that end at the shares SENT. Both sides train a discriminant on
    what was sent, and it foretells the next block. After n items the probability of a class is
    (n p + 1) / (n + K): p by the discriminant, and one item for each of the K classes, so that none is
    impossible. The first block costs log2 K a label.
    """
    points, classes = points[order], classes[order]
    N = len(points)
    ends = np.unique(np.ceil(np.array(SENT) * N).astype(int))
    bits = ends[0] * np.log2(n_classes)
    moments = find_moments(points[:0], classes[:0], n_classes)
    previous = 0
    for sent, end in pairwise(ends):
        moments += find_moments(points[previous:sent], classes[previous:sent], n_classes)
        previous = sent
        scores = score(fit(moments), points[sent:end])
        foretold = special.softmax(scores, axis=1)[np.arange(end - sent), classes[sent:end]]
        bits -= np.log2((sent * foretold + 1) / (sent + n_classes)).sum()
    return float(bits / N)
