"""Batches of clips of like length: a batch takes the time of its longest clip for each of its clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

WINDOW = 16  # batches: clips are sorted by length within so many


def sort_windows(clip: np.ndarray, lengths: np.ndarray, batch_size: int) -> Iterator[list[np.ndarray]]:
    """The rows of a table in batches. Those of a window follow one another; its batches go by length.

    `clip` (N,) is the number of the clip that a row is of, from 0 and rising, `lengths` (N,) that clip's
    length. A batch has all rows of `batch_size` clips. Clips of equal length keep their order.
    """
    edges = np.searchsorted(clip, np.arange(clip.max(initial=-1) + 2))
    rows = [np.arange(first, last) for first, last in itertools.pairwise(edges)]
    for window in split(range(len(rows)), WINDOW * batch_size):
        by_length = sorted(window, key=lambda number: lengths[edges[number]])
        yield [
            np.concatenate([rows[number] for number in sorted(batch)])
            for batch in split(by_length, batch_size)
        ]


def split(values: Sequence[int], size: int) -> list[Sequence[int]]:
    """`values` in pieces of `size`; the last may be shorter."""
    return [values[first : first + size] for first in range(0, len(values), size)]


def shuffle(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of clips of `lengths` (N,) in which every `batch_size` of them are of like length.

    Clips are shuffled, sorted by length, longest first, within windows, and cut into batches, which are
    shuffled too. The last batch has what is left over.
    """
    order = rng.permutation(len(lengths))
    whole = len(order) - len(order) % batch_size
    windows = np.split(order[:whole], range(WINDOW * batch_size, whole, WINDOW * batch_size))
    like = np.concatenate([window[np.argsort(-lengths[window], kind="stable")] for window in windows])
    batches = like.reshape(-1, batch_size)
    return np.concatenate([rng.permutation(batches).ravel(), order[whole:]])
