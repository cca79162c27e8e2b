"""Graph convexity: how much of the shortest paths between points of a class stays inside the class.

Definition: Tětková et al., as used by Dorszewski et al., "Convexity-based pruning of speech
representation models". The points are the vertices of a graph. An edge joins two points if either is
among the other's k nearest neighbours; its length is their Euclidean distance. An ordered pair of points of
one class scores the share of the interior vertices of their shortest path that belong to the class:
1 if the edge between them is the shortest path, 0 if there is no path.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np

from convexprune.convexity import checks, kernels, uncertainty
from convexprune.convexity.neighbours import nearest_neighbours, neighbour_graph
from convexprune.convexity.paths import Units, inside_shares
from convexprune.convexity.uncertainty import Effects


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
        stderr: its standard error as an estimate for points, or groups, drawn anew from the same classes.
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
        across_score: the mean over the pairs of different groups alone. `score`, if there are no groups.
        class_across_score: the mean of these means of the classes.
        n_items: all points.
        n_groups: the groups that are taken as independent, or None where the points are.
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
    across_score: float
    class_across_score: float
    n_items: int
    n_groups: int | None
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
    groups: Iterable[Hashable] | None = None,
    across: bool = False,
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

    With `groups` (N,), such as the speakers of recordings, groups and not points are the independent units of
    the standard errors. With `across`, only pairs of points of different groups count; the graph stays that
    of all points.

    The standard errors take points, or groups, as the independent units. (Pairs are not independent: they
    share their ends and the vertices between.) A point moves the score as an end of pairs, by the difference
    between their mean share and that of its class. It also moves it as a vertex on other points' paths, by
    how much more it belongs to their class than its neighbours do. The spread of the sum of both gives the
    error (the infinitesimal jackknife), less what two units do only together (`uncertainty`). Classes and
    their sizes are taken as given. The error of a class takes its own points alone: as ends, and as vertices
    between each other.
    In simulations with the default of 10 neighbours in twelve dimensions (benchmarks/planning.py), the error
    of a score or a difference is 0.9 to 1.1 times the true one, for scores up to 0.95. It is too large where
    classes hardly overlap (1.2 times for a score of 0.99, more nearer to 1) and where there is no structure
    at all (1.2 times). It can be half the true one for one neighbour, in one dimension, or for distant
    classes of few points. The part that two units share is estimated with random signs, by row: in another
    order of the points, the error differs by some percent.

    A class of one member has no pairs and is left out with a warning. Raises ValueError if `representations`
    are not numbers of shape (N, D), are not finite, exceed 1e150 or (whole numbers) 2^53, or are not as many
    as the labels; if two differ by less than 1e-130; unless 1 <= n_neighbors < N; if no class has two
    members; and if groups are missing, or every class lies in one group.
    """
    try:
        rng = np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"random_state is {random_state!r}, but must be a whole number from 0 on, a generator or None"
        ) from error
    threads = kernels.count_threads(n_jobs)
    points, members = checks.check_points(representations, labels, n_neighbors, n_sources)
    classes = np.empty(len(points), np.int64)
    for number, of_class in enumerate(members.values()):
        classes[of_class] = number
    alone = np.arange(len(points))
    units = alone if groups is None else checks.number_groups(groups, classes)
    kin = units if across else alone
    indices, distances = nearest_neighbours(points, n_neighbors, threads=threads)
    graph = neighbour_graph(indices, distances)

    n = np.array([len(of_class) for of_class in members.values()])
    ends = n[classes] - _count_alike(classes, kin)  # the paths of each point that count
    pairs = np.bincount(classes, ends).astype(np.int64)
    weights = uncertainty.weigh_classes(pairs)
    drawn = [
        of_class if len(of_class) <= (n_sources or np.inf) else rng.choice(of_class, n_sources, replace=False)
        for of_class in members.values()
    ]
    n_drawn = np.array([len(of_class) for of_class in drawn])
    sources = np.concatenate(drawn)
    own = classes[sources]
    n_paths = np.maximum(np.bincount(own, ends[sources], len(n)), 1)
    per_path = (weights / n_paths[:, None])[own]
    coins = uncertainty.toss_coins(units, classes)
    by_coin = per_path * uncertainty.center(coins[sources], own)[:, None]
    columns = np.hstack([per_path[:, :2], by_coin[:, :2], per_path[:, 2:], by_coin[:, 2:]])
    known = Units(kin, units, coins)
    found = inside_shares(points, graph, classes, sources, columns, units=known, threads=threads)

    sums, sums_across, sums_by_coin = found.sums.T
    scores = np.bincount(own, sums, len(n)) / n_paths
    apart = n[classes] - _count_alike(classes, units)  # the paths of each point that lead to other groups
    pairs_apart = np.bincount(classes, apart)
    with np.errstate(invalid="ignore"):  # of a class in one group
        scores_across = np.bincount(own, sums_across, len(n)) / np.bincount(own, apart[sources], len(n))
    paths_of_one = np.maximum(pairs / n, 1)[own]
    shares = (sums - ends[sources] * scores[own]) / paths_of_one
    per_end = 2 * (weights / n[:, None])[own]
    effects = Effects(
        *(sources, n_drawn, n, weights, None if groups is None else units[sources], shares),
        moves=shares[:, None] * per_end + found.influence[sources][:, [0, 1, 4]],
        between=2 * found.influence[sources][:, [2, 3, 5]],
        ends=(sums_by_coin / paths_of_one)[:, None] * per_end,
    )
    variances = uncertainty.find_variances(effects)
    stderr, class_stderr = np.sqrt(variances.means).tolist()
    sampling_stderr, class_sampling_stderr = np.sqrt(variances.sampling).tolist()

    in_reach = _count_alike(classes, found.component) - _count_alike(classes, found.component, kin)
    scored, spread = pairs > 0, pairs_apart > 0
    per_class = {
        label: ClassConvexity(
            score=float(scores[c]) if scored[c] else math.nan,
            stderr=float(np.sqrt(variances.of_classes[c])) if scored[c] else math.nan,
            n_items=int(n[c]),
            n_pairs=int(pairs[c]),
            n_unreachable=int((ends - in_reach)[members[label]].sum()),
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
        across_score=float(pairs_apart[spread] @ scores_across[spread] / pairs_apart.sum()),
        class_across_score=float(scores_across[spread].mean()),
        n_items=len(points),
        n_groups=None if groups is None else int(units.max()) + 1,
        n_classes=int(np.count_nonzero(scored)),
        n_pairs=int(pairs.sum()),
        n_unreachable=sum(entry.n_unreachable for entry in per_class.values()),
        per_class=per_class,
        effects=effects,
    )


def _count_alike(*numbers: np.ndarray) -> np.ndarray:
    """For each point (N,), how many points have all of its `numbers`, itself among them."""
    key = np.zeros(len(numbers[0]), np.int64)
    for one in numbers:
        key = key * (int(one.max()) + 1) + one
    _, place, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[place]
