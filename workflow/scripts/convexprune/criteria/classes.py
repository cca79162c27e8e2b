"""How well a layer keeps classes apart: silhouette, Fisher's ratio, LogME, votes of neighbours."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from convexprune.convexity.kernels import compiled, run_threads
from convexprune.criteria.probes import Moments
from convexprune.criteria.registry import UnsuitableError

BLOCK_BYTES = 1 << 26  # of one block of products
PAIRS = 1000  # of Euclidean convexity
POSITIONS = np.linspace(0, 1, 12)[1:-1]  # on each of its segments, the ends left out
STEPS = 1000  # of LogME at most; 10 are usual
LARGEST = 1e9  # of its alpha, against the largest eigenvalue times beta


def silhouette(points: np.ndarray, classes: np.ndarray, n_classes: int, *, threads: int = 1) -> float:
    """The mean silhouette of all `points` (N, D) in their `classes` (N,), by Euclidean distance.

    Rousseeuw (1987): (b - a) / max(a, b), where a is the mean distance to the other points of the
    class and b that to the points of the nearest other class; 0 for a class of one. Distances are computed in
    the type of the points from their products: centre the points before.
    """
    N = len(points)
    counts = np.bincount(classes, minlength=n_classes)
    if np.count_nonzero(counts) < 2:
        raise UnsuitableError("there is one class")
    order = np.argsort(classes, kind="stable")
    points, classes = points[order], classes[order]
    starts = np.concatenate([[0], np.cumsum(counts)])
    squares = np.einsum("nd,nd->n", points, points)
    sums = np.zeros((N, n_classes))
    rows = max(1, BLOCK_BYTES // (points.itemsize * N))
    with threadpool_limits(threads, user_api="blas"):
        for start, stop in pairwise([*range(0, N, rows), N]):
            block = points[start:stop] @ points.T

            def add(part: tuple[int, int], first: int = start, block: np.ndarray = block) -> None:
                _add_distances(*part, first, block, squares, starts, sums)

            run_threads(add, pairwise(np.linspace(0, stop - start, threads + 1).astype(int)), threads)
    everyone = np.arange(N)
    own = sums[everyone, classes] / np.maximum(counts[classes] - 1, 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    means[everyone, classes] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(own, nearest)
    values = np.divide(nearest - own, larger, out=np.zeros(N), where=(larger > 0) & (counts[classes] > 1))
    return float(values.mean())


@compiled(fastmath={"reassoc", "contract"})
def _add_distances(begin, end, first, products, squares, starts, sums):
    """Fill the rows first + (begin..end) of `sums`: the sum of the distances to the points of each class."""
    two, zero = products.dtype.type(2), products.dtype.type(0)
    for row in range(begin, end):
        i = first + row
        for c in range(len(starts) - 1):
            total = zero
            for j in range(starts[c], starts[c + 1]):
                total += np.sqrt(max(zero, squares[i] + squares[j] - two * products[row, j]))
            if starts[c] <= i < starts[c + 1]:  # not left out above: without a branch, vector registers add
                total -= np.sqrt(max(zero, squares[i] + squares[i] - two * products[row, i]))
            sums[i, c] = total


def fisher_ratio(moments: Moments) -> float:
    """The trace of the scatter between classes over the trace of that within classes.

    `moments` are those of all points, best of centred ones.
    """
    counts, sums, products = moments
    of_classes = np.square(sums).sum(axis=1) / np.maximum(counts, 1)
    within = np.trace(products) - of_classes.sum()
    between = of_classes.sum() - np.square(sums.sum(axis=0)).sum() / counts.sum()
    if within <= 1e-12 * np.trace(products):
        raise UnsuitableError("no two items of a class differ")
    return float(between / within)


def logme(eigenvalues: np.ndarray, eigenvectors: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> float:
    """LogME (You et al. 2021, algorithm 1): the log evidence of Bayesian linear regression on one-hot labels,
    for each item, mean over the K classes that have items.

    `eigenvalues` (D,) and `eigenvectors` (D, D), in columns, of the products X^T X of the points as they are;
    `sums` (K, D) of the points of each class and their `counts` (K,).
    """
    present = counts > 0
    if np.count_nonzero(present) < 2:
        raise UnsuitableError("there is one class")
    n, values = counts.sum(), np.maximum(eigenvalues, 0)[:, None]
    if not values.any():
        raise UnsuitableError("all states are zero")
    answers = eigenvectors.T @ sums[present].T  # (D, K)
    targets = counts[present]  # squared norms of the one-hot labels
    alpha, beta = np.ones((2, len(targets)))
    for _ in range(STEPS):
        posterior = alpha + beta * values
        mean = beta * answers / posterior
        size = np.square(mean).sum(axis=0)
        residual = targets - 2 * (answers * mean).sum(axis=0) + (values * mean**2).sum(axis=0)
        residual = np.maximum(residual, 1e-12 * targets)
        gamma = (beta * values / posterior).sum(axis=0)
        evidence = (
            n * np.log(beta)
            + len(values) * np.log(alpha)
            - n * np.log(2 * np.pi)
            - beta * residual
            - alpha * size
            - np.log(posterior).sum(axis=0)
        ) / (2 * n)
        before = alpha, beta
        # without this limit alpha grows forever where the points say nothing about a class
        alpha = np.minimum(gamma / np.maximum(size, 1e-300), LARGEST * beta * values.max())
        beta = (n - gamma) / residual
        if np.allclose(before, (alpha, beta), rtol=1e-5, atol=0):
            break
    return float(evidence.mean())


def neighbour_accuracy(neighbours: np.ndarray, classes: np.ndarray, n_classes: int) -> float:
    """The share of items (N,) in the class of most of their `neighbours` (N, k), of equals the first one."""
    votes = np.zeros((len(classes), n_classes), np.int32)
    for column in neighbours.T:
        votes[np.arange(len(classes)), classes[column]] += 1
    return float((votes.argmax(axis=1) == classes).mean())


def draw_pairs(classes: np.ndarray, n_pairs: int, seed: int = 0) -> np.ndarray:
    """Pairs (n_pairs, 2) of different items of one class, all equally likely, drawn with repetition."""
    counts = np.bincount(classes)
    ways = counts * (counts - 1.0)
    if not ways.any():
        raise UnsuitableError("no class has two items")
    rng = np.random.default_rng(seed)
    order = np.argsort(classes, kind="stable")
    starts = np.cumsum(counts) - counts
    drawn = rng.choice(len(counts), n_pairs, p=ways / ways.sum())
    first = rng.integers(counts[drawn])
    second = rng.integers(counts[drawn] - 1)
    second += second >= first
    return order[starts[drawn][:, None] + np.stack([first, second], axis=1)]


def euclidean_convexity(
    points: np.ndarray, classes: np.ndarray, pairs: np.ndarray, n_neighbors: int, *, threads: int = 1
) -> float:
    """The share of points on segments between items of one class that are classified as that class.

    `pairs` (n, 2) are the ends; each segment has the points at POSITIONS. Tětková et al. (2025) let the head
    of a network classify them. Mean states have no head: here the class is that of most of the `n_neighbors`
    nearest `points` (N, D) of known `classes` (N,), of equals the first one. The two ends do not vote: in
    many dimensions they are nearest to all of their segment. Centre the points before.
    """
    if len(points) < n_neighbors + 2:
        raise UnsuitableError(f"{len(points)} items are fewer than {n_neighbors} neighbours and two ends")
    squares = np.einsum("nd,nd->n", points, points)
    right = np.zeros(len(pairs), np.int64)
    rows = max(1, BLOCK_BYTES // (2 * points.itemsize * len(points)))
    positions = POSITIONS.astype(points.dtype)
    with threadpool_limits(threads, user_api="blas"):
        for start, stop in pairwise([*range(0, len(pairs), rows), len(pairs)]):
            ends = pairs[start:stop]
            products = points[ends[:, 0]] @ points.T, points[ends[:, 1]] @ points.T

            def vote(
                part: tuple[int, int],
                ends: np.ndarray = ends,
                products: tuple[np.ndarray, np.ndarray] = products,
                right: np.ndarray = right[start:stop],
            ) -> None:
                _vote(*part, ends, *products, squares, positions, classes, n_neighbors, right)

            run_threads(vote, pairwise(np.linspace(0, stop - start, threads + 1).astype(int)), threads)
    return float(right.sum() / (len(pairs) * len(POSITIONS)))


@compiled
def _vote(begin, end, ends, products, others, squares, positions, classes, k, right):
    """Fill `right` (pairs,): at how many positions the k nearest points say the class of the ends."""
    distances = np.empty(k, squares.dtype)  # squared, less the square of the point on the segment
    nearest = np.empty(k, np.int64)
    votes = np.zeros(classes.max() + 1, np.int64)
    two = squares.dtype.type(2)
    for pair in range(begin, end):
        a, b = ends[pair]
        for share in positions:
            distances[:] = np.inf
            rest = squares.dtype.type(1) - share
            for j in range(len(squares)):
                distance = squares[j] - two * (rest * products[pair, j] + share * others[pair, j])
                if distance < distances[k - 1] and j != a and j != b:
                    place = k - 1
                    while place > 0 and distances[place - 1] > distance:
                        distances[place], nearest[place] = distances[place - 1], nearest[place - 1]
                        place -= 1
                    distances[place], nearest[place] = distance, j
            votes[:] = 0
            for j in nearest:
                votes[classes[j]] += 1
            right[pair] += votes.argmax() == classes[a]
