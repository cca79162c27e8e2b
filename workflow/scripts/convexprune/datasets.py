"""The three datasets: spans of the corpus with the label whose convexity is measured.

A dataset is a table `item, start, end, label, speaker, split`: `item` is the recording's path in the corpus,
`start` and `end` are positions in the corpus' `samples`.
"""

from __future__ import annotations

import logging

import pandas as pd

from convexprune.corpus import ITEM_COLUMNS, SILENCE, SPLITS

logger = logging.getLogger(__name__)


def make_items(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """The dataset of the whole recordings of a corpus table, labelled by its column `label`."""
    items = table.assign(
        item=table["path"],
        start=table["offset"],
        end=table["offset"] + table["n_samples"],
        label=table[label],
    )
    return items[ITEM_COLUMNS].reset_index(drop=True)


def build_words(table: pd.DataFrame) -> pd.DataFrame:
    """Every recording of a word, labelled with it, in the corpus' splits. `_silence_` is left out."""
    words = make_items(table[table["word"] != SILENCE], "word")
    return checked("words", words, "the corpus needs more words, or recordings of them in each split")


def build_speakers(
    table: pd.DataFrame, *, min_files: int, test_share: float, validation_share: float, seed: int
) -> pd.DataFrame:
    """The training recordings of every speaker who has more than `min_files` of them, labelled by speaker.

    They are split anew, stratified by speaker: `test_share` of them for test (in the paper 10 %), then
    `validation_share` of what remains for validation. The same `seed` gives the same splits.
    """
    from sklearn.model_selection import train_test_split

    if not table["speaker"].any():
        raise ValueError(
            "speakers: the corpus names no speakers; add the column speaker to its table, or take speakers "
            "out of the config's datasets and tasks"
        )
    train = table[table["split"] == "train"]
    files = train.groupby("speaker")["path"].transform("size")
    speakers = make_items(train[(files > min_files) & (train["word"] != SILENCE)], "speaker")
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


def build_phonemes(phones: pd.DataFrame, *, min_count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The aligned phones whose label occurs more than `min_count` times, in the order of the corpus.

    With them comes a table of all labels (label, count, kept), the most frequent first.
    """
    labels = phones["label"].value_counts().rename_axis("label").reset_index()
    labels["kept"] = labels["count"] > min_count
    labels = labels.sort_values(["count", "label"], ascending=[False, True], ignore_index=True)
    kept = phones[phones["label"].isin(labels["label"][labels["kept"]])].reset_index(drop=True)
    if labels["kept"].sum() < 2:
        raise ValueError(
            f"phonemes: {labels['kept'].sum()} labels occur more than min_count = {min_count} times, "
            f"at least 2 are needed (the second most frequent has {labels['count'][1:2].sum()}); "
            "lower min_count"
        )
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
    return kept, labels


def checked(name: str, dataset: pd.DataFrame, remedy: str) -> pd.DataFrame:
    """`dataset`, if every split has items and every one of at least two labels has some in training."""
    counts = pd.crosstab(dataset["label"], dataset["split"]).reindex(columns=SPLITS, fill_value=0)
    if len(counts) < 2:
        raise ValueError(f"{name}: at least 2 labels are needed, found {counts.index.tolist()}; {remedy}")
    if empty := [split for split in SPLITS if not counts[split].any()]:
        raise ValueError(f"{name}: the {' and '.join(empty)} split is empty; {remedy}")
    if untrained := counts.index[counts["train"] == 0].tolist():
        raise ValueError(f"{name}: {untrained} have no recordings in the training split; {remedy}")
    logger.info("%s: %d labels, %s", name, len(counts), counts.sum().to_dict())
    return dataset
