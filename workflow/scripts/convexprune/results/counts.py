"""Counts of the corpus and its datasets, split by split, and how they differ from the paper's counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd

from convexprune.data import audio
from convexprune.data.corpus import SAMPLING_RATE, SPLITS, find_copies, find_short
from convexprune.results import markdown_tables

logger = logging.getLogger(__name__)

COLUMNS = ["dataset", "split", "quantity", "value", "paper", "difference", "remark"]
QUANTITIES = ("files", "classes", "speakers", "seconds", "shortest", "longest")
# Counts of Speech Commands v0.02 as the paper used it, by dataset, split and quantity. The paper prints all
# except 84,843. For 9,981 it prints 9,982: with a clip of background noise, which its words leave out.
PAPER = {
    ("corpus", "test", "files"): 4_890,
    ("words", "train", "files"): 84_843,
    ("words", "validation", "files"): 9_981,
    ("words", "test", "files"): 4_890,
    ("words", "all", "classes"): 35,
    ("speakers", "train", "files"): 39_126,
    ("speakers", "test", "files"): 4_348,
    ("speakers", "all", "files"): 43_474,
    ("speakers", "all", "classes"): 388,
    ("phones", "all", "files"): 33_317,
    ("phones", "all", "classes"): 35,
    ("phonemes", "all", "files"): 25_463,
    ("phonemes", "all", "classes"): 17,
}
TESTED = {("corpus", "test"), ("words", "test")}  # where PAPER counts the test archive
ALIGNED = "depends on the aligner: the paper's is MAUS"
REMARKS = {
    ("words", "test", "files"): "the paper counts the clips of _silence_, which are no words",
    ("speakers", "train", "files"): "validation is taken from the paper's training files",
    ("phones", "all", "files"): ALIGNED,
    ("phones", "all", "classes"): ALIGNED,
    ("phonemes", "all", "files"): ALIGNED,
    ("phonemes", "all", "classes"): ALIGNED,
}


def summarise(tables: dict[str, pd.DataFrame], *, compare: bool, test: str = "paper") -> pd.DataFrame:
    """A row per dataset, split (and `all`) and quantity, with the paper's count if `compare` is set.

    The paper's counts of its test split are left out if `test` is `standard`, another split.

    `tables` have a row per item, with `start`, `end`, `label`, `speaker` and `split`. Columns of the result:
    `dataset`, `split`, `quantity` (files; classes; speakers; and, in seconds, all files, the shortest and the
    longest one), `value`, `paper`, `difference` (`value` - `paper`) and `remark` (the reason for the
    difference, if known). Rows with a count of the paper come first.
    """
    rows = []
    counted = {key: count for key, count in PAPER.items() if test == "paper" or key[:2] not in TESTED}
    for dataset, table in tables.items():
        for split in (*SPLITS, "all"):
            items = table if split == "all" else table[table["split"] == split]
            if items.empty:
                continue
            for quantity, value in zip(QUANTITIES, measure(items), strict=True):
                key = (dataset, split, quantity)
                paper = counted.get(key) if compare else None
                difference = None if paper is None else value - paper
                rows.append((*key, value, paper, difference, REMARKS.get(key, "") if difference else ""))
    rows.sort(key=lambda row: row[COLUMNS.index("paper")] is None)
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)  # so that counts stay whole numbers


def count_remarks(recordings: pd.DataFrame) -> pd.DataFrame:
    """How many recordings of a corpus table are odd, in rows like those of `summarise`.

    A quantity is a kind of `audio.REMARKS`; kinds that no recording has are left out.
    """
    kinds = recordings["remarks"].str.split()
    rows = []
    for kind in audio.REMARKS:
        odd = recordings["split"][[kind in found for found in kinds]]
        counts = {split: int((odd == split).sum()) for split in SPLITS} | {"all": len(odd)}
        rows += [("corpus", split, kind, n, None, None, "") for split, n in counts.items() if n]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def lengths(items: pd.DataFrame) -> pd.Series:
    """The length of each of some items, in seconds."""
    return (items["end"] - items["start"]) / SAMPLING_RATE


def measure(items: pd.DataFrame) -> tuple[int, int, int, float, float, float]:
    """The QUANTITIES of some items."""
    seconds = lengths(items)
    classes, speakers = (items[column].replace("", None).nunique() for column in ("label", "speaker"))
    return len(items), classes, speakers, seconds.sum(), seconds.min(), seconds.max()


def describe_recordings(tables: dict[str, pd.DataFrame], digests: pd.Series, seconds: float) -> list[str]:
    """Sentences on recordings that are short, left out, copies, or badly spread over the splits.

    `tables` are those of `summarise`, with `corpus` among them; `digests` of the samples are by item; models
    are given clips of so many `seconds`.
    """
    told = find_short(lengths(tables["corpus"]), seconds)
    for sentence in told:
        logger.warning("%s", sentence)
    others = [name for name in tables if name not in ("corpus", "words", "speakers", "phonemes", "phones")]
    for name in ("words", *others):
        if name in tables and (without := len(tables["corpus"]) - len(tables[name])):
            why = "a word (`_silence_`)" if name == "words" else "a label"
            told.append(f"{name}: {without:,} recordings without {why} are left out")
    for name in ("words", *others):
        if name in tables:
            told += [f"{name}: {absent}" for absent in find_absent_classes(tables[name])]
    for name in ("corpus", "speakers", *others):  # words are split as the corpus is, speakers anew
        if name in tables:
            items = tables[name].assign(digest=tables[name]["item"].map(digests))
            told += [f"{name}: {copies}" for copies in find_copies(items)]
    told += find_shared_speakers(tables["corpus"])
    return told or ["no two recordings have the same samples"]


def find_absent_classes(items: pd.DataFrame) -> list[str]:
    """A sentence on classes that are not in every split, so that a score or an accuracy leaves them out."""
    splits = items.groupby("label", sort=False)["split"].unique()
    absent = splits[splits.map(len) < len(SPLITS)]
    if absent.empty:
        return []
    return [
        f"{len(absent)} of {len(splits)} classes are not in every split, such as {absent.index[0]} "
        f"({', '.join(absent.iloc[0])})"
    ]


def find_shared_speakers(recordings: pd.DataFrame) -> list[str]:
    """A sentence on speakers who are in several splits, so that accuracies are not those of unseen voices."""
    known = recordings[recordings["speaker"] != ""]
    splits = known.groupby("speaker")["split"].unique()
    shared = splits[splits.map(len) > 1]
    if shared.empty:
        return []
    return [
        f"{len(shared)} of {len(splits)} speakers are in several splits, such as {shared.index[0]} "
        f"({', '.join(shared.iloc[0])}): accuracies are not those of unseen voices"
    ]


def markdown(summary: pd.DataFrame, recordings: list[str], test: str = "paper") -> str:
    """The summary as Markdown: all splits, the `recordings`, odd ones, and differences from the paper.

    `test` is that of `summarise`.
    """
    splits: dict[tuple[str, str], dict[str, float]] = {}
    for row in summary.itertuples():
        splits.setdefault((row.dataset, row.split), {})[row.quantity] = row.value
    datasets, order = list(dict.fromkeys(summary["dataset"])), (*SPLITS, "all")
    rows = [
        [dataset, split, *(show(splits[dataset, split][quantity]) for quantity in QUANTITIES)]
        for dataset in datasets
        for split in order
        if (dataset, split) in splits
    ]
    lines = [
        "# The data",
        "",
        markdown_tables.render(["dataset", "split", *QUANTITIES], rows, "ll"),
        "",
        "Lengths are in seconds.",
        "",
        *(f"- {sentence}" for sentence in recordings),
        *odd_recordings(splits),
    ]
    compared = summary[summary["paper"].notna()]
    if len(compared):
        differs = compared[compared["difference"] != 0]
        lines += ["", "## Against the paper", ""]
        lines += [f"{len(compared) - len(differs)} of {len(compared)} counts are those of the paper's data."]
        if test == "standard":
            lines += ["The test split is the standard one, not the paper's, so it is not compared."]
        if len(differs):
            rows = [[show(value) for value in row] for row in differs.to_numpy().tolist()]
            lines += ["These differ:", "", markdown_tables.render(COLUMNS, rows, "lllrrrl")]
    return "\n".join(lines) + "\n"


def odd_recordings(splits: Mapping[tuple[str, str], Mapping[str, float]]) -> list[str]:
    """Lines on recordings that are odd but are used all the same; none if no recording is odd."""
    order = (*SPLITS, "all")
    rows = [
        [kind, *(show(splits.get(("corpus", split), {}).get(kind, 0)) for split in order), meaning]
        for kind, meaning in audio.REMARKS.items()
        if kind in splits.get(("corpus", "all"), {})
    ]
    if not rows:
        return []
    table = markdown_tables.render(["recordings", *order, "that is"], rows, "lrrrrl")
    where = "They are used all the same. Column `remarks` of `corpus/corpus.csv` says which they are."
    return ["", "## Odd recordings", "", where, "", table]


def show(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
