"""What the corpus and its datasets hold, split by split, and how that differs from the paper's counts."""

from __future__ import annotations

import pandas as pd

from convexprune import markdown_tables
from convexprune.corpus import SAMPLING_RATE, SPLITS

COLUMNS = ["dataset", "split", "quantity", "value", "paper", "difference", "remark"]
QUANTITIES = ("files", "classes", "speakers", "seconds", "shortest", "longest")
# Counts of Speech Commands v0.02 as the paper used it, by dataset, split and quantity. The paper prints all
# but 84,843, and 9,982 for 9,981: with a clip of background noise, which its words leave out.
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
ALIGNED = "depends on the aligner: the paper's is MAUS"
REMARKS = {
    ("words", "test", "files"): "the paper counts the clips of _silence_, which are no words",
    ("speakers", "train", "files"): "validation is taken from the paper's training files",
    ("phones", "all", "files"): ALIGNED,
    ("phones", "all", "classes"): ALIGNED,
    ("phonemes", "all", "files"): ALIGNED,
    ("phonemes", "all", "classes"): ALIGNED,
}


def summarise(tables: dict[str, pd.DataFrame], *, compare: bool) -> pd.DataFrame:
    """A row a dataset, split (and `all`) and quantity, with the paper's count where `compare` asks for it.

    `tables` have a row an item, with `start`, `end`, `label`, `speaker` and `split`. Columns of the result:
    `dataset`, `split`, `quantity` (files; classes; speakers; and, in seconds, all files, the shortest and the
    longest one), `value`, `paper`, `difference` (`value` - `paper`) and `remark` (why there is one, if
    that is known). Rows with a count of the paper come first.
    """
    rows = []
    for dataset, table in tables.items():
        for split in (*SPLITS, "all"):
            items = table if split == "all" else table[table["split"] == split]
            if items.empty:
                continue
            for quantity, value in zip(QUANTITIES, measure(items), strict=True):
                key = (dataset, split, quantity)
                paper = PAPER.get(key) if compare else None
                difference = None if paper is None else value - paper
                rows.append((*key, value, paper, difference, REMARKS.get(key, "") if difference else ""))
    rows.sort(key=lambda row: row[COLUMNS.index("paper")] is None)
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)  # so that counts stay whole numbers


def measure(items: pd.DataFrame) -> tuple[int, int, int, float, float, float]:
    """The QUANTITIES of some items."""
    seconds = (items["end"] - items["start"]) / SAMPLING_RATE
    speakers = items["speaker"].replace("", None).nunique()
    return len(items), items["label"].nunique(), speakers, seconds.sum(), seconds.min(), seconds.max()


def markdown(summary: pd.DataFrame) -> str:
    """The summary to read: a table of all splits, and one of what differs from the paper."""
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
    ]
    compared = summary[summary["paper"].notna()]
    if len(compared):
        differs = compared[compared["difference"] != 0]
        lines += ["", "## Against the paper", ""]
        lines += [f"{len(compared) - len(differs)} of {len(compared)} counts are those of the paper's data."]
        if len(differs):
            rows = [[show(value) for value in row] for row in differs.to_numpy().tolist()]
            lines += ["These differ:", "", markdown_tables.render(COLUMNS, rows, "lllrrrl")]
    return "\n".join(lines) + "\n"


def show(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
