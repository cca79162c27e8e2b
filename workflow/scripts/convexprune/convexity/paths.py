"""For all pairs of points of a class, the share of their shortest paths that lies inside the class.

`search` finds the lengths of paths in double precision. That cannot always decide which of two paths is the
shorter one: where one dimension is wide, all paths are nearly straight lines along it, and some paths truly
tie. So each vertex on a path that counts is checked: did another neighbour offer a path that is as short, up
to the rounding error? If so, the paths of that source are computed again, with enough digits (`exact`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np
from scipy.sparse import csgraph, csr_array

from convexprune.convexity.exact import add_words, is_less, measure_edges
from convexprune.convexity.kernels import compiled, run_threads
from convexprune.convexity.neighbours import Graph
from convexprune.convexity.search import LANES, Problem, find_paths, make_workspace

OUTSIDE = 1 << 32  # one number counts both: OUTSIDE * (vertices outside the class) + all vertices
UNREACHED = 1 << 61


class Units(NamedTuple):
    """What is known of N points beside their class, as integers and signs."""

    kin: np.ndarray  # (N,) paths between points of the same kin do not count
    groups: np.ndarray  # (N,) paths between points of different groups are added up once more, alone
    coins: np.ndarray  # (N,) each path is added up once more, times the coin of its target


class Shares(NamedTuple):
    """What `inside_shares` finds from S sources among N points."""

    sums: np.ndarray  # (S, 3) the shares of paths from each source: all, those to other groups, all by coins
    influence: np.ndarray  # (N, W) how far each point, as an interior vertex, moves the weighted sums
    component: np.ndarray  # (N,) the part of the graph in which each point is; no path joins two parts


def inside_shares(
    points: np.ndarray,
    graph: Graph,
    classes: np.ndarray,
    sources: np.ndarray,
    weights: np.ndarray,
    *,
    units: Units | None = None,
    threads: int = 1,
) -> Shares:
    """What share of the shortest paths from the `sources` to all others of their class lies inside the class.

    Without `units`, no two points are kin, each is a group, and there are no coins.

    `graph` joins the `points` (N, D); the length of an edge is the distance between its ends. The share of a
    path is the part of its interior vertices that belong to the class, or 1 if it has none. An edge is itself
    a shortest path, since lengths are distances: the share of neighbours is 1.

    Of equally long paths, the one with the fewest vertices outside the class counts, and of these the one
    with the fewest vertices. (Lengths are equal if they differ by less than the last digits of the
    coordinates can make them differ.)

    An interior vertex moves the share of its path by (inside - expected) / (interior vertices of the path):
    inside is 1 if it belongs to the class, else 0; expected is the part of its neighbours that belong to it.
    Its influence is the sum of this over all paths, each times the `weights` (S, W) of its source; in the
    last third of the columns, over the paths of its own class alone.

    `classes` (N,) are integers. The number of threads changes no bit of the result.
    """
    N, D = points.shape
    units = units or Units(np.arange(N), np.arange(N), np.zeros(N))
    numbers = np.arange(1, len(graph.targets) + 1)  # of edges, from 1: a stored 0 would be no edge
    matrix = csr_array((numbers, graph.targets, graph.starts), shape=(N, N))
    component = csgraph.connected_components(matrix, directed=False)[1]
    # a group: the points of one class in one component, the only ones whose paths count
    _, group, sizes = np.unique(
        classes * (component.max() + 1) + component, return_inverse=True, return_counts=True
    )

    # in this order, vertices that are close in the graph lie close in memory, and close sources share a batch
    order = csgraph.reverse_cuthill_mckee(matrix, symmetric_mode=True)
    matrix = matrix[order][:, order]
    group = group[order]
    place = np.argsort(order)
    placed = np.sort(place[sources[sizes[group[place[sources]]] > 1]])

    # influences add up as integers, so that it does not matter which thread adds when
    largest = np.abs(weights).sum(axis=0)
    scale = 2.0**60 / (N * np.where(largest > 0, largest, 1))
    placed_weights = np.zeros((N, weights.shape[1]))
    placed_weights[place[sources]] = weights * scale

    members = np.argsort(group, kind="stable")
    problem = Problem(
        starts=matrix.indptr.astype(np.int64),
        targets=matrix.indices,
        lengths=graph.lengths[matrix.data - 1],
        group=group,
        kin=units.kin[order],
        groups=units.groups[order],
        coins=units.coins[order],
        members=members,
        first=np.searchsorted(group[members], np.arange(group.max() + 2)),
        # relative rounding errors: (D / 2 + 2) 2^-53 of an edge, and 2^-53 more of a path for each edge
        slack=(D + 2 * N + 16) * 2.0**-52,
        exact=np.empty((0, 1), np.int64),
    )

    @functools.cache
    def measured() -> Problem:
        exact = measure_edges(points, graph.starts, graph.targets, threads)
        return problem._replace(exact=exact[matrix.data - 1])

    sums = np.zeros((N, 3))
    influence = _run(problem, measured, placed, placed_weights, sums, threads)
    return Shares(sums[place[sources]], influence[place] / scale, component)


def _run(
    problem: Problem,
    measured: Callable[[], Problem],
    sources: np.ndarray,
    weights: np.ndarray,
    sums: np.ndarray,
    threads: int,
) -> np.ndarray:
    """Fill `sums` at the sources; return the influence of all vertices.

    `measured` gives `problem` with exact lengths. That takes time, so it is called only if needed.
    """
    batches = iter([sources[start : start + LANES] for start in range(0, len(sources), LANES)])
    one_at_a_time = Lock()
    sums[sources] = np.nan  # not known yet

    def work(thread: int) -> np.ndarray:
        workspace = make_workspace(problem, weights.shape[1])
        for batch in batches:  # the threads share the iterator
            find_paths(problem, batch, workspace)
            _follow_paths(problem, batch, weights, workspace, sums)
            if np.isnan(sums[batch, 0]).any():
                with one_at_a_time:
                    exactly = measured()
                totals = np.empty((len(sums), exactly.exact.shape[1]), np.int64)
                _follow_paths(exactly, batch, weights, workspace._replace(totals=totals), sums)
        return workspace.influence

    return sum(run_threads(work, range(threads), threads))


@compiled
def _follow_paths(problem, sources, weights, workspace, sums):
    """Fill `sums` at the sources where it is NaN, and add to the influence of the vertices on their paths.

    Without exact lengths, the sum of a source stays NaN if one of its paths may not be the shortest.
    """
    starts, targets, _, group, kin, groups, coins, members, first, _, exact = problem
    third = weights.shape[1] // 3
    _, (touched, _), adjacent, parents, visits, influence, _, _, _, _ = workspace
    for lane, source in enumerate(sources):
        if not np.isnan(sums[source, 0]):
            continue
        own = group[source]
        of_class = members[first[own] : first[own + 1]]
        adjacent[targets[starts[source] : starts[source + 1]]] = 1

        n = 0
        known = True
        for target in of_class:
            v = np.int64(target)
            if kin[v] == kin[source]:
                continue
            while known and v != source and parents[v] < 0 and not (v == target and adjacent[v]):
                touched[n] = v
                n += 1
                parents[v], known = _parent(v, lane, problem, workspace)
                v = np.int64(parents[v])
        if not known and len(exact) > 0:
            parents[touched[:n]] = -1
            n = _settle(problem, source, lane, workspace)
            known = True

        if known:
            total, apart, by_coins = 0.0, 0.0, 0.0
            for target in of_class:
                if kin[target] == kin[source]:
                    continue
                if adjacent[target]:  # even if rounding makes a detour look shorter
                    total += 1.0
                    apart += groups[target] != groups[source]
                    by_coins += coins[target]
                    continue
                interior = 0
                inside = 0
                v = parents[target]
                while v != source:
                    interior += 1
                    inside += group[v] == own
                    v = parents[v]
                share = inside / interior
                total += share
                if groups[target] != groups[source]:
                    apart += share
                by_coins += coins[target] * share
                v = parents[target]
                while v != source:
                    visits[v] += 1.0 / interior
                    v = parents[v]
            sums[source, 0] = total
            sums[source, 1] = apart
            sums[source, 2] = by_coins
        adjacent[targets[starts[source] : starts[source + 1]]] = 0

        for v in touched[:n]:
            parents[v] = -1
            if visits[v] > 0:
                alike = 0
                for e in range(starts[v], starts[v + 1]):
                    alike += group[targets[e]] == own
                surprise = (group[v] == own) - alike / (starts[v + 1] - starts[v])
                counted = 3 * third if group[v] == own else 2 * third
                for w in range(counted):
                    influence[v, w] += np.int64(np.rint(weights[source, w] * visits[v] * surprise))
                visits[v] = 0


@compiled
def _parent(v, lane, problem, workspace):
    """The vertex before v on its shortest path, and whether no other path can be as short."""
    starts, targets, lengths, _, _, _, _, _, _, slack, _ = problem
    ways = workspace.ways
    limit = ways[v, lane] * (1 + slack)
    parent = -1
    best = np.inf
    rivals = 0
    for e in range(starts[v], starts[v + 1]):
        way = ways[targets[e], lane] + lengths[e]
        rivals += way <= limit
        if way < best:
            best = way
            parent = targets[e]
    return parent, rivals == 1


@compiled
def _settle(problem, source, lane, workspace):
    """Fill the parents of the vertices on the best paths from `source` to its targets. Of paths that tie, the
    best has the fewest vertices outside the class, then the fewest vertices.

    Returns how many vertices have a parent; they come first in `frontiers[0]`.
    """
    starts, targets, _, group, _, _, _, _, _, _, exact = problem
    _, (order, _), _, parents, _, _, near, ends, totals, counts = workspace
    n = _collect(problem, source, lane, workspace)
    for v in order[:n]:
        totals[v, 0] = UNREACHED
        counts[v] = UNREACHED
    totals[source] = 0
    counts[source] = 0

    # In `order`, each vertex comes after those before it on its paths, so one round settles all. Only where
    # there are circles (from edges shorter than the rounding error) does it take more.
    way, limit, tolerance = np.zeros((3, totals.shape[1]), np.int64)
    again, circles = True, False
    while again:
        changed = False
        for v in order[:n]:
            for e in near[starts[v] : ends[v]]:
                if totals[targets[e], 0] == UNREACHED:
                    circles = True
                    continue
                add_words(totals[targets[e]], exact[e], way)
                if is_less(way, totals[v]):
                    totals[v] = way
                    changed = True
        again = changed and circles
    tolerance[-1] = len(group)  # each edge has been rounded down by less than one
    again = True
    while again:
        changed = False
        for v in order[:n]:
            add_words(totals[v], tolerance, limit)
            for e in near[starts[v] : ends[v]]:
                t = targets[e]
                add_words(totals[t], exact[e], way)
                if not is_less(limit, way):
                    count = counts[t]
                    if t != source:
                        count += 1 if group[t] == group[source] else 1 + OUTSIDE
                    if count < counts[v]:
                        counts[v] = count
                        parents[v] = t
                        changed = True
        again = changed and circles
    return n


@compiled
def _collect(problem, source, lane, workspace):
    """Fill `order` with the vertices that may lie on the shortest paths to the targets, each after those
    before it on such a path. Fill near[starts[v]:ends[v]] with the edges by which these paths may reach v."""
    starts, targets, lengths, group, _, _, _, members, first, slack, _ = problem
    ways, (order, stack), adjacent, parents, _, _, near, ends, _, looked_at = workspace
    n = 0
    own = group[source]
    for target in members[first[own] : first[own + 1]]:
        if target == source or adjacent[target] or parents[target] >= 0:
            continue
        stack[0] = target
        depth = 1
        while depth > 0:
            v = stack[depth - 1]
            if parents[v] < 0:  # is new
                parents[v] = v
                ends[v] = looked_at[v] = starts[v]
                limit = ways[v, lane] * (1 + slack)
                for e in range(starts[v], starts[v + 1]):
                    if ways[targets[e], lane] + lengths[e] <= limit:
                        near[ends[v]] = e
                        ends[v] += 1
            if looked_at[v] == ends[v]:
                order[n] = v
                n += 1
                depth -= 1
                continue
            t = targets[near[looked_at[v]]]
            looked_at[v] += 1
            if t != source and parents[t] < 0:
                stack[depth] = t
                depth += 1
    return n
