"""Problems of a user's table that show without its audio."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexprune.setup.experiment import drawing_settings, labels_of
from convexprune.setup.schema import show_value, word_problem

if TYPE_CHECKING:
    import pandas as pd


def why_unread(path: str) -> str | None:
    """Why the file at `path` cannot be read; None if it can."""
    from convexprune.data import recordings

    try:
        recordings.find_file(Path(), path)
    except ValueError as error:
        return f"{error} (seen from {os.getcwd()})"
    return None


def table_problems(config: Mapping[str, Any], csv: Path) -> Iterator[str]:
    """Problems of the table `csv`: of its form, then of its classes, then of the splits that they are in."""
    from convexprune.data import recordings

    def problem(text: str) -> str:
        return word_problem(["corpus", "table", "csv"], str(csv), text)

    if reason := why_unread(str(csv)):
        yield problem(reason)
        return
    datasets, labels, split_by = config["datasets"], labels_of(config), config["corpus"]["table"]["split_by"]
    others = {"phonemes": "word", "speakers": "speaker"}
    required = ["path", *labels.values(), *(label for name, label in others.items() if name in datasets)]
    try:
        listed = recordings.read_user_table(csv, list(dict.fromkeys(required)))
    except (OSError, ValueError) as error:
        yield problem(" ".join(str(error).removeprefix(f"{csv} ").split()))
        return
    if bad := listed.tell_bad():
        yield problem(bad)
        return
    table, given = listed.rows, "split" in listed.rows
    found = []  # what makes splits useless, or keeps the run from drawing them
    served = {}
    for name, label in labels.items():
        if len(classes := sorted(set(table[label]) - {""})) > 1:
            served[name] = label
            continue
        told = f"its table has the classes {show_value(classes)} of {label}; required: two or more"
        found.append(problem(told + of_dataset(name)))
    if split_by and not given:
        found += group_problems(table, split_by, served)
    yield from found
    if "speakers" in datasets:
        # If the splits are still to be drawn, the training split holds at most all rows.
        train = table[table["split"] == "train"] if given else table
        yield from speaker_problems(train, datasets["speakers"]["min_files"], csv)
    if found:
        return
    if not given:
        table = table.assign(split=draw_splits(table, config))
    for name, label in labels.items():
        known = table[table[label] != ""]
        if told := find_class_problem(known[label], known["split"], given=given):
            yield problem(told + of_dataset(name))
        else:
            yield from convexity_problems(known[label], known["split"], name, config)


def of_dataset(name: str) -> str:
    return "" if name == "words" else f" (datasets.{name})"


def draw_splits(table: pd.DataFrame, config: Mapping[str, Any]) -> list[str]:
    """The splits of a table that has none, as the run will draw them."""
    from convexprune.data.splits import Drawing, draw

    return draw(table, Drawing(**drawing_settings(config)))


def speaker_problems(train: pd.DataFrame, least: int, csv: Path) -> Iterator[str]:
    """Why the dataset of speakers cannot be built of the training recordings."""
    enough = (train["speaker"].value_counts() > least).sum()
    if enough < 2:
        told = f"{enough} speakers of {csv} have more training recordings than that; required: two or more"
        yield word_problem(["datasets", "speakers", "min_files"], least, told)


def find_class_problem(classes: pd.Series, splits: pd.Series, *, given: bool) -> str:
    """Why the `classes` of recordings cannot be learned in their `splits`; empty if they can.

    Train must have the classes of each split. Splits that are `given` must have two classes or more each;
    drawn ones only must not be empty.
    """
    least, place = ("two", "split") if given else ("one", "drawn split")
    known = set(classes[splits == "train"])
    for split in ("train", "validation", "test"):
        found = set(classes[splits == split])
        told = f"its {place} {split} has the classes"
        if len(found) < (2 if given else 1):
            return f"{told} {show_value(sorted(found))} of {classes.name}; required: {least} or more"
        if missing := sorted(found - known):
            end = "" if given else ": give more recordings of them, or leave their cells blank"
            return f"{told} {show_value(missing)} of {classes.name}, which split train lacks{end}"
    return ""


def convexity_problems(
    classes: pd.Series, splits: pd.Series, name: str, config: Mapping[str, Any]
) -> Iterator[str]:
    """Why the convexity of the dataset `name` cannot be measured."""
    split, neighbors = config["datasets"][name]["convexity_split"], config["convexity"]["n_neighbors"]
    scored = classes[splits == split]
    if scored.value_counts().max() < 2:
        told = f"every class of {classes.name} has fewer than 2 recordings in the split {split}"
        yield word_problem(["datasets", name, "convexity_split"], split, told)
    elif len(scored) <= neighbors:
        told = f"must be below {len(scored)}, the recordings of datasets.{name} in split {split}"
        yield word_problem(["convexity", "n_neighbors"], neighbors, told)


def group_problems(table: pd.DataFrame, split_by: str, labels: Mapping[str, str]) -> Iterator[str]:
    """Why splits that share no value of the column `split_by` cannot serve the datasets' `labels`."""
    path = ["corpus", "table", "split_by"]
    if split_by not in table:
        yield word_problem(path, split_by, f"the table has no such column; it has {', '.join(table)}")
    elif unknown := int((table[split_by] == "").sum()):
        yield word_problem(path, split_by, f"{unknown} of {len(table)} rows have no {split_by}")
    elif (groups := table[split_by].nunique()) < 3:
        told = f"there are {groups} of them; train, validation and test need one each"
        yield word_problem(path, split_by, told)
        return
    for name, label in labels.items():
        if label == split_by:
            told = (
                "split_by keeps each of its values in one split; the dataset speakers has splits of its own"
            )
            yield word_problem(["datasets", name, "label"], label, told)
        elif split_by in table:
            spread = table[table[label] != ""].groupby(label)[split_by].nunique()
            if (spread >= 3).sum() < 2:
                told = f"two classes or more must have three values of {split_by} each, one for every split"
                yield word_problem(["datasets", name, "label"], label, told)
