"""Splits into train, validation and test, drawn by a seed: of recordings, or of speakers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convexprune.data.corpus import SPLITS


def draw_splits(words: pd.Series, validation_share: float, test_share: float, seed: int) -> list[str]:
    """Draw a split for each recording, so that every word is spread over the splits in proportion.

    The recordings are sorted by word, in random order within a word. One in every `1 / test_share` goes to
    the test split; the same is done for validation with the rest. So the shares hold overall and, give or
    take one recording, for each word, however rare. A speaker may be in several splits.
    """
    rng = np.random.default_rng(seed)
    line = pd.DataFrame({"word": words.to_numpy(), "draw": rng.random(len(words))})
    line = line.sort_values(["word", "draw"]).index.to_numpy()
    splits = np.full(len(words), "train", dtype=object)
    for split, share in (("test", test_share), ("validation", validation_share / (1 - test_share))):
        steps = np.floor(np.arange(len(line) + 1) * share + rng.random())
        taken = np.diff(steps) > 0
        splits[line[taken]] = split
        line = line[~taken]
    return splits.tolist()


def draw_by_speaker(
    words: pd.Series, speakers: pd.Series, validation_share: float, test_share: float, seed: int
) -> list[str]:
    """Draw a split for each speaker, and so for each recording: validation and test hold unseen voices.

    The shares are of the recordings of each word, as near as whole speakers allow. Every word is in train. It
    is in every split if three speakers or more say it, unless rarer words needed them elsewhere. The same
    `seed` gives the same splits. Raises ValueError if there are fewer than three speakers.

    This is iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label
    Data", 2011, algorithm 1) of speakers, weighted by their recordings: of the word that the fewest remaining
    speakers say, the speaker who says it most often goes to the split that lacks it most. What is added: a
    split that would be left without a word comes first.
    """
    table = pd.crosstab(speakers.to_numpy(), words.to_numpy())
    if len(table) < len(SPLITS):
        raise ValueError(f"there are {len(table)} speakers; train, validation and test need one each")
    names = table.index[np.random.default_rng(seed).permutation(len(table))]
    counts = table.loc[names].to_numpy()
    counts = np.column_stack(
        [counts, counts.sum(axis=1)]
    )  # by speaker and word; the last word stands for all
    shares = np.array([1 - validation_share - test_share, validation_share, test_share])
    lacking = shares[:, None] * counts.sum(axis=0)  # recordings, by split and word
    absent = np.ones(lacking.shape, dtype=bool)  # words that a split has not at all
    remaining = np.ones(len(counts), dtype=bool)
    splits = {}
    while remaining.any():
        left = (counts[remaining] > 0).sum(axis=0)  # speakers
        # The rarest word; among equals the last, which counts all recordings.
        word = len(left) - 1 - np.argmin(np.where(left, left, len(counts) + 1)[::-1])
        speaker = np.argmax(np.where(remaining, counts[:, word], -1))
        said = counts[speaker] > 0
        last_for_train = [(said & (left == 1) & absent[0]).any(), False, False]
        scarce = (said & absent & (left <= absent.sum(axis=0))).sum(axis=1)
        split = np.lexsort((lacking[:, -1], lacking[:, word], scarce, last_for_train))[-1]
        splits[names[speaker]] = SPLITS[split]
        lacking[split] -= counts[speaker]
        absent[split] &= ~said
        remaining[speaker] = False
    return [splits[speaker] for speaker in speakers]
