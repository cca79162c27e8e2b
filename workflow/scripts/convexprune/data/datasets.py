"""The datasets: spans of the corpus, each with the label whose convexity is measured.

A dataset is a table `item, start, end, label, speaker, split`: `item` is the recording's path in the corpus,
`start` and `end` are positions in the corpus' `samples`.
"""

from __future__ import annotations

import logging

import pandas as pd

from convexprune.data.corpus import COLUMNS, ITEM_COLUMNS, SPLITS, count_samples
from convexprune.jobs.messages import named

logger = logging.getLogger(__name__)


def make_items(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """The dataset of all recordings of a corpus table, in full length, labelled by its column `label`."""
    items = table.assign(
        item=table["path"],
        start=table["offset"],
        end=table["offset"] + table["n_samples"],
        label=table[label],
    )
    return items[ITEM_COLUMNS].reset_index(drop=True)


def build_labelled(name: str, table: pd.DataFrame, label: str) -> pd.DataFrame:
    """The dataset `name`: every recording that has a `label` (a column), labelled with it, in its split.

    Raises ValueError as `checked` does, and for a column that is not there.
    """
    if label not in table:
        there = ", ".join(sorted(set(table.columns) - set(COLUMNS[3:])))
        raise ValueError(f"{name}: the corpus has no column {label}; it has {there}")
    labelled = table[label] != ""
    if without := int((~labelled).sum()):
        logger.info("%s: %d recordings without a %s are left out", name, without, label)
    remedy = f"the corpus needs more classes of {label}, or recordings of them in each split"
    return checked(name, make_items(table[labelled], label), remedy)


def build_speakers(
    table: pd.DataFrame, *, min_files: int, test_share: float, validation_share: float, seed: int
) -> pd.DataFrame:
    """The training recordings of every speaker who has more than `min_files` of them, labelled by speaker.

    They get new splits, stratified by speaker: `test_share` of them for test (10 % in the paper), then
    `validation_share` of the rest for validation. The same `seed` gives the same splits.
    """
    from sklearn.model_selection import train_test_split

    if not table["speaker"].any():
        raise ValueError(
            "speakers: the corpus names no speakers; add the column speaker to its table, or take speakers "
            "out of the config's datasets and tasks"
        )
    train = table[table["split"] == "train"]
    files = train.groupby("speaker")["path"].transform("size")
    speakers = make_items(train[(files > min_files) & (train["speaker"] != "")], "speaker")
    remedy = "lower min_files, or change test_share or validation_share"
    if speakers.empty:
        raise ValueError(f"speakers: nobody has more than min_files = {min_files} training recordings")
    rest = speakers
    for split, share in (("test", test_share), ("validation", validation_share)):
        try:
            rest, drawn = train_test_split(rest, test_size=share, stratify=rest["label"], random_state=seed)
        except ValueError as error:
            raise ValueError(f"speakers: no {split} split can be drawn ({error}); {remedy}") from error
        speakers.loc[drawn.index, "split"] = split
    return checked("speakers", speakers, remedy)


def build_phonemes(
    phones: pd.DataFrame,
    failures: pd.DataFrame,
    recordings: pd.DataFrame,
    *,
    min_count: int,
    max_failed_share: float,
    context: str,
    seconds: float = 1,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """The aligned phones whose label occurs more than `min_count` times, in the order of the corpus.

    `failures` are the recordings that could not be aligned; `recordings` is the corpus' table. Also returns a
    table of all labels (label, count, kept; the most frequent first) and a refusal. The refusal is empty or a
    sentence that says why phonemes can have no results; then no phones are returned. The workflow still makes
    all other results; at the end `accept_phonemes` raises the refusal as an error.

    In the context word, a model is given the first `seconds` of a recording.
    """
    labels = phones["label"].value_counts().rename_axis("label").reset_index()
    labels["kept"] = labels["count"] > min_count
    labels = labels.sort_values(["count", "label"], ascending=[False, True], ignore_index=True)
    kept = phones[phones["label"].isin(labels["label"][labels["kept"]])].reset_index(drop=True)
    total = phones["item"].nunique() + len(failures)
    late = kept["start"] - kept["item"].map(recordings.set_index("path")["offset"]) >= count_samples(seconds)
    refusal = ""
    if len(failures) > max_failed_share * total:
        refusal = (
            f"{len(failures)} of {total} recordings could not be aligned, more than max_failed_share = "
            f"{max_failed_share} ({count_reasons(failures)}): look into them (alignment/failures.csv), raise "
            "it, or have them tried again (workflow/README.md)"
        )
    elif labels["kept"].sum() < 2:
        refusal = (
            f"{labels['kept'].sum()} labels occur more than min_count = {min_count} times, at least 2 are "
            f"needed (the second most frequent has {labels['count'][1:2].sum()}): lower min_count"
        )
    elif context == "word" and late.any():
        refusal = (
            f"{kept['item'][late].nunique()} recordings, such as {kept['item'][late].iloc[0]}, have phonemes "
            f"after their first {seconds:g} s, which is all that a model is given: raise clips.seconds, take "
            "shorter recordings, or phonemes.context: segment"
        )
    if refusal:
        logger.warning("phonemes: %s. There will be no results of phonemes; others are made", refusal)
        return kept[:0], labels, refusal
    dropped = labels[~labels["kept"]]
    logger.info(
        "phonemes: %d of %d labels kept, %d of %d phones; dropped: %s",
        labels["kept"].sum(),
        len(labels),
        len(kept),
        len(phones),
        ", ".join(
            f"{label} ({count})" for label, count in zip(dropped["label"], dropped["count"], strict=True)
        ),
    )
    return kept, labels, ""


def count_reasons(failures: pd.DataFrame) -> str:
    """Why recordings could not be aligned, in one line: each reason with its count and a first example."""
    first = failures.drop_duplicates("reason").set_index("reason")
    return named(
        f"{count}: {reason}, such as {first['item'][reason]} ({first['word'][reason]})"
        for reason, count in failures["reason"].value_counts().items()
    )


def accept_phonemes(refusal: str) -> None:
    """Raise ValueError for a `refusal` of `build_phonemes`. Runs when all other results are made."""
    if refusal:
        raise ValueError(f"phonemes: {refusal}. There are no results of phonemes; all others are made")


def checked(name: str, dataset: pd.DataFrame, remedy: str) -> pd.DataFrame:
    """`dataset`, if it has at least two labels, items in every split and training items for every label.

    Raises ValueError otherwise, with the `remedy`.
    """
    counts = pd.crosstab(dataset["label"], dataset["split"]).reindex(columns=SPLITS, fill_value=0)
    if len(counts) < 2:
        raise ValueError(f"{name}: at least 2 labels are needed, found {counts.index.tolist()}; {remedy}")
    if empty := [split for split in SPLITS if not counts[split].any()]:
        raise ValueError(f"{name}: the {' and '.join(empty)} split is empty; {remedy}")
    if untrained := counts.index[counts["train"] == 0].tolist():
        raise ValueError(f"{name}: {untrained} have no recordings in the training split; {remedy}")
    logger.info("%s: %d labels, %s", name, len(counts), counts.sum().to_dict())
    return dataset
