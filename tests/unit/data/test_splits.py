"""Splits drawn by speaker: nobody is on two sides, the shares hold, every word is where it can be."""

import numpy as np
import pandas as pd
import pytest
from convexprune.data.corpus import SPLITS
from convexprune.data.splits import draw_by_group


def make(counts):
    """The words and the speakers of recordings, from how many each speaker has of each word."""
    rows = [(word, name) for name, of in counts.items() for word, n in of.items() for _ in range(n)]
    return (pd.Series(column) for column in zip(*rows, strict=True))


def draw(counts, share=0.2, seed=0):
    """A table with the word, the speaker and the split of each recording."""
    words, speakers = make(counts)
    splits = draw_by_group(words.to_frame("word"), speakers.rename("speaker"), share, share, seed)
    return pd.DataFrame({"word": words, "speaker": speakers, "split": splits})


def alike(n, words="abcd", takes=10):
    return {f"s{number}": dict.fromkeys(words, takes) for number in range(n)}


APART = {f"{word}{number}": {word: 10} for word in "ab" for number in range(20)}  # no speaker says both


def uneven(seed, n=40):
    """Speakers of whom some say much and others little, and words of whom some are rare."""
    rng = np.random.default_rng(seed)
    shares = {"a": 1, "b": 1, "c": 0.5, "d": 0.5, "e": 0.1, "f": 0.1}
    return {
        f"s{number}": {word: int(size * share) for word, share in shares.items()}
        for number, size in enumerate(rng.integers(1, 60, n))
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("counts", [alike(3), alike(6), alike(50), uneven(0), uneven(1), uneven(2)])
def test_no_speaker_is_on_two_sides_and_every_word_is_in_every_split(counts, seed):
    table = draw(counts, seed=seed)
    assert (table.groupby("speaker").split.nunique() == 1).all()
    assert (table.groupby("word").split.nunique() == 3).all()


@pytest.mark.parametrize("share", [0.1, 0.2])
@pytest.mark.parametrize("counts", [alike(50), alike(100, "ab", 3), APART, uneven(0), uneven(1), uneven(2)])
def test_the_shares_are_near_those_asked_for(counts, share):
    """Overall to the recordings of a speaker or two, and for each word that most speakers say."""
    table = draw(counts, share)
    for rows in (table, *(of_word for _, of_word in table[table.word.isin(["a", "b"])].groupby("word"))):
        shares = rows.split.value_counts(normalize=True)
        assert shares["validation"] == pytest.approx(share, abs=0.04)
        assert shares["test"] == pytest.approx(share, abs=0.04)


def test_few_speakers_are_spread_as_well_as_whole_speakers_can_be():
    for n, groups in ((3, [1, 1, 1]), (4, [2, 1, 1]), (5, [3, 1, 1]), (6, [4, 1, 1]), (10, [6, 2, 2])):
        assert draw(alike(n)).groupby("split").speaker.nunique()[list(SPLITS)].tolist() == groups


def test_a_seed_gives_the_same_splits_each_time_and_another_seed_others():
    assert draw(alike(20)).equals(draw(alike(20)))
    assert not draw(alike(20)).equals(draw(alike(20), seed=1))


@pytest.mark.parametrize("seed", range(10))
def test_a_rare_word_is_in_train_first_and_then_wherever_its_speakers_suffice(seed):
    counts = alike(30)
    for number in range(3):
        counts[f"s{number}"] = counts[f"s{number}"] | {"three": 1}
    counts["s5"] = counts["s5"] | {"once": 1}
    counts["s7"] = counts["s7"] | {"twice": 4}
    counts["s8"] = counts["s8"] | {"twice": 4}
    found = draw(counts, seed=seed).groupby("word").split.agg(set)
    assert found["three"] == set(SPLITS) and found["once"] == {"train"}
    assert "train" in found["twice"] and len(found["twice"]) == 2


@pytest.mark.parametrize("seed", range(10))
def test_the_one_speaker_of_a_word_is_in_train_even_if_another_word_lacks_elsewhere(seed):
    counts = alike(10) | {"x": {"of x": 9, "both": 9}, "y": {"of y": 9, "both": 9}}
    found = draw(counts, seed=seed).groupby("word").split.agg(set)
    assert found["of x"] == found["of y"] == {"train"}


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_speakers_than_splits_are_refused(n):
    with pytest.raises(ValueError, match=f"there are {n} speakers; train, validation and test need one each"):
        draw(alike(n))
