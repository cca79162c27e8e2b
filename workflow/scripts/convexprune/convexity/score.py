"""Graph convexity: how much of the shortest paths between points of a class stays inside the class.

Definition: Tětková et al., as used by Dorszewski et al., "Convexity-based pruning of speech
representation models". The points are the vertices of a graph. An edge joins two points if either is
among the other's k nearest neighbours; its length is their Euclidean distance. An ordered pair of points of
one class scores the share of the interior vertices of their shortest path that belong to the class:
1 if the edge between them is the shortest path, 0 if there is no path.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from convexprune.convexity import embeddings, kernels, uncertainty
from convexprune.convexity.neighbours import nearest_neighbours, neighbour_graph
from convexprune.convexity.paths import inside_shares
from convexprune.convexity.uncertainty import Effects
from convexprune.jobs.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

LARGEST = 1e150  # the squares of larger coordinates may overflow
# Columns of the tables, besides model, state, dataset and layers (and the label in the table of classes).
CLASS_MEASURES = ["score", "stderr", "n_items", "n_pairs", "n_unreachable"]
MEASURES = ["score", "stderr", "chance", "class_score", "class_stderr", "class_chance"]
MEASURES += ["n_items", "n_classes", "n_pairs", "n_unreachable"]


@dataclass(frozen=True)
class ClassConvexity:
    """The convexity of one class. A class of one member has no pairs: its score and error are NaN.

    Attributes:
        score: the mean over the ordered pairs of the class.
        stderr: its standard error as an estimate for points of this class drawn anew, among the same points
            of the others.
        n_items: its points.
        n_pairs: their ordered pairs.
        n_unreachable: pairs without a path, which count as 0.
    """

    score: float
    stderr: float
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
            were sampled. (The score from all sources lies within 1.96 standard errors in 95 % of cases with
            about 30 sources per class or more, in 80 to 90 % with 2 to 5, and in fewer where nearly all
            shares are 1.)
        chance: roughly what `score` would be without any structure: the share of a class among all points,
            averaged over pairs: sum n_c^2 (n_c - 1) / (N sum n_c (n_c - 1)).
        class_score: the mean of the means of the classes.
        class_stderr: as `stderr`, of `class_score`.
        class_sampling_stderr: as `sampling_stderr`, of `class_score`.
        class_chance: as `chance`, of `class_score`: 1 / number of classes with pairs. For balanced classes
            `chance` is the same.
        n_items: all points.
        n_classes: the classes with pairs.
        n_pairs: their ordered pairs.
        n_unreachable: pairs without a path, which count as 0.
        per_class: by label, in the order in which the labels first appear.
        effects: what each scored point adds to the scores, for `compare_convexity`.
    """

    score: float
    stderr: float
    sampling_stderr: float
    chance: float
    class_score: float
    class_stderr: float
    class_sampling_stderr: float
    class_chance: float
    n_items: int
    n_classes: int
    n_pairs: int
    n_unreachable: int
    per_class: dict[Hashable, ClassConvexity]
    effects: Effects = field(repr=False, compare=False)


def graph_convexity(
    representations: np.ndarray,
    labels: Iterable[Hashable],
    n_neighbors: int = 10,
    *,
    n_sources: int | None = None,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
    n_jobs: int | None = -1,
) -> Convexity:
    """The graph convexity of `representations` (N, D), real numbers, under `labels` (N), any hashables.

    All pairs are scored, exactly. With `n_sources` (at least 2), that many points of each class are drawn by
    `random_state` without replacement, and only their pairs with all points of their class are scored: an
    unbiased estimate.
    Time grows as N^2 D for the neighbours and as sources times N for the paths (more if the graph is long and
    thin, as for points on a line). Memory grows as N (D + n_neighbors); float16 and whole numbers are first
    copied to float64.
    `random_state` and `n_jobs` are as in scikit-learn: None draws other points each time, -1 takes all cores
    of this process. The number of threads changes no bit of the result.
    The coordinates are used as they are, whatever their scales. Of equally distant points, the first are
    neighbours; of shortest paths that tie, the one with the fewest vertices outside the class counts.

    The standard errors take points as the independent units. (Pairs are not independent: they share their
    ends and the vertices between.) A point moves the score as an end of pairs, by the difference between
    their mean share and that of its class. It also moves it as a vertex on other points' paths, by how much
    more it belongs to their class than its neighbours do. The spread of the sum of both within each class
    gives the error (the infinitesimal jackknife); classes and their sizes are taken as given. The error of a
    class takes its own points alone: as ends, and as vertices between each other.
    In simulations with the default of 10 neighbours in ten and more dimensions, the error is 0.9 to 1.3 times
    the true one where classes overlap, for scores up to about 0.9. It is too large where classes hardly
    overlap (2 times for a score of 0.98, more nearer to 1) and where there is no structure at all (up to 1.6
    times). It can be half the true one for one neighbour, in one dimension, or for distant classes of few
    points. Counting points as ends only would halve it everywhere.

    A class of one member has no pairs and is left out with a warning. Raises ValueError if `representations`
    are not numbers of shape (N, D), are not finite, exceed 1e150 or (whole numbers) 2^53, or are not as many
    as the labels; if two differ by less than 1e-130; unless 1 <= n_neighbors < N; and if no class has two
    members.
    """
    try:
        rng = np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"random_state is {random_state!r}, but must be a whole number from 0 on, a generator or None"
        ) from error
    threads = kernels.count_threads(n_jobs)
    points, members = _checked(representations, labels, n_neighbors, n_sources)
    indices, distances = nearest_neighbours(points, n_neighbors, threads=threads)
    graph = neighbour_graph(indices, distances)

    classes = np.empty(len(points), np.int64)
    for number, of_class in enumerate(members.values()):
        classes[of_class] = number
    n = np.array([len(of_class) for of_class in members.values()])
    pairs = n * (n - 1)
    weights = uncertainty.class_weights(n)

    drawn = [
        of_class if len(of_class) <= (n_sources or np.inf) else rng.choice(of_class, n_sources, replace=False)
        for of_class in members.values()
    ]
    n_drawn = np.array([len(of_class) for of_class in drawn])
    sources = np.concatenate(drawn)
    own = classes[sources]
    per_path = weights / (n_drawn * np.maximum(n - 1, 1))[:, None]
    found = inside_shares(points, graph, classes, sources, per_path[own], threads=threads)

    shares = found.sums / np.maximum(n - 1, 1)[own]
    scores = np.array([of_class.mean() for of_class in np.split(shares, np.cumsum(n_drawn)[:-1])])
    as_end = 2 * (shares - scores[own])[:, None] * (weights / n[:, None])[own]
    effects = Effects(sources, n_drawn, n, shares, as_end + found.influence[sources])
    variances = uncertainty.find_variances(effects)
    stderr, class_stderr, _ = np.sqrt(variances.total.sum(axis=0)).tolist()
    sampling_stderr, class_sampling_stderr, _ = np.sqrt(variances.sampling.sum(axis=0)).tolist()

    scored = pairs > 0
    per_class = {
        label: ClassConvexity(
            score=float(scores[c]) if scored[c] else math.nan,
            stderr=float(np.sqrt(variances.total[c, 2])) if scored[c] else math.nan,
            n_items=int(n[c]),
            n_pairs=int(pairs[c]),
            n_unreachable=int(found.unreachable[members[label]].sum()),
        )
        for c, label in enumerate(members)
    }
    return Convexity(
        score=float(pairs[scored] @ scores[scored] / pairs.sum()),
        stderr=stderr,
        sampling_stderr=sampling_stderr,
        chance=float(pairs @ n / (len(points) * pairs.sum())),
        class_score=float(scores[scored].mean()),
        class_stderr=class_stderr,
        class_sampling_stderr=class_sampling_stderr,
        class_chance=1 / np.count_nonzero(scored),
        n_items=len(points),
        n_classes=int(np.count_nonzero(scored)),
        n_pairs=int(pairs.sum()),
        n_unreachable=sum(entry.n_unreachable for entry in per_class.values()),
        per_class=per_class,
        effects=effects,
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
    if points.dtype.kind in "iu" and points.size and max(int(points.max()), -int(points.min())) > 2**53:
        raise ValueError(
            f"representations are whole numbers beyond 2^53, which {points.dtype} has and float64 has not: "
            "take a mean off them, or convert them to float64, which rounds them"
        )
    points = np.ascontiguousarray(points, np.float32 if points.dtype == np.float32 else np.float64)
    if getattr(labels, "ndim", 1) != 1:
        raise ValueError(
            f"labels must be one-dimensional, not of shape {tuple(getattr(labels, 'shape', ()))}"
        )
    # Python's own values, not elements of arrays, series or tensors: as keys, those of tensors all differ
    labels = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if len(labels) != len(points):
        raise ValueError(f"{len(points)} representations, but {len(labels)} labels")
    if len(points) < 2:
        raise ValueError(f"there are {len(points)} points, but it takes two to make a pair")
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
    if missing := sum(map(_is_missing, labels)):
        raise ValueError(
            f"{missing} labels are missing (NaN, None): give these points a class or leave them out"
        )
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        try:
            members.setdefault(label, []).append(index)
        except TypeError as error:  # a list, say
            raise ValueError(
                f"labels must be text, numbers or the like; that of row {index} is {label}"
            ) from error
    alone = [label for label, of_class in members.items() if len(of_class) == 1]
    if len(alone) == len(members):
        raise ValueError("every class has one member: there are no pairs to score. Are the labels classes?")
    if alone:
        log.warning("left out, since a class of one member has no pairs: %s", alone)
    return points, {label: np.array(of_class) for label, of_class in members.items()}


def _is_missing(label: Hashable) -> bool:
    try:
        return label is None or bool(label != label)
    except (TypeError, ValueError):  # pandas.NA says neither yes nor no
        return True


def score_layers(
    path: str | os.PathLike[str],
    dataset: pd.DataFrame,
    *,
    identity: dict[str, str],
    n_neighbors: int,
    threads: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The convexity of every layer of an embeddings file: a table of layers and one of layers and classes.

    The items of `dataset` (item, start, label, split) in the file's split are scored. `identity` names model,
    state and dataset: the first columns of both. `layers` counts the transformer layers, 0 to L. One layer at
    a time is in memory.
    """
    import pandas as pd

    scores, classes = [], []
    rows, items = embeddings.find_items(path, dataset)
    all_layers = range(embeddings.count_layers(path) + 1)
    for layers in Progress(all_layers, desc=" ".join(identity.values()), unit="layer"):
        if items.empty:  # a dataset of phonemes that were refused
            break
        points, _ = embeddings.read_layer(path, layers)
        result = graph_convexity(points[rows], items["label"].to_numpy(str), n_neighbors, n_jobs=threads)
        log.info("%s, %d layers: %.4f ± %.4f", identity, layers, result.score, result.stderr)
        key = {**identity, "layers": layers}
        scores.append(key | {name: getattr(result, name) for name in MEASURES})
        classes += [
            key | {"label": label} | {name: getattr(entry, name) for name in CLASS_MEASURES}
            for label, entry in sorted(result.per_class.items())
        ]
    keys = [*identity, "layers"]
    return (
        pd.DataFrame(scores, columns=[*keys, *MEASURES]),
        pd.DataFrame(classes, columns=[*keys, "label", *CLASS_MEASURES]),
    )
