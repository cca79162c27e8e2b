"""The k nearest neighbours of every point, exactly, and the graph that joins them.

Distances are ranked in up to three steps. Blocks of float32 matrix products bound the distance of every pair
from both sides. Pairs that may be among the k nearest are then measured in float64, from the differences of
their coordinates. If float64 cannot decide which point is the k-th, exact distances do (`exact`).
The result does not depend on the size of the blocks or the number of threads.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from convexprune.convexity import exact
from convexprune.convexity.kernels import compiled, run_threads

BLOCK_BYTES = 1 << 26  # of one block of products: large enough for BLAS, small beside the data
STRETCH = 64  # columns compared at once, in vector registers: few stretches hold a candidate
SMALLEST = 1e-130  # the squares of smaller distances lose digits

log = logging.getLogger(__name__)


class Graph(NamedTuple):
    """An undirected weighted graph of N vertices, each edge stored from both ends (compressed rows).

    The neighbours of vertex v are `targets[starts[v]:starts[v + 1]]`, in increasing order, at `lengths[...]`.
    """

    starts: np.ndarray  # (N + 1,) int32
    targets: np.ndarray  # (2 E,) int32
    lengths: np.ndarray  # (2 E,) float64


def neighbour_graph(indices: np.ndarray, distances: np.ndarray) -> Graph:
    """The graph with an edge between two points if either is a neighbour of the other, even at distance 0."""
    N, k = indices.shape
    rows = np.repeat(np.arange(N), k)
    columns = indices.ravel().astype(np.int64)
    edges, first = np.unique(np.concatenate([rows * N + columns, columns * N + rows]), return_index=True)
    lengths = np.tile(distances.ravel(), 2)[first]
    starts = np.searchsorted(edges, np.arange(N + 1) * N)
    return Graph(starts.astype(np.int32), (edges % N).astype(np.int32), lengths)


def nearest_neighbours(
    points: np.ndarray,
    n_neighbors: int,
    *,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The `n_neighbors` nearest other points of each of the `points` (N, D), by Euclidean distance.

    `points` are finite, float32 or float64.

    Returns their indices (N, k) int32, nearest first, and their distances (N, k) float64. Of equally
    distant points, those with lower indices are neighbours; a warning says if this decides for most points.
    Raises ValueError if two points differ, but by less than SMALLEST.
    """
    [found] = nearest_of_other_groups(points, n_neighbors, [np.arange(len(points))], threads=threads)
    return found


def nearest_of_other_groups(
    points: np.ndarray, n_neighbors: int, groupings: Sequence[np.ndarray], *, threads: int = 1
) -> list[tuple[np.ndarray, np.ndarray]]:
    """As `nearest_neighbours`, but points of the same group are no neighbours: for each of the `groupings`,
    integers (N,), by one computation of the distances.

    Each point must have `n_neighbors` points of other groups, in every grouping.
    """
    N, D = points.shape
    rows = max(1, BLOCK_BYTES // (4 * N))
    blocks = list(pairwise([*range(0, N, rows), N]))

    # Far from the origin, float32 would lose the differences between close points, so they are centred.
    # Scaling by a power of two rounds nothing.
    mean = points.mean(axis=0, dtype=np.float64)
    extent = max((points.max(axis=0) - mean).max(), (mean - points.min(axis=0)).max())
    scale = 2.0 ** min(1000, -np.frexp(extent)[1])
    centred = np.empty((N, D), np.float32)
    squares = np.empty(N)
    for start, stop in blocks:
        centred[start:stop] = (points[start:stop] - mean) * scale
        squares[start:stop] = np.square(centred[start:stop], dtype=np.float64).sum(axis=1)

    # For a squared distance, |computed - true| <= error * (|x|^2 + |y|^2) + tiny. `error` is the worst case
    # of a dot product of D terms in any order, of rounding both points and of the few operations after;
    # `tiny` is for underflow.
    error = 1.02 * (D + 32) * 2.0**-24
    tiny = D * 2.0**-120
    lower = ((1 - error) * squares - tiny).astype(np.float32)
    upper = ((1 + error) * squares + tiny).astype(np.float32)

    # likewise for one computed in float64 from the differences of coordinates: at most this share of it
    slack = (D + 4) * 2.0**-52

    everything = [
        # indices, distances (squared until the end), whether the last neighbour is tied with another point
        (groups, (np.empty((N, n_neighbors), np.int32), np.empty((N, n_neighbors)), np.empty(N, bool)))
        for groups in groupings
    ]
    digits = None
    with threadpool_limits(threads, user_api="blas"):
        for start, stop in blocks:
            block = centred[start:stop] @ centred.T
            for groups, found in everything:
                _, distances, tied = found

                def select(part, first=start, block=block, groups=groups, found=found):
                    _select(*part, first, block, lower, upper, points, groups, slack, *found)

                parts = pairwise(np.linspace(0, stop - start, threads + 1).astype(int))
                run_threads(select, parts, threads)

                doubtful = start + np.flatnonzero(tied[start:stop] & (distances[start:stop, -1] > 0))
                if not len(doubtful):
                    continue
                digits = digits or exact.find_digits(points)
                if not exact.exact_in_float64(digits, D):
                    known = exact.Block(start, block, lower, groups, scale, slack)

                    def decide(rows, known=known, digits=digits, found=found):
                        exact.decide(rows, known, points, digits, found[0], found[1])

                    run_threads(decide, np.array_split(doubtful, threads), threads)
    return [_checked(points, *found) for _, found in everything]


def _checked(
    points: np.ndarray, indices: np.ndarray, squares: np.ndarray, tied: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances. Raises the error, and logs the warning, of `nearest_neighbours`."""
    N, k = indices.shape
    distances = np.sqrt(squares)
    if (row := _find_vanished(points, indices, distances)) >= 0:
        raise ValueError(
            f"the point of row {row} and its nearest one differ by less than {SMALLEST:g}, too little to "
            "measure: multiply all points by something, or make these two equal"
        )
    if 2 * tied.sum() > N:
        log.warning(
            "%d of %d points have more than %d nearest neighbours, since others are equally far: those that "
            "stand first were taken, so the score depends on the order of the points",
            *(tied.sum(), N, k),
        )
    return indices, distances


@compiled
def _select(begin, end, first, products, lower, upper, points, groups, slack, indices, distances, tied):
    """Fill `indices` and squared `distances` of the points first + (begin..end), from rows begin..end of a
    block. Fill `tied`: whether another point is as far as the last neighbour, up to the share `slack`."""
    N = products.shape[1]
    k = indices.shape[1]
    two = np.float32(2)
    candidates = np.empty(N, np.int32)
    bounds = np.empty(k, np.float32)  # the k smallest upper bounds so far, in increasing order
    for row in range(begin, end):
        i = first + row
        product = products[row]
        bounds[:] = np.inf
        count = 0
        for start in range(0, N, STRETCH):
            stop = min(start + STRETCH, N)
            below = bounds[k - 1] - lower[i]
            low, dots = lower[start:stop], product[start:stop]
            hits = 0
            for j in range(len(low)):
                hits += low[j] - two * dots[j] <= below
            if hits == 0:
                continue
            for j in range(start, stop):
                if groups[j] != groups[i] and lower[j] - two * product[j] <= bounds[k - 1] - lower[i]:
                    candidates[count] = j
                    count += 1
                    bound = upper[i] + upper[j] - two * product[j]
                    if bound < bounds[k - 1]:
                        _insert(bounds, k - 1, bound)

        found = 0
        left_out = np.inf  # the smallest distance left out
        below = bounds[k - 1] - lower[i]
        for c in range(count):  # by index, so that of equal distances the lower index comes first
            j = candidates[c]
            if lower[j] - two * product[j] <= below:
                distance = _squared_distance(points, i, j)
                if found < k or distance < distances[i, k - 1]:
                    if found >= k:
                        left_out = min(left_out, distances[i, k - 1])
                    place = _insert(distances[i], min(found, k - 1), distance)
                    indices[i, place + 1 :] = indices[i, place : k - 1].copy()
                    indices[i, place] = j
                else:
                    left_out = min(left_out, distance)
                found += 1
        tied[i] = left_out <= distances[i, k - 1] * (1 + slack)


@compiled
def _insert(values, last, value):
    """Put `value` among the increasing values[:last], behind its equals; values[last] is overwritten."""
    place = last
    while place > 0 and values[place - 1] > value:
        values[place] = values[place - 1]
        place -= 1
    values[place] = value
    return place


@compiled(fastmath={"reassoc", "contract"})
def _squared_distance(points, i, j):
    total = 0.0
    for d in range(points.shape[1]):
        difference = np.float64(points[i, d]) - np.float64(points[j, d])
        total += difference * difference
    return total


@compiled
def _find_vanished(points, indices, distances):
    """The first point with a neighbour that differs from it, but by too little to measure; or -1."""
    for i in range(len(points)):
        for place in range(indices.shape[1]):
            if distances[i, place] >= SMALLEST:
                break
            j = indices[i, place]
            for d in range(points.shape[1]):
                if points[i, d] != points[j, d]:
                    return i
    return -1
