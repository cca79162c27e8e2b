"""The user's table of recordings: everything that its CSV must hold. `audio` checks the audio files."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from convexprune.data.corpus import SPLITS
from convexprune.jobs import csv_files
from convexprune.jobs.messages import named

COLUMNS = ("path", "word", "speaker", "split")  # those that mean something to us; all but path are optional
RESERVED = ("offset", "n_samples", "digest", "remarks")  # the corpus has columns of these names of its own
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}  # of files that are not quite CSV


@dataclass(frozen=True)
class UserTable:
    """A user's table as it was read.

    Attributes:
        rows: one row for each recording, strings: path and, if given, word, speaker and split, then all other
            columns, which may be labels too.
        problems: for each row, what is wrong with it; its audio is not checked.
        remarks: sentences on what was changed in reading.
    """

    rows: pd.DataFrame
    problems: list[list[str]]
    remarks: list[str]

    def list_bad(self) -> list[tuple[str, list[str]]]:
        """The rows that have problems, named by number and path, each with its problems."""
        numbered = enumerate(zip(self.rows["path"], self.problems, strict=True), start=1)
        return [(f"row {number} ({path})", problems) for number, (path, problems) in numbered if problems]

    def tell_bad(self) -> str:
        """How many rows have problems, and the first of them, on one line; empty if none has."""
        bad = self.list_bad()
        told = named(f"{row}: {'; '.join(problems)}" for row, problems in bad)
        return f"{len(bad)} bad rows: {told}" if bad else ""


def read_user_table(csv_path: str | os.PathLike[str], required: Sequence[str] = COLUMNS[:1]) -> UserTable:
    """The user's CSV: cells without spaces around them, labels in one spelling (`spell_alike`).

    Columns without a name, those of RESERVED, and several of one name are left out.

    Raises ValueError, with the CSV's name first, if it has no rows, lacks a `required` column, has a known or
    required column twice, or has splits in some rows only (drawn for the others, they might share its
    speakers).
    """
    header, rows = csv_files.read_rows(csv_path, skipinitialspace=True)
    header = [name.strip() for name in header]
    if missing := [name for name in required if name not in header]:
        raise ValueError(
            f"{csv_path} has no column {', '.join(missing)}; required: {', '.join(required)}; it has "
            f"{', '.join(header)}. The first line must name the columns, with commas between them"
            + "".join(f", not {name}" for mark, name in SEPARATORS.items() if mark in "".join(header))
        )
    if ours := [name for name in required if name in RESERVED]:
        raise ValueError(
            f"{csv_path}: the corpus has a column {ours[0]} of its own: rename yours to label by it"
        )
    if twice := [name for name in dict.fromkeys([*COLUMNS, *required]) if header.count(name) > 1]:
        raise ValueError(f"{csv_path} has more than one column {', '.join(twice)}; name each column once")
    taken = (*COLUMNS, *RESERVED)
    others = [name for name in header if name and name not in taken and header.count(name) == 1]
    known = [*(name for name in COLUMNS if name in header), *others]
    rows = [row for row in rows if row != [""]]
    if not rows:
        raise ValueError(f"{csv_path} has no rows")
    places = [header.index(name) for name in known]
    cells = [[row[place].strip() if place < len(row) else "" for place in places] for row in rows]
    table, remarks = pd.DataFrame(cells, columns=known, dtype=str), []
    for column in [name for name in known if name not in ("path", "split")]:
        table[column], changed = spell_alike(table[column])
        remarks += changed
    problems = find_problems(table, Path(csv_path).parent)
    even = all(len(row) == len(header) for row in rows)
    if even and "split" in table and (without := table.index[table["split"] == ""].tolist()):
        raise ValueError(
            f"{csv_path} has no split in {len(without)} of {len(rows)} rows, first in row {without[0] + 1} "
            f"({table['path'][without[0]]}): give every row train, validation or test, or take the column "
            "out to have splits drawn"
        )
    for row, of_row in zip(rows, problems, strict=True):
        if len(row) != len(header):  # nobody knows which field belongs where
            of_row[:] = [
                f"has {len(row)} fields where the header has {len(header)} (put text with a comma in quotes)"
            ]
    return UserTable(table, problems, remarks)


def spell_alike(names: pd.Series) -> tuple[pd.Series, list[str]]:
    """Labels in composed Unicode (NFC) with single spaces, and a sentence on the spellings that this merged.

    Such spellings look the same on the screen, so nobody means two classes by them.
    """
    spelt = {name: " ".join(unicodedata.normalize("NFC", name).split()) for name in names.unique()}
    counts = Counter(spelt.values())
    merged = [ascii(name) for name in sorted(spelt) if counts[spelt[name]] > 1]
    remark = f"{names.name}: spellings that look the same are taken as one: {named(merged)}"
    return names.map(spelt), [remark] if merged else []


def find_problems(table: pd.DataFrame, folder: Path) -> list[list[str]]:
    """What is wrong with each row of a user's table; the audio is not checked."""
    problems: list[list[str]] = [[] for _ in range(len(table))]
    repeated = table["path"].map(lambda path: os.path.abspath(os.path.join(folder, path))).duplicated()
    for row, twice, row_problems in zip(table.itertuples(), repeated, problems, strict=True):
        if "word" in table and not row.word:
            row_problems.append("no word")
        if "speaker" in table and not row.speaker:
            row_problems.append("no speaker")
        if "split" in table and row.split not in SPLITS:
            told = f"split '{row.split}' is none of {', '.join(SPLITS)}"
            row_problems.append(told if row.split else "no split")
        if twice and row.path:
            row_problems.append("the path stands in an earlier row too")
        if not is_text(row.path):
            row_problems.append("the path holds a line break or another control character")
    return problems


def is_text(name: str) -> bool:
    """Whether `name` fits in a line of text: no control characters, no bytes that could not be decoded."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)


def find_file(folder: Path, path: str) -> Path:
    """The file at `path`, relative to `folder`. Raises ValueError that says why it cannot be read."""
    if not path:
        raise ValueError("no path")
    file = folder / path
    try:
        mode = file.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ValueError("no such file") from error
    except OSError as error:  # the name is too long, or the folder may not be entered
        raise ValueError(f"cannot be looked at ({error.strerror})") from error
    if not stat.S_ISREG(mode):
        raise ValueError("is not a file")
    if not os.access(file, os.R_OK):
        raise ValueError("may not be read: allow it")
    return file
