"""The k nearest neighbours of every point, exactly, and the graph that joins them.

Distances are ranked twice. Blocks of float32 matrix products rank all pairs; every point that rounding could
have kept out of the k nearest is then measured again in float64. The result is that of float64 throughout, so
it does not depend on the size of the blocks, the number of threads or the device.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from convexprune.kernels import compiled, run_threads

BLOCK_BYTES = 1 << 26  # of one block of products: large enough for BLAS, small beside the data


class Graph(NamedTuple):
    """An undirected weighted graph of N vertices, each edge stored from both ends (compressed rows).

    The neighbours of vertex v are `targets[starts[v]:starts[v + 1]]`, in increasing order, at `lengths[...]`.
    """

    starts: np.ndarray  # (N + 1,) int64
    targets: np.ndarray  # (2 E,) int32
    lengths: np.ndarray  # (2 E,) float64


def nearest_neighbours(
    points: np.ndarray, n_neighbors: int, *, threads: int = 1, block_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The `n_neighbors` nearest other points of each of the `points` (N, D), by Euclidean distance.

    Returns their indices (N, k) int32, nearest first, ties by index, and their distances (N, k) float64.
    """
    N, D = points.shape
    centred = points - points.mean(axis=0, dtype=np.float64)
    largest = np.abs(centred).max(initial=0.0)
    if largest > 0:  # a power of two: float32 can then neither overflow nor round
        centred *= 2.0 ** -np.ceil(np.log2(largest))
    approximate = centred.astype(np.float32)
    del centred
    squares = np.einsum("ij,ij->i", approximate, approximate, dtype=np.float64)
    # |computed - true| <= error * (|x|^2 + |y|^2) for a squared distance: the worst case of a dot product of
    # D terms in any order, of rounding x and y to float32 and of the few operations after it
    error = (D + 16) * 2.0**-24
    tiny = D * 2.0**-120
    low = ((1 - error) * squares - tiny).astype(np.float32)
    high = ((1 + error) * squares + tiny).astype(np.float32)

    indices = np.empty((N, n_neighbors), np.int32)
    distances = np.empty((N, n_neighbors), np.float64)
    rows = block_rows or max(1, BLOCK_BYTES // (4 * N))
    for start in range(0, N, rows):
        products = approximate[start : start + rows] @ approximate.T
        run_threads(
            lambda part, first=start, block=products: _select(
                part[0], part[1], first, block, low, high, points, indices, distances
            ),
            _parts(len(products), threads),
            threads,
        )
    return indices, distances


def _parts(length: int, parts: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, length, parts + 1).astype(int)
    return list(itertools.pairwise(edges))


@compiled(fastmath={"reassoc", "contract"})
def _squared_distance(points, i, j):
    total = 0.0
    for d in range(points.shape[1]):
        difference = np.float64(points[i, d]) - np.float64(points[j, d])
        total += difference * difference
    return total


@compiled
def _select(begin, end, first, products, low, high, points, indices, distances):
    """Fill `indices` and `distances` for rows begin..end of a block of products whose row 0 is `first`."""
    N = products.shape[1]
    k = indices.shape[1]
    candidates = np.empty(N, np.int32)
    uppers = np.empty(k, np.float32)
    for row in range(begin, end):
        i = first + row
        uppers[:] = np.inf  # the k smallest upper bounds so far, in increasing order
        count = 0
        for j in range(N):
            product = np.float32(2) * products[row, j]
            if low[i] + low[j] - product <= uppers[k - 1] and j != i:
                candidates[count] = j
                count += 1
                upper = high[i] + high[j] - product
                if upper < uppers[k - 1]:
                    place = k - 1
                    while place > 0 and uppers[place - 1] > upper:
                        uppers[place] = uppers[place - 1]
                        place -= 1
                    uppers[place] = upper

        found = 0
        for c in range(count):  # in increasing order of index, so that an equal distance goes behind
            j = candidates[c]
            if low[i] + low[j] - np.float32(2) * products[row, j] > uppers[k - 1]:
                continue
            distance = _squared_distance(points, i, j)
            if found == k and distance >= distances[i, k - 1]:
                continue
            place = min(found, k - 1)
            found = min(found + 1, k)
            while place > 0 and distances[i, place - 1] > distance:
                distances[i, place] = distances[i, place - 1]
                indices[i, place] = indices[i, place - 1]
                place -= 1
            distances[i, place] = distance
            indices[i, place] = j
        for place in range(k):
            distances[i, place] = np.sqrt(distances[i, place])


def neighbour_graph(indices: np.ndarray, distances: np.ndarray) -> Graph:
    """The graph with an edge where either point is among the other's neighbours, be its length 0."""
    N, k = indices.shape
    rows = np.repeat(np.arange(N), k)
    columns = indices.ravel().astype(np.int64)
    edges, first = np.unique(np.concatenate([rows * N + columns, columns * N + rows]), return_index=True)
    lengths = np.tile(distances.ravel(), 2)[first]
    starts = np.searchsorted(edges, np.arange(N + 1) * N)
    return Graph(starts, (edges % N).astype(np.int32), lengths)
