"""CSV tables: written whole, and read with every name unchanged."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from convexprune.jobs.files import atomic

if TYPE_CHECKING:
    import pandas as pd


def write(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a pandas table without its index, atomically. Floats keep all their digits."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


# Columns of our tables with text. All others hold numbers, or True and False.
TEXT = {"model", "task", "state", "dataset", "split", "item", "path", "word", "label", "speaker", "predicted"}
TEXT |= {"reason", "rule", "choice", "relation", "quantity", "remark", "remarks", "kind", "cost"}
TEXT |= {"average", "criterion", "group", "measure", "needs"}
TEXT |= {
    "device",
    "machine",
    "precision",
    "cached_features",
    "step_precision",
    "step_cached_features",
    "digest",
}
TRUTH = {"True": True, "False": False}


def read(path: str | os.PathLike[str], numbers: Collection[str] | None = None) -> pd.DataFrame:
    """A table that `write` wrote. `numbers` are its columns of numbers, by default all that are not in TEXT.

    Text is unchanged: the model 2024, the word "null", the speaker 007. An empty field is a missing number or
    an empty text. Raises ValueError that names the file if it is damaged, or has text in a column of numbers.
    """
    import pandas as pd

    columns, rows = read_rows(path)
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"{path} is damaged: rows differ in their number of fields; delete it and run again")
    table = pd.DataFrame(rows, columns=columns, dtype=str)
    for name in columns:
        if name in TEXT if numbers is None else name not in numbers:
            continue
        given = table[name].astype(object).where(table[name] != "")
        try:
            is_truth = given.notna().any() and given.dropna().isin(TRUTH).all()
            table[name] = given.map(TRUTH) if is_truth else pd.to_numeric(given)
        except ValueError as error:
            raise ValueError(f"{path}: its column {name} holds text, not numbers ({error})") from error
    return table.infer_objects()


def read_rows(path: str | os.PathLike[str], **form: Any) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a CSV as strings, without blank lines. `form` goes to `csv.reader`.

    Nothing is guessed or cut: a row has exactly the fields of its line. Raises ValueError that names the file
    if it is empty, not in UTF-8, or has quotes that do not come in pairs.
    """
    rows, lines = [], 0
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, **form)
        try:
            for row in reader:
                rows.append(row)
                lines = reader.line_num
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a CSV file in UTF-8 ({error})") from error
        except csv.Error as error:
            place = f"the row in line {lines + 1}: {error}; is a quote not closed?"
            raise ValueError(f"{path} is not a CSV file ({place})") from error
    columns, *rows = [row for row in rows if row] or [[]]
    if not columns:
        raise ValueError(f"{path} is not a CSV file (it is empty)")
    return columns, rows
