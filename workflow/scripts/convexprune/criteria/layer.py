"""The points of a layer, and what several criteria need of them: computed once, when it is first needed."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import linalg

from convexprune.convexity.neighbours import nearest_of_other_groups
from convexprune.criteria import probes
from convexprune.criteria.registry import UnsuitableError


@dataclass(frozen=True)
class Items:
    """What is known of the N items, the same at every layer."""

    classes: np.ndarray  # (N,) numbers from 0
    n_classes: int
    speakers: np.ndarray | None  # (N,) numbers; None if they are unknown, all the same, or the classes
    folds: list[np.ndarray]  # held-out items; all in one fold if no class has two items
    n_neighbors: int
    threads: int

    @property
    def n_strangers(self) -> int:
        """The fewest items of other speakers that an item has; all others where speakers are not known."""
        alone = 1 if self.speakers is None else int(np.bincount(self.speakers).max())
        return len(self.classes) - alone

    @classmethod
    def of(cls, labels: np.ndarray, speakers: np.ndarray, n_neighbors: int, threads: int) -> Items:
        names, numbers = np.unique(labels, return_inverse=True)
        voices, voice = np.unique(speakers, return_inverse=True)
        known = voice if len(voices) > 1 and not np.array_equal(labels, speakers) else None
        try:
            folds = probes.make_folds(labels, known)
        except UnsuitableError:
            folds = [np.arange(len(labels))]
        return cls(numbers, len(names), known, folds, n_neighbors, threads)


@dataclass(eq=False)
class Layer:
    """The points (N, D) of one layer, and what is computed from them when it is first needed."""

    points: np.ndarray
    items: Items
    seconds: dict[str, float] = field(default_factory=dict)  # that each of the properties below took

    @cached_property
    def centred(self) -> np.ndarray:
        mean = self.points.mean(axis=0, dtype=np.float64)
        return (self.points - mean).astype(self.points.dtype)

    @cached_property
    def search(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Indices and distances (N, k) of the nearest neighbours and, last, of those of other speakers, if
        every item has enough of them. Where speakers are not known, these are the same."""
        N, k, speakers = len(self.points), self.items.n_neighbors, self.items.speakers
        if k >= N:
            raise UnsuitableError(f"{N} items are too few for {k} neighbours")
        groupings = [np.arange(N)]
        if speakers is not None and self.items.n_strangers >= k:
            groupings.append(speakers)
        return nearest_of_other_groups(self.points, k, groupings, threads=self.items.threads)

    @property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices and distances (N, k) of the nearest neighbours."""
        return self.search[0]

    @property
    def strangers(self) -> np.ndarray:
        """Indices (N, k) of the nearest neighbours of other speakers, where these are known."""
        fewest, k = self.items.n_strangers, self.items.n_neighbors
        if fewest < k:
            raise UnsuitableError(f"{fewest} items of other speakers are too few for {k} neighbours")
        return self.search[-1][0]

    @cached_property
    def moments(self) -> list[probes.Moments]:
        """Those of the centred items of each fold."""
        points, labels, n_classes = self.centred.astype(np.float64), self.items.classes, self.items.n_classes
        return [probes.find_moments(points[fold], labels[fold], n_classes) for fold in self.items.folds]

    @cached_property
    def total(self) -> probes.Moments:
        return probes.add(self.moments)

    @cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (D,) and eigenvectors (D, D) of X^T X, for the points X as they are."""
        mean = self.points.mean(axis=0, dtype=np.float64)
        return linalg.eigh(self.total.products + len(self.points) * np.outer(mean, mean))

    @cached_property
    def size(self) -> float:
        """The Frobenius norm of X^T X, for the centred points X."""
        return float(np.linalg.norm(self.total.products))

    def prepare(self, names: tuple[str, ...]) -> float:
        """The seconds that the named properties took, now or before."""
        for name in names:
            if name not in self.seconds:
                start = time.perf_counter()
                with suppress(UnsuitableError):  # whoever needs it raises the error again
                    getattr(self, name)
                self.seconds[name] = time.perf_counter() - start
        return sum(self.seconds[name] for name in names)
