"""The difference between two scores of the same points, such as those of two layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convexprune.convexity import uncertainty
from convexprune.convexity.score import Convexity


@dataclass(frozen=True)
class Difference:
    """The difference between two scores of the same points, over pairs and over classes.

    Attributes:
        score: that of the means over pairs.
        stderr: its standard error as an estimate for points drawn anew from the same classes.
        class_score: that of the means of the means of the classes.
        class_stderr: as `stderr`, of `class_score`.
    """

    score: float
    stderr: float
    class_score: float
    class_stderr: float


def compare_convexity(first: Convexity, second: Convexity) -> Difference:
    """How much higher `first` scores than `second`, of two representations of the same points in one order.

    The standard errors are those of paired differences: what a point adds to one score is compared with what
    it adds to the other. They are smaller than the errors of the two scores suggest, as far as the same
    points are easy or hard in both. With sampled sources, both must have drawn the same ones.

    Raises ValueError if the two have other labels, groups or sources.
    """
    _check_points(first, second)
    ours, theirs = first.effects, second.effects
    names = ("shares", "moves", "between", "ends")
    change = ours._replace(**{name: getattr(ours, name) - getattr(theirs, name) for name in names})
    stderr, class_stderr = np.sqrt(uncertainty.find_variances(change).means).tolist()
    return Difference(
        score=first.score - second.score,
        stderr=stderr,
        class_score=first.class_score - second.class_score,
        class_stderr=class_stderr,
    )


def below_best(scores: Mapping[int, Convexity]) -> dict[int, Difference]:
    """How far each layer scores below the best one, over pairs and over classes (whose best may differ).

    `scores` are those of the same points by layer. Of layers that score the same, the first is the best.
    """
    best = max(scores.values(), key=lambda result: result.score)
    best_by_class = max(scores.values(), key=lambda result: result.class_score)
    differences = {}
    for layer, result in scores.items():
        by_pair, by_class = compare_convexity(best, result), compare_convexity(best_by_class, result)
        differences[layer] = Difference(
            by_pair.score, by_pair.stderr, by_class.class_score, by_class.class_stderr
        )
    return differences


def find_covariances(scores: Sequence[Convexity]) -> tuple[np.ndarray, np.ndarray]:
    """The covariances (L, L) of the scores of L representations of the same points in one order, over pairs
    and over classes. Those of a difference and of a score are as in `compare_convexity` and `Convexity`, or
    a little larger where the joint part of the variance is cut at half of it.

    Raises ValueError as `compare_convexity` does.
    """
    for other in scores[1:]:
        _check_points(scores[0], other)
    effects = [result.effects for result in scores]
    return uncertainty.find_covariances(effects, 0), uncertainty.find_covariances(effects, 1)


def find_freedom(scores: Sequence[Convexity]) -> tuple[np.ndarray, np.ndarray]:
    """The degrees of freedom (L, L) of the variances of differences between scores of L representations of
    the same points, over pairs and over classes (`uncertainty.find_freedom`)."""
    effects = [result.effects for result in scores]
    return uncertainty.find_freedom(effects, 0), uncertainty.find_freedom(effects, 1)


def _check_points(first: Convexity, second: Convexity) -> None:
    ours, theirs = first.effects, second.effects
    same_points = np.array_equal(ours.points, theirs.points) and np.array_equal(ours.sizes, theirs.sizes)
    nothing = np.empty(0)
    same_groups = np.array_equal(
        nothing if ours.groups is None else ours.groups, nothing if theirs.groups is None else theirs.groups
    )
    if [*first.per_class] != [*second.per_class] or not same_points or not same_groups:
        raise ValueError(
            "the two scores are not of the same points: "
            "score both with the same labels, groups and random_state"
        )
