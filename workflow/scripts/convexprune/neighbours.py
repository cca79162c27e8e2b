"""The k nearest neighbours of every point, exactly, and the graph that joins them.

Distances are ranked twice. Blocks of float32 matrix products bound the distance of every pair from both
sides; those pairs that may be among the k nearest are then measured in float64, from the differences of
their coordinates. The result is that of float64 throughout: it does not depend on the size of the blocks,
the number of threads or the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from convexprune.kernels import compiled, run_threads

BLOCK_BYTES = 1 << 26  # of one block of products: large enough for BLAS, small beside the data
STRETCH = 64  # columns looked at together, in vector registers: few stretches hold a candidate


class Graph(NamedTuple):
    """An undirected weighted graph of N vertices, each edge stored from both ends (compressed rows).

    The neighbours of vertex v are `targets[starts[v]:starts[v + 1]]`, in increasing order, at `lengths[...]`.
    """

    starts: np.ndarray  # (N + 1,) int32
    targets: np.ndarray  # (2 E,) int32
    lengths: np.ndarray  # (2 E,) float64


def neighbour_graph(indices: np.ndarray, distances: np.ndarray) -> Graph:
    """The graph with an edge where either point is among the other's neighbours, be its length 0."""
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
    device: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The `n_neighbors` nearest other points of each of the `points` (N, D), by Euclidean distance.

    `points` are finite, float32 or float64. `device`: what computes the matrix products: None for numpy, or a
    device of torch such as `cuda` or `cpu`.

    Returns their indices (N, k) int32, nearest first, ties by index, and their distances (N, k) float64.
    """
    N, D = points.shape
    rows = max(1, BLOCK_BYTES // (4 * N))
    blocks = list(pairwise([*range(0, N, rows), N]))

    # Far from the origin float32 would lose what tells near points apart; a power of two is lost by nothing.
    mean = points.mean(axis=0, dtype=np.float64)
    extent = max((points.max(axis=0) - mean).max(), (mean - points.min(axis=0)).max())
    scale = 2.0 ** min(1000, -np.frexp(extent)[1])
    centred = np.empty((N, D), np.float32)
    squares = np.empty(N)
    for start, stop in blocks:
        centred[start:stop] = (points[start:stop] - mean) * scale
        squares[start:stop] = np.square(centred[start:stop], dtype=np.float64).sum(axis=1)

    # For a squared distance, |computed - true| <= error * (|x|^2 + |y|^2) + tiny: the worst case of a dot
    # product of D terms in any order, of rounding both points and of the few operations after; and underflow
    error = 1.02 * (D + 32) * 2.0**-24
    tiny = D * 2.0**-120
    lower = ((1 - error) * squares - tiny).astype(np.float32)
    upper = ((1 + error) * squares + tiny).astype(np.float32)

    indices = np.empty((N, n_neighbors), np.int32)
    distances = np.empty((N, n_neighbors), np.float64)
    with _products(centred, threads, device) as products:
        for start, stop in blocks:
            block = products(start, stop)

            def select(part, first=start, block=block):
                _select(*part, first, block, lower, upper, points, indices, distances)

            parts = pairwise(np.linspace(0, stop - start, threads + 1).astype(int))
            run_threads(select, parts, threads)
    return indices, distances


@contextmanager
def _products(
    points: np.ndarray, threads: int, device: str | None
) -> Iterator[Callable[[int, int], np.ndarray]]:
    """A function that gives the dot products of points start..stop with all points, in full float32."""
    if device is None:
        with threadpool_limits(threads, user_api="blas"):
            yield lambda start, stop: points[start:stop] @ points.T
    else:
        import torch

        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")  # with less, the bounds on the error would not hold
        try:
            tensor = torch.from_numpy(points).to(device)
            yield lambda start, stop: (tensor[start:stop] @ tensor.T).cpu().numpy()
        finally:
            torch.set_float32_matmul_precision(precision)


@compiled
def _select(begin, end, first, products, lower, upper, points, indices, distances):
    """Fill `indices` and `distances` of the points first + (begin..end), from rows begin..end of a block."""
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
                if j != i and lower[j] - two * product[j] <= bounds[k - 1] - lower[i]:
                    candidates[count] = j
                    count += 1
                    bound = upper[i] + upper[j] - two * product[j]
                    if bound < bounds[k - 1]:
                        _insert(bounds, k - 1, bound)

        found = 0
        below = bounds[k - 1] - lower[i]
        for c in range(count):  # by index, so that of equal distances the lower index stands first
            j = candidates[c]
            if lower[j] - two * product[j] <= below:
                distance = _squared_distance(points, i, j)
                if found < k or distance < distances[i, k - 1]:
                    place = _insert(distances[i], min(found, k - 1), distance)
                    indices[i, place + 1 :] = indices[i, place : k - 1].copy()
                    indices[i, place] = j
                    found += 1
        for place in range(k):
            distances[i, place] = np.sqrt(distances[i, place])


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
