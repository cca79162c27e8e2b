"""The user's table of recordings: what its CSV must hold, its audio apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from convexprune.corpus import SPLITS, read_csv

COLUMNS = ("path", "word", "speaker", "split")  # the last two are optional


def read_user_table(csv_path: Path, required: Sequence[str] = COLUMNS[:2]) -> pd.DataFrame:
    """The user's CSV as stripped strings: path, word and, where they are there, speaker and split.

    Raises ValueError, with the CSV's name first, where it has no rows or not the `required` columns.
    """
    try:
        table = read_csv(csv_path, skipinitialspace=True, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{csv_path} is not a CSV file in UTF-8 ({error})") from error
    table.columns = table.columns.str.strip()
    if missing := [name for name in required if name not in table]:
        raise ValueError(
            f"{csv_path} has no column {', '.join(missing)}; required: {', '.join(required)}; it has "
            f"{', '.join(table.columns)}. The first line must name the columns, with commas between them"
        )
    if table.empty:
        raise ValueError(f"{csv_path} has no rows")
    return table[[name for name in COLUMNS if name in table]].apply(lambda column: column.str.strip())


def find_problems(table: pd.DataFrame, folder: Path) -> list[list[str]]:
    """What is wrong with each row of a user's table, its audio apart."""
    problems: list[list[str]] = [[] for _ in range(len(table))]
    repeated = table["path"].map(lambda path: os.path.abspath(os.path.join(folder, path))).duplicated()
    for row, twice, row_problems in zip(table.itertuples(), repeated, problems, strict=True):
        if not row.word:
            row_problems.append("no word")
        if "speaker" in table and not row.speaker:
            row_problems.append("no speaker")
        if "split" in table and row.split not in SPLITS:
            row_problems.append(f"split '{row.split}' is none of {', '.join(SPLITS)}")
        if twice and row.path:
            row_problems.append("the path stands in an earlier row too")
    return problems


def find_file(folder: Path, path: str) -> Path:
    """The file at `path`, taken relative to `folder`."""
    if not path:
        raise ValueError("no path")
    if not (folder / path).is_file():
        raise ValueError("no such file")
    return folder / path
