"""The columns of a user's table that can be labels, and the datasets that they become."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd

from convexprune.setup.schema import validator

MIN_LABEL_FILES = 5  # fewer cannot be spread over train, validation and test
UNLABELLED = {"path", "speaker", "split"}
OWN = {"words", "speakers", "phonemes"}  # datasets of these names have settings of their own


def find_labels(table: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """The datasets that the columns of a user's `table` give, each with its column; why others give none.

    A label has at least two classes, on average MIN_LABEL_FILES recordings of each, and is blank in at most
    half of the rows.
    """
    labels: dict[str, str] = {}
    reasons = []
    for column in [name for name in table if name not in UNLABELLED]:
        same = [other for other in labels.values() if are_same(table[column], table[other])]
        if reason := why_no_label(table[column]) or (f"the same classes as {same[0]}" if same else ""):
            reasons.append(f"column {column}: {reason}: no label")
        else:
            labels[name_dataset(column, [*labels])] = column
    return labels, reasons


def why_no_label(values: pd.Series) -> str:
    """Why the values of a column are no classes; empty if they are."""
    given = values[values != ""]
    if 2 * len(given) < len(values):
        return f"blank in {len(values) - len(given)} of {len(values)} rows"
    if given.nunique() < 2:
        return f"one value in {len(given)} rows"
    if len(given) < MIN_LABEL_FILES * given.nunique():
        return f"{given.nunique()} different values in {len(given)} rows"
    return ""


def are_same(values: pd.Series, others: pd.Series) -> bool:
    """Whether two columns cut the recordings into the same classes, as names and their numbers do."""
    pairs = len(set(zip(values, others, strict=True)))
    return pairs == values.nunique() == others.nunique()


def name_dataset(column: str, taken: list[str]) -> str:
    """The name of the dataset of a `column`: `words` of word, else its own, made to fit the schema."""
    if column == "word":
        return "words"
    plain = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:50] or "label"
    if not re.match(dataset_pattern(), name):
        name = f"label-{name}"
    unlike = {other.casefold() for other in taken} | OWN
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one.casefold() not in unlike)


def dataset_pattern() -> str:
    """The schema's pattern of the names of datasets."""
    return str(validator().schema["$defs"]["dataset_name"]["pattern"])


def refuse_unlabelled(source: str, table: pd.DataFrame, reasons: list[str]) -> None:
    """Raise ValueError that says which columns the table `source` has, and why none is a label."""
    told = "; ".join(reason.removesuffix(": no label") for reason in reasons)
    raise ValueError(
        f"{source} has the columns {', '.join(table)}, and none is a label"
        + (f" ({told})" if told else "")
        + f": a label has 2 classes or more, and on average {MIN_LABEL_FILES} recordings of each"
    )
