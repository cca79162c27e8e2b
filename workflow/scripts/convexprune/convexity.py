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
from convexprune.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

LARGEST, SMALLEST = 1e150, 1e-130  # the squares of larger coordinates overflow, of smaller ones vanish


@dataclass(frozen=True)
class ClassConvexity:
    """The convexity of one class; the score is NaN if it has one member and so no pairs."""

    score: float
    n_items: int
    n_pairs: int
    n_unreachable: int


@dataclass(frozen=True)
class Convexity:
    """Graph convexity of labelled points; all scores lie in [0, 1].

    Attributes:
        score: the mean over all ordered pairs of all classes.
        stderr: its standard error as an estimate for points drawn anew from the same classes.
        sampling_stderr: its standard error as an estimate of the score from all sources; 0 unless sources
            were sampled. (The score from all sources lies within 1.96 of them in 95 % of cases from about 30
            sources a class on; in 80 to 90 % with 2 to 5, and less where nearly all shares are 1.)
        class_score: the mean of the means of the classes.
        class_stderr: as `stderr`, of `class_score`.
        class_sampling_stderr: as `sampling_stderr`, of `class_score`.
        chance: 1 / number of classes with pairs: what `class_score`, and for balanced classes `score`, would
            be without any structure.
        pair_chance: what `score` would roughly be without any structure: the mean share of its class among
            all points, over pairs, sum n_c^2 (n_c - 1) / (N sum n_c (n_c - 1)). At least `chance`, but for
            classes without pairs.
        n_items: all points.
        n_classes: the classes with pairs.
        n_pairs: their ordered pairs.
        n_unreachable: pairs without a path, which count as 0.
        per_class: by label, in the order in which the labels first appear.
    """

    score: float
    stderr: float
    sampling_stderr: float
    class_score: float
    class_stderr: float
    class_sampling_stderr: float
    chance: float
    pair_chance: float
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
    n_sources: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
) -> Convexity:
    """The graph convexity of `representations` (N, D), real numbers, under `labels` (N), any hashables.

    All pairs are scored, exactly. With `n_sources` (at least 2), only the pairs of so many points of each
    class with all points of their class, drawn by `seed` without replacement: an unbiased estimate.
    Time grows as N^2 D for the neighbours and as sources times N for the paths (more where the graph is long
    and thin, as that of points on a line); memory as N (D + n_neighbors), and float16 or whole numbers are
    copied to float64 first.
    `threads`: by default all cores of this process. `device`: None, or a device of torch that computes the
    products of the neighbour search. Neither changes a bit of the result. Where several shortest paths tie,
    the one with the fewest vertices outside the class counts (see `paths.inside_shares`).

    The standard errors take points as the independent units (pairs are not: they share their ends and the
    vertices between). Each point moves the score as an end of pairs, by how their mean share differs from
    that of its class, and as a vertex of other points' paths, by whether it is of their class more than its
    neighbours are. The spread of the sum of both within each class gives the error (the infinitesimal
    jackknife); classes and their sizes are taken as given. In simulations with the default of 10 neighbours
    in ten and more dimensions it is 0.9 to 1.3 times the true one where classes overlap, for scores up to
    about 0.9. It is too large where they hardly do (2 times for a score of 0.98, more nearer to 1) and where
    there is no structure at all (up to 1.6 times); for one neighbour, in one dimension, or for far classes
    of few points it can be half of the true one. Counting points as ends only would give half of it
    everywhere.

    A class of one member has no pairs and is left out with a warning. Raises ValueError if `representations`
    are not numbers of shape (N, D), are not finite, or are not as many as the labels; unless
    1 <= n_neighbors < N; and if no class has two members.
    """
    points, members = _checked(representations, labels, n_neighbors, n_sources)
    threads = threads or kernels.available_threads()
    indices, distances = nearest_neighbours(points, n_neighbors, threads=threads, device=device)
    if points.shape[1] == 1:
        # on a line only the order of the points decides which paths are shortest, and ranks add up exactly
        ranks = np.unique(points[:, 0], return_inverse=True)[1]
        distances = np.abs(ranks[indices] - ranks[:, None]).astype(np.float64)
    graph = neighbour_graph(indices, distances)

    classes = np.empty(len(points), np.int64)
    for number, of_class in enumerate(members.values()):
        classes[of_class] = number
    n = np.array([len(of_class) for of_class in members.values()])
    pairs = n * (n - 1)
    # the weight of each class in the mean over pairs and in the mean over classes
    weights = np.stack([pairs / pairs.sum(), (pairs > 0) / np.count_nonzero(pairs)], axis=1)

    rng = np.random.default_rng(seed)
    sources = [
        of_class if len(of_class) <= (n_sources or np.inf) else rng.choice(of_class, n_sources, replace=False)
        for of_class in members.values()
    ]
    n_drawn = np.array([len(drawn) for drawn in sources])
    per_path = weights / (n_drawn * np.maximum(n - 1, 1))[:, None]
    drawn = np.concatenate(sources)
    shares = inside_shares(graph, classes, drawn, per_path[classes[drawn]], threads=threads)

    scores = np.full(len(n), np.nan)
    variance, sampling_variance = np.zeros((2, 2))
    per_class = {}
    ends = np.cumsum(n_drawn)[:-1]
    for c, (label, sums) in enumerate(zip(members, np.split(shares.sums, ends), strict=True)):
        unreachable = int(shares.unreachable[members[label]].sum())
        if pairs[c]:
            means = sums / (n[c] - 1)
            scores[c] = means.mean()
            as_end = 2 * (means - scores[c])[:, None] * weights[c] / n[c]
            as_vertex = shares.influence[sources[c]]
            variance += n[c] * (as_end + as_vertex).var(axis=0, ddof=1)
            sampling_variance += weights[c] ** 2 * means.var(ddof=1) * (1 / n_drawn[c] - 1 / n[c])
        per_class[label] = ClassConvexity(float(scores[c]), int(n[c]), int(pairs[c]), unreachable)

    scored = pairs > 0
    stderr, class_stderr = np.sqrt(variance + sampling_variance).tolist()
    sampling_stderr, class_sampling_stderr = np.sqrt(sampling_variance).tolist()
    return Convexity(
        score=float(pairs[scored] @ scores[scored] / pairs.sum()),
        stderr=stderr,
        sampling_stderr=sampling_stderr,
        class_score=float(scores[scored].mean()),
        class_stderr=class_stderr,
        class_sampling_stderr=class_sampling_stderr,
        chance=1 / np.count_nonzero(scored),
        pair_chance=float(pairs @ n / (len(points) * pairs.sum())),
        n_items=len(points),
        n_classes=int(np.count_nonzero(scored)),
        n_pairs=int(pairs.sum()),
        n_unreachable=sum(entry.n_unreachable for entry in per_class.values()),
        per_class=per_class,
    )


def _checked(
    representations: np.ndarray, labels: Iterable[Hashable], n_neighbors: int, n_sources: int | None
) -> tuple[np.ndarray, dict[Hashable, np.ndarray]]:
    """The points, contiguous and float32 or float64, and the indices of the members of each class."""
    points = np.asarray(representations)
    if points.ndim != 2 or points.shape[1] == 0 or points.dtype.kind not in "fiub":
        raise ValueError(
            "representations must be real numbers of shape (points, dimensions), "
            f"not {points.dtype} of shape {points.shape}"
        )
    points = np.ascontiguousarray(points, np.float32 if points.dtype == np.float32 else np.float64)
    if getattr(labels, "ndim", 1) != 1:
        raise ValueError(
            f"labels must be one-dimensional, not of shape {tuple(getattr(labels, 'shape', ()))}"
        )
    # elements of arrays, series and tensors as Python's own: those of tensors would all differ as keys
    labels = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if len(labels) != len(points):
        raise ValueError(f"{len(points)} representations, but {len(labels)} labels")
    if not 1 <= n_neighbors < len(points):
        raise ValueError(
            f"n_neighbors is {n_neighbors}, but must be from 1 to {len(points) - 1}: "
            f"there are {len(points)} points"
        )
    if n_sources is not None and n_sources < 2:
        raise ValueError(f"n_sources is {n_sources}, but it takes at least 2 to estimate an error")
    sizes = np.maximum(points.max(axis=1), -points.min(axis=1)).astype(np.float64)
    if (bad := ~(sizes <= LARGEST)).any():
        raise ValueError(
            f"{bad.sum()} of {len(points)} representations have values that are NaN, infinite or beyond "
            f"{LARGEST:g}, the first in row {bad.argmax()}"
        )
    if 0 < sizes.max() < SMALLEST:
        raise ValueError(f"no value of representations is beyond {SMALLEST:g}: multiply them by something")
    if missing := sum(label != label for label in labels):
        raise ValueError(f"{missing} labels are NaN: give these points a class or leave them out")
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    alone = [label for label, of_class in members.items() if len(of_class) == 1]
    if len(alone) == len(members):
        raise ValueError("every class has one member: there are no pairs to score")
    if alone:
        log.warning("left out, since a class of one member has no pairs: %s", alone)
    return points, {label: np.array(of_class) for label, of_class in members.items()}


def score_layers(
    path: str | os.PathLike[str], identity: dict[str, str], n_neighbors: int, threads: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The convexity of every layer of an embeddings file: a table of layers and one of layers and classes.

    `identity` names model, state and dataset: the first columns of both. `layers` counts the transformer
    layers, 0 to L. One layer at a time is in memory.
    """
    import pandas as pd

    scores, classes = [], []
    all_layers = range(embeddings.count_layers(path) + 1)
    for layers in Progress(all_layers, desc=" ".join(identity.values()), unit="layer"):
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
                "pair_chance": result.pair_chance,
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
