"""Distances without rounding, for the few pairs of points whose distances float64 cannot rank.

Every floating-point number is a whole multiple of some power of two. In units of one that fits all
coordinates, a squared distance is a whole number too. `_square` gives all its digits, in base 2^DIGIT, and
`math.isqrt` computes its root to any digit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from convexprune.convexity.kernels import compiled, run_threads

DIGIT = 20  # bits of a digit: 2^20 products of two differences of digits add up within 64 bits
CARRY = 1024  # dimensions between carries: with fewer than 1000 digits they add fewer than 2^20 products
WORD = 60  # bits used of each int64 of a length: leaves room for the sum of two


class Block(NamedTuple):
    """What `neighbours` knows of the distances between the points from `first` on and all N points."""

    first: int
    products: np.ndarray  # (rows, N) dot products, float32
    lower: np.ndarray  # (N,) squares less an error, float32
    groups: np.ndarray  # (N,) points of the same group are no neighbours
    scale: float  # products and lower are those of the points times this
    slack: float  # the largest relative error of a squared distance in float64


class Digits(NamedTuple):
    """How a coordinate x splits into n digits, the highest first: digit i is trunc(x * up[i]), which is then
    taken off x."""

    up: np.ndarray  # (n,) powers of two
    down: np.ndarray  # (n,) their inverses: the value of one unit of a digit
    bits: int  # from the lowest bit of any coordinate to the highest


def find_digits(points: np.ndarray) -> Digits:
    """The digits that hold all coordinates of the finite `points` (N, D); bits below 2^-1000 are dropped."""
    low, high = 1100, -1000
    for start in range(0, len(points), 1000):
        fractions, exponents = np.frexp(points[start : start + 1000].astype(np.float64))
        whole = (fractions * 2.0**53).astype(np.int64)  # holds all bits of the fraction
        lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1 + exponents - 53
        if (there := whole != 0).any():
            low = min(low, int(lowest[there].min()))
            high = max(high, int(exponents[there].max()))
    low = max(low, -1000)
    n = max(1, -(-(high - low) // DIGIT))
    up = 2.0 ** (DIGIT * np.arange(1, n + 1) - high)
    return Digits(up, 1 / up, max(0, high - low))


def exact_in_float64(digits: Digits, D: int) -> bool:
    """Whether float64 holds squared distances over D coordinates of these `digits` exactly, as it does for
    small whole numbers."""
    return 2 * (digits.bits + 1) + D.bit_length() <= 53


def measure_edges(
    points: np.ndarray, starts: np.ndarray, targets: np.ndarray, threads: int = 1
) -> np.ndarray:
    """The lengths of the edges of a graph (`neighbours.Graph`) of the `points` (N, D), to more than twice as
    many digits as coordinates have.

    (2 E, W) int64: W words of WORD bits each, the highest first, in some unit; rounded down to it. A sum of N
    lengths fits into W words. These digits are enough to rank paths whose lengths differ only because the
    coordinates differ in their last digits.
    """
    (N, D), digits = points.shape, find_digits(points)
    rows = np.repeat(np.arange(N), np.diff(starts))
    names = rows * N + targets  # in increasing order
    half = np.flatnonzero(rows < targets)
    squares = np.empty((len(half), 2 * len(digits.up)), np.int64)

    def measure(part: np.ndarray) -> None:
        _measure(part, points, rows[half], targets[half], digits.up, digits.down, squares)

    run_threads(measure, np.array_split(np.arange(len(half)), threads), threads)
    fraction = DIGIT * len(digits.up) + 64  # bits below the unit of the coordinates
    n_words = -(-(2 * fraction - 64 + D.bit_length() + N.bit_length() + 2) // WORD)
    lengths = np.empty((len(names), n_words), np.int64)
    shifts = range(WORD * (n_words - 1), -1, -WORD)
    for edge, row in zip(half, squares.tolist(), strict=True):
        square = 0
        for digit in row:
            square = (square << DIGIT) + digit
        length = math.isqrt(square << (2 * fraction))
        lengths[edge] = [length >> shift & ((1 << WORD) - 1) for shift in shifts]
    lengths[np.searchsorted(names, targets[half] * np.int64(N) + rows[half])] = lengths[half]
    return lengths


@compiled
def decide(rows, block, points, digits, indices, squares):
    """Decide by exact distances which `points` (N, D) are the last neighbours of `rows`, and write them.

    `indices` and `squares` (N, k) hold the nearest points and their squared distances by float64.
    """
    first, products, lower, groups, scale, slack = block
    up, down, _ = digits
    k = indices.shape[1]
    memory = np.empty(len(up), np.int64)
    square = np.empty(2 * len(up), np.int64)
    exact = np.empty((k, len(square)), np.int64)
    for i in rows:
        low, high = squares[i, k - 1] * (1 - slack), squares[i, k - 1] * (1 + slack)
        sure = 0
        while squares[i, sure] < low:
            sure += 1
        filled = sure
        for j in range(len(points)):  # by index, so that of equal distances the lower index comes first
            near = np.float64(lower[i]) + np.float64(lower[j]) - 2 * np.float64(products[i - first, j])
            if groups[j] == groups[i] or near > high * scale * scale:
                continue
            rounded = 0.0
            for d in range(points.shape[1]):
                rounded += (np.float64(points[i, d]) - np.float64(points[j, d])) ** 2
            if rounded < low or rounded > high:
                continue
            _square(points, i, j, up, down, memory, square)
            place = filled
            while place > sure and _less(square, exact[place - 1]):
                place -= 1
            filled = min(filled + 1, k)
            for last in range(filled - 1, place, -1):
                indices[i, last], squares[i, last] = indices[i, last - 1], squares[i, last - 1]
                exact[last] = exact[last - 1]
            if place < k:
                indices[i, place], squares[i, place] = j, rounded
                exact[place] = square


@compiled
def _measure(part, points, rows, targets, up, down, squares):
    digits = np.empty(len(up), np.int64)
    for edge in part:
        _square(points, rows[edge], targets[edge], up, down, digits, squares[edge])


@compiled
def _square(points, i, j, up, down, digits, square):
    """Fill `square` (2 n,) with the digits of the squared distance of points i and j, the highest first. The
    highest may be larger than a digit. `digits` (n,) is scratch memory."""
    n = len(up)
    square[:] = 0
    for d in range(points.shape[1]):
        a = np.float64(points[i, d])
        b = np.float64(points[j, d])
        for c in range(n):
            of_a, of_b = np.trunc(a * up[c]), np.trunc(b * up[c])
            a -= of_a * down[c]
            b -= of_b * down[c]
            digits[c] = np.int64(of_a) - np.int64(of_b)
        for c in range(n):
            if digits[c] != 0:
                for e in range(n):
                    square[c + e + 1] += digits[c] * digits[e]
        if d % CARRY == CARRY - 1 or d == points.shape[1] - 1:
            for c in range(2 * n - 1, 0, -1):
                square[c - 1] += square[c] >> DIGIT
                square[c] &= (1 << DIGIT) - 1


@compiled
def _less(a, b):
    for place in range(len(a)):
        if a[place] != b[place]:
            return a[place] < b[place]
    return False


@compiled
def add_words(a, b, total):
    """Fill `total` with the sum of two numbers of several words, the highest first."""
    carry = 0
    for word in range(len(total) - 1, -1, -1):
        value = a[word] + b[word] + carry
        carry = value >> WORD
        total[word] = value & ((1 << WORD) - 1)


@compiled
def is_less(a, b):
    """Whether the first of two such numbers is the smaller one."""
    for word in range(len(a)):
        if a[word] != b[word]:
            return a[word] < b[word]
    return False
