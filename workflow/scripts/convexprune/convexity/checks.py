"""Checks of what is to be scored: representations, labels, and groups of points."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

LARGEST = 1e150  # the squares of larger coordinates may overflow


def check_points(
    representations: np.ndarray, labels: Iterable[Hashable], n_neighbors: int, n_sources: int | None
) -> tuple[np.ndarray, dict[Hashable, np.ndarray]]:
    """The points, contiguous and float32 or float64, and the indices of the members of each class.

    Raises ValueError as `graph_convexity` says."""
    points = np.asarray(representations)
    if points.ndim != 2 or points.shape[1] == 0 or points.dtype.kind not in "fiub":
        raise ValueError(
            "representations must be real numbers of shape (points, dimensions), "
            f"not {points.dtype} of shape {points.shape}"
        )
    if points.dtype.kind in "iu" and points.size and max(int(points.max()), -int(points.min())) > 2**53:
        raise ValueError(
            f"representations are whole numbers beyond 2^53, which {points.dtype} has and float64 has not: "
            "take a mean off them, or convert them to float64, which rounds them"
        )
    points = np.ascontiguousarray(points, np.float32 if points.dtype == np.float32 else np.float64)
    labels = _as_list("labels", labels)
    if len(labels) != len(points):
        raise ValueError(f"{len(points)} representations, but {len(labels)} labels")
    if len(points) < 2:
        raise ValueError(f"there are {len(points)} points, but it takes two to make a pair")
    if not 1 <= n_neighbors < len(points):
        raise ValueError(
            f"n_neighbors is {n_neighbors}, but must be from 1 to {len(points) - 1}: "
            f"there are {len(points)} points"
        )
    if n_sources is not None and n_sources < 2:
        raise ValueError(f"n_sources is {n_sources}, but it takes at least 2 to estimate an error")
    sizes = np.maximum(points.max(axis=1), -points.min(axis=1)).astype(np.float64)
    if (bad := ~(sizes <= LARGEST)).any():
        raise ValueError(
            f"{bad.sum()} of {len(points)} representations have values that are NaN, infinite or beyond "
            f"{LARGEST:g}, the first in row {bad.argmax()}"
        )
    if missing := sum(map(_is_missing, labels)):
        raise ValueError(
            f"{missing} labels are missing (NaN, None): give these points a class or leave them out"
        )
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        try:
            members.setdefault(label, []).append(index)
        except TypeError as error:  # a list, say
            raise ValueError(
                f"labels must be text, numbers or the like; that of row {index} is {label}"
            ) from error
    alone = [label for label, of_class in members.items() if len(of_class) == 1]
    if len(alone) == len(members):
        raise ValueError("every class has one member: there are no pairs to score. Are the labels classes?")
    if alone:
        log.warning("left out, since a class of one member has no pairs: %s", alone)
    return points, {label: np.array(of_class) for label, of_class in members.items()}


def _is_missing(label: Hashable) -> bool:
    try:
        return label is None or bool(label != label)
    except (TypeError, ValueError):  # pandas.NA says neither yes nor no
        return True


def number_groups(groups: Iterable[Hashable], classes: np.ndarray) -> np.ndarray:
    """The group of each point (N,) as a whole number from 0 on.

    Raises ValueError if there are not as many as points, if some are missing, or if there is nothing to tell
    groups apart by: each of the `classes` (N,) lies in one group, or there is only one group.
    """
    given = _as_list("groups", groups)
    if len(given) != len(classes):
        raise ValueError(f"{len(classes)} representations, but {len(given)} groups")
    if missing := sum(map(_is_missing, given)):
        raise ValueError(f"{missing} groups are missing (NaN, None): give these points a group")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(given))}
    found = np.array([numbers[group] for group in given])
    if len(np.unique(np.stack([classes, found]), axis=1).T) == len(np.unique(classes)):
        raise ValueError(
            "every class lies in one group, so that groups say nothing of its spread: leave out the groups"
        )
    return found


def _as_list(name: str, values: Any) -> list[Hashable]:
    """Python's own values, not elements of arrays, series or tensors: as keys, tensors all differ."""
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(
            f"{name} must be one-dimensional, not of shape {tuple(getattr(values, 'shape', ()))}"
        )
    return values.tolist() if hasattr(values, "tolist") else list(values)
