"""Splits into train, validation and test, drawn by a seed: of recordings, or of speakers and other groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convexprune.data.corpus import SPLITS


@dataclass(frozen=True)
class Drawing:
    """How splits are drawn.

    Attributes:
        labels: the columns whose classes are spread over the splits in proportion, as far as possible.
        group: the column of which no value is in two splits, such as speaker; None to draw recordings.
    """

    labels: Sequence[str]
    group: str | None
    validation_share: float
    test_share: float
    seed: int


def draw(table: pd.DataFrame, drawing: Drawing) -> list[str]:
    """Draw a split for each recording of a user's table. Raises ValueError if it cannot be drawn so."""
    shares = {"validation_share": drawing.validation_share, "test_share": drawing.test_share}
    labels = table[list(drawing.labels)]
    if drawing.group is None:
        return draw_splits(labels, seed=drawing.seed, **shares)
    groups = table[drawing.group]
    if unknown := int((groups == "").sum()):
        raise ValueError(f"split_by: {unknown} of {len(table)} rows have no {drawing.group}")
    try:
        return draw_by_group(labels, groups, seed=drawing.seed, **shares)
    except ValueError as error:
        raise ValueError(f"split_by: {error}") from error


def draw_splits(labels: pd.DataFrame, validation_share: float, test_share: float, seed: int) -> list[str]:
    """Draw a split for each recording, so that every class is spread over the splits in proportion.

    The recordings are sorted by their `labels`, the first column first, in random order where all are the
    same. One in every `1 / test_share` goes to the test split; the same is done for validation with the rest.
    So the shares hold overall and, give or take one recording, for each class of the first label, however
    rare. A speaker may be in several splits.
    """
    rng = np.random.default_rng(seed)
    line = pd.DataFrame(labels.to_numpy()).assign(draw=rng.random(len(labels)))
    line = line.sort_values(list(line)).index.to_numpy()
    splits = np.full(len(labels), "train", dtype=object)
    for split, share in (("test", test_share), ("validation", validation_share / (1 - test_share))):
        steps = np.floor(np.arange(len(line) + 1) * share + rng.random())
        taken = np.diff(steps) > 0
        splits[line[taken]] = split
        line = line[~taken]
    return splits.tolist()


def draw_by_group(
    labels: pd.DataFrame, groups: pd.Series, validation_share: float, test_share: float, seed: int
) -> list[str]:
    """Draw a split for each group, and so for each recording. If the groups are speakers, validation and test
    hold unseen voices.

    The shares are of the recordings of each class of each of the `labels`, as near as whole groups allow.
    Every class is in train. It is in every split if three groups or more have it, unless rarer classes needed
    them elsewhere. The same `seed` gives the same splits. Raises ValueError if there are fewer than three
    groups.

    This is iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label
    Data", 2011, algorithm 1) of groups, weighted by their recordings: of the class that the fewest remaining
    groups have, the group with most of it goes to the split that lacks it most. What is added: a
    split that would be left without a class comes first.
    """
    counted = (pd.crosstab(groups.to_numpy(), labels[name].to_numpy()) for name in labels)
    # A recording without a label is of no class.
    tables = [classes.drop(columns="", errors="ignore") for classes in counted]
    table = pd.concat(tables, axis=1, keys=list(labels))
    if len(table) < len(SPLITS):
        raise ValueError(f"there are {len(table)} {groups.name}s; train, validation and test need one each")
    names = table.index[np.random.default_rng(seed).permutation(len(table))]
    counts = table.loc[names].to_numpy()
    # By group and class; the last class stands for all recordings.
    counts = np.column_stack([counts, groups.value_counts()[names]])
    shares = np.array([1 - validation_share - test_share, validation_share, test_share])
    lacking = shares[:, None] * counts.sum(axis=0)  # recordings, by split and class
    absent = np.ones(lacking.shape, dtype=bool)  # classes that a split has not at all
    remaining = np.ones(len(counts), dtype=bool)
    splits = {}
    while remaining.any():
        left = (counts[remaining] > 0).sum(axis=0)  # groups
        # The rarest class; among equals the last, which counts all recordings.
        rarest = len(left) - 1 - np.argmin(np.where(left, left, len(counts) + 1)[::-1])
        group = np.argmax(np.where(remaining, counts[:, rarest], -1))
        has = counts[group] > 0
        last_for_train = [(has & (left == 1) & absent[0]).any(), False, False]
        scarce = (has & absent & (left <= absent.sum(axis=0))).sum(axis=1)
        split = np.lexsort((lacking[:, -1], lacking[:, rarest], scarce, last_for_train))[-1]
        splits[names[group]] = SPLITS[split]
        lacking[split] -= counts[group]
        absent[split] &= ~has
        remaining[group] = False
    return [splits[group] for group in groups]
