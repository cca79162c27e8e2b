"""Comparison of two alignments of the same recordings: how far apart they put the same boundaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from convexprune.data.corpus import SAMPLING_RATE
from convexprune.jobs import csv_files

BOUNDARIES = ("start of word", "inside", "end of word")


@dataclass(frozen=True)
class Comparison:
    """`boundaries` has one row each for start of word, inside, end of word and all. Its columns are count,
    median and p90 of the absolute differences (ms), and the shares within 20 and 50 ms.
    """

    boundaries: pd.DataFrame
    n_items: int  # in both alignments
    n_only_first: int
    n_only_second: int
    n_phones: tuple[int, int]  # in the items of both alignments
    n_matched: int  # phones that have a counterpart
    n_same_label: int  # matched phones with the same label
    renamed: list[tuple[str, str, int]]  # both labels of the other matched phones, count; most frequent first


def match_phones(first: list[str], second: list[str]) -> list[tuple[int, int]]:
    """Pairs (i, j) of phones that correspond in two transcriptions of a word, in order.

    Equal labels correspond. Between them, runs of different labels correspond if they have the same length:
    they are the two aligners' names for the same sounds. All other phones have no counterpart.
    """
    pairs: list[tuple[int, int]] = []
    for _, start, end, other_start, other_end in SequenceMatcher(
        None, first, second, autojunk=False
    ).get_opcodes():
        if end - start == other_end - other_start:
            pairs += zip(range(start, end), range(other_start, other_end), strict=True)
    return pairs


def match_boundaries(
    first: pd.DataFrame, second: pd.DataFrame, pairs: list[tuple[int, int]]
) -> Iterator[tuple[str, int]]:
    """(kind, second minus first in samples) for each boundary that two alignments of a word share."""
    matched = set(pairs)
    last = (len(first) - 1, len(second) - 1)
    starts, other_starts = first["start"].to_numpy(), second["start"].to_numpy()
    if (0, 0) in matched:
        yield "start of word", other_starts[0] - starts[0]
    for (i, j), (next_i, next_j) in pairwise(pairs):
        if (next_i, next_j) == (i + 1, j + 1):
            yield "inside", other_starts[next_j] - starts[next_i]
    if last in matched:
        yield "end of word", second["end"].iloc[-1] - first["end"].iloc[-1]


def compare_alignments(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """Compare two tables of phones (item, start, end, label, in samples, in order of time).

    Raises ValueError if they have no recording in common.
    """
    words, other_words = (dict(list(table.groupby("item", sort=False))) for table in (first, second))
    common = [item for item in words if item in other_words]
    if not common:
        raise ValueError("the two alignments have no recording in common")
    differences: dict[str, list[int]] = {kind: [] for kind in BOUNDARIES}
    labelled: Counter[tuple[str, str]] = Counter()
    for item in common:
        word, other = words[item], other_words[item]
        labels, other_labels = word["label"].tolist(), other["label"].tolist()
        pairs = match_phones(labels, other_labels)
        labelled.update((labels[i], other_labels[j]) for i, j in pairs)
        for kind, difference in match_boundaries(word, other, pairs):
            differences[kind].append(difference)
    renamed = [(*pair, count) for pair, count in labelled.most_common() if pair[0] != pair[1]]
    differences["all"] = [difference for kind in BOUNDARIES for difference in differences[kind]]
    return Comparison(
        boundaries=pd.DataFrame({kind: summarise(found) for kind, found in differences.items()}).T,
        n_items=len(common),
        n_only_first=len(words) - len(common),
        n_only_second=len(other_words) - len(common),
        n_phones=(
            sum(len(words[item]) for item in common),
            sum(len(other_words[item]) for item in common),
        ),
        n_matched=labelled.total(),
        n_same_label=labelled.total() - sum(count for *_, count in renamed),
        renamed=renamed,
    )


def summarise(differences: list[int]) -> dict[str, float]:
    """Count, median and 90th percentile (ms) of the absolute differences; shares within 20 and 50 ms."""
    distance = np.abs(np.array(differences, float)) / SAMPLING_RATE * 1000
    if not len(distance):
        return {"count": 0, "median": np.nan, "p90": np.nan, "within_20": np.nan, "within_50": np.nan}
    return {
        "count": len(distance),
        "median": np.median(distance),
        "p90": np.percentile(distance, 90),
        "within_20": (distance <= 20).mean(),
        "within_50": (distance <= 50).mean(),
    }


def read_phones(path: Path) -> pd.DataFrame:
    """Item, start, end and label of aligned phones. ValueError says what is missing or not a number."""
    table = csv_files.read(path)
    if missing := [name for name in ("item", "start", "end", "label") if name not in table]:
        raise ValueError(f"{path} has no column {', '.join(missing)}: it is no file of phones")
    try:
        return table.astype({"start": int, "end": int})
    except ValueError as error:
        raise ValueError(f"{path}: start and end must be positions in samples ({error})") from error


def as_text(result: Comparison) -> str:
    """What the command `compare-alignments` prints."""
    first, second = result.n_phones
    lines = [
        f"{result.n_items} recordings in both, {result.n_only_first} only in the first, "
        f"{result.n_only_second} only in the second",
        f"{first} phones in the first, {second} in the second; {result.n_matched} matched, "
        f"{result.n_same_label} of them with the same label",
        *renamed_as_text(result.renamed),
        "",
        f"{'boundary':14} {'count':>7} {'median':>9} {'90th perc.':>11} {'<= 20 ms':>9} {'<= 50 ms':>9}",
    ]
    lines += [
        f"{kind:14} {row['count']:7.0f} {row['median']:6.1f} ms {row['p90']:8.1f} ms "
        f"{100 * row['within_20']:7.1f} % {100 * row['within_50']:7.1f} %"
        for kind, row in result.boundaries.iterrows()
    ]
    return "\n".join(lines)


def renamed_as_text(renamed: list[tuple[str, str, int]]) -> list[str]:
    """The phones to which the two alignments give different names, the most frequent first."""
    most = [f"{first} is {second} ({count})" for first, second, count in renamed[:10]]
    more = [f"{len(renamed) - 10} more pairs"] if len(renamed) > 10 else []
    return [f"other labels: {', '.join(most + more)}"] if renamed else []
