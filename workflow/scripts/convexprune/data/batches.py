"""Batches of clips of like length: a batch takes the time of its longest clip for each of its clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

WINDOW = 16  # batches: in training, clips are sorted by length within so many
ROWS = 1024  # of a table: elsewhere within so many, whose results are then held in memory


def sort_windows(clip: np.ndarray, lengths: np.ndarray | None, batch_size: int) -> Iterator[list[np.ndarray]]:
    """The rows of a table in batches. Those of a window follow one another; its batches go by length.

    `clip` (N,) is the number of the clip that a row is of, from 0 and rising, `lengths` (N,) that clip's
    length. A batch has all rows of `batch_size` clips. A window has at most ROWS rows, or is one batch, as it
    always is without `lengths`.
    """
    edges = np.searchsorted(clip, np.arange(clip.max(initial=-1) + 2))
    rows = [np.arange(first, last) for first, last in itertools.pairwise(edges)]
    start = 0
    while start < len(rows):
        most = 0 if lengths is None else int(np.searchsorted(edges, edges[start] + ROWS, side="right")) - 1
        window = range(start, min(len(rows), max(start + batch_size, most)))
        by_length = window if lengths is None else sorted(window, key=lambda number: lengths[edges[number]])
        yield [
            np.concatenate([rows[number] for number in sorted(batch)])
            for batch in split(by_length, batch_size)
        ]
        start = window.stop


def split(values: Sequence[int], size: int) -> list[Sequence[int]]:
    """`values` in pieces of `size`; the last may be shorter."""
    return [values[first : first + size] for first in range(0, len(values), size)]


def shuffle(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of clips of `lengths` (N,) in which every `batch_size` of them are of like length.

    Clips are shuffled, sorted by length, longest first, within windows, and cut into batches, which are
    shuffled too. A last batch of fewer clips is of like length too: a piece of the last window.
    """
    order, size = rng.permutation(len(lengths)), WINDOW * batch_size
    windows = np.split(order, range(size, len(order), size))
    *full, last = (window[np.argsort(-lengths[window], kind="stable")] for window in windows)
    left = len(last) % batch_size
    first = batch_size * rng.integers(len(last) // batch_size + 1)
    piece, last = last[first : first + left], np.delete(last, np.s_[first : first + left])
    batches = np.concatenate([*full, last]).reshape(-1, batch_size)
    return np.concatenate([rng.permutation(batches).ravel(), piece])
