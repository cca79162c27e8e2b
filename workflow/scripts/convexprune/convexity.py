"""Graph convexity: how much of the shortest paths between points of a class stays inside the class.

Definition: Tětková et al., as used by Dorszewski et al., "Convexity-based pruning of speech
representation models". The points are the vertices of a graph with an edge where either point is among
the other's k nearest neighbours, its length their Euclidean distance. For each ordered pair of points of
one class, the share of the interior vertices of their shortest path that belong to the class is taken:
1 where the edge between them is the shortest path, 0 where there is no path.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convexprune import embeddings, kernels
from convexprune.neighbours import nearest_neighbours, neighbour_graph
from convexprune.paths import inside_shares

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassConvexity:
    """The convexity of one class; `score` is NaN for a class of one member, which has no pairs."""

    score: float
    stderr: float
    n_items: int
    n_pairs: int
    n_unreachable: int


@dataclass(frozen=True)
class Convexity:
    """Graph convexity of labelled points; every score lies in [0, 1].

    score: mean over all ordered pairs of all classes; class_score: mean of the class means.
    stderr, class_stderr: their standard errors, see `graph_convexity`.
    chance: 1 / number of classes with pairs, what balanced classes without structure would score.
    per_class: by label, in the order in which the labels first appear.
    """

    score: float
    stderr: float
    class_score: float
    class_stderr: float
    chance: float
    n_items: int
    n_classes: int
    n_pairs: int
    n_unreachable: int
    per_class: dict[Hashable, ClassConvexity]


def graph_convexity(
    representations: np.ndarray,
    labels: Iterable[Hashable],
    n_neighbors: int = 10,
    *,
    threads: int | None = None,
) -> Convexity:
    """The graph convexity of `representations` (N, D) under `labels` (N, any hashables), over all pairs.

    `threads`: the number of threads, by default all cores of this process; the result does not depend on it.

    The standard errors take the points of a class as the independent units, since a point's pairs are not
    independent of each other: they are those of the delete-one jackknife, where a point left out takes its
    pairs with it but remains a vertex of other paths. Classes and their sizes are taken as given.

    Raises ValueError for input that has no score.
    """
    points, groups = _checked(representations, labels, n_neighbors)
    threads = threads or kernels.available_threads()
    graph = neighbour_graph(*nearest_neighbours(points, n_neighbors, threads=threads))
    classes = np.empty(len(points), np.int64)
    for number, members in enumerate(groups.values()):
        classes[members] = number
    shares, out_of_reach = inside_shares(graph, classes, np.arange(len(points)), threads=threads)
    per_class = {}
    for label, members in groups.items():
        if len(members) == 1:
            per_class[label] = ClassConvexity(np.nan, np.nan, 1, 0, 0)
            continue
        means = shares[members] / (len(members) - 1)
        unreachable = out_of_reach[members]
        per_class[label] = ClassConvexity(
            score=float(means.mean()),
            stderr=_jackknife(means),
            n_items=len(members),
            n_pairs=len(members) * (len(members) - 1),
            n_unreachable=int(unreachable.sum()),
        )
    return _overall(per_class)


def _jackknife(means: np.ndarray) -> float:
    """The standard error of the mean over all pairs of n points, from the mean of each point's pairs.

    Deleting a point moves the score by 2 (its mean - the score) / (n - 2): the delete-one jackknife in closed
    form. Two points have one pair and show no spread: the widest that a share of that mean can have stands
    in for it.
    """
    n = len(means)
    if n == 2:
        return float(np.sqrt(means[0] * (1 - means[0])))
    return float(2 * (n - 1) / (n - 2) * np.sqrt(means.var(ddof=1) / n))


def _overall(per_class: dict[Hashable, ClassConvexity]) -> Convexity:
    scored = [entry for entry in per_class.values() if entry.n_pairs]
    scores = np.array([entry.score for entry in scored])
    errors = np.array([entry.stderr for entry in scored])
    pairs = np.array([entry.n_pairs for entry in scored])
    weights = pairs / pairs.sum()
    return Convexity(
        score=float(weights @ scores),
        stderr=float(np.linalg.norm(weights * errors)),
        class_score=float(scores.mean()),
        class_stderr=float(np.linalg.norm(errors) / len(errors)),
        chance=1 / len(scored),
        n_items=sum(entry.n_items for entry in per_class.values()),
        n_classes=len(scored),
        n_pairs=int(pairs.sum()),
        n_unreachable=sum(entry.n_unreachable for entry in scored),
        per_class=per_class,
    )


def _checked(
    representations: np.ndarray, labels: Iterable[Hashable], n_neighbors: int
) -> tuple[np.ndarray, dict[Hashable, np.ndarray]]:
    """The points as a C-contiguous float array and the indices of the members of each class."""
    points = np.asarray(representations)
    if points.ndim != 2 or points.dtype.kind not in "fiub":
        raise ValueError(
            "representations must be a numeric array of shape (points, dimensions), "
            f"not {points.dtype} of shape {points.shape}"
        )
    if points.dtype not in (np.float32, np.float64):
        points = points.astype(np.float64)
    points = np.ascontiguousarray(points)
    labels = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if len(labels) != len(points):
        raise ValueError(f"{len(points)} representations but {len(labels)} labels")
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{np.count_nonzero(~finite)} of {len(points)} representations hold NaN or infinite values, "
            f"the first in row {int(np.argmin(finite))}"
        )
    if not 1 <= n_neighbors < len(points):
        raise ValueError(
            f"n_neighbors is {n_neighbors}, but must be from 1 to {len(points) - 1}: "
            f"there are {len(points)} points"
        )
    groups: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    if len(groups) == len(points):
        raise ValueError("every class has one member: there are no pairs to score")
    return points, {label: np.array(members) for label, members in groups.items()}


def score_layers(
    path: str | os.PathLike[str], identity: dict[str, str], n_neighbors: int, threads: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The convexity of every layer of an embeddings file: a table of layers and one of layers and classes.

    `identity` names model, state and dataset: the first columns of both. `layers` counts the transformer
    layers, 0 to L. One layer at a time is in memory.
    """
    import pandas as pd

    scores, classes = [], []
    for layers in range(embeddings.count_layers(path) + 1):
        result = graph_convexity(*embeddings.read_layer(path, layers), n_neighbors, threads=threads)
        log.info("%s, %d layers: %.4f ± %.4f", identity, layers, result.score, result.stderr)
        key = {**identity, "layers": layers}
        scores.append(
            key
            | {
                "score": result.score,
                "stderr": result.stderr,
                "class_score": result.class_score,
                "class_stderr": result.class_stderr,
                "n_items": result.n_items,
                "n_classes": result.n_classes,
                "n_pairs": result.n_pairs,
                "n_unreachable": result.n_unreachable,
                "chance": result.chance,
            }
        )
        classes += [
            key
            | {
                "label": label,
                "score": entry.score,
                "n_items": entry.n_items,
                "n_pairs": entry.n_pairs,
                "n_unreachable": entry.n_unreachable,
            }
            for label, entry in sorted(result.per_class.items())
        ]
    return pd.DataFrame(scores), pd.DataFrame(classes)
