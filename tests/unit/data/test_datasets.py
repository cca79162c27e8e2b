"""The datasets: which recordings, with which labels and splits."""

import functools
import re
from types import SimpleNamespace

import accept_phonemes
import build_labelled
import build_phonemes
import build_speakers
import numpy as np
import pandas as pd
import pytest
from convexprune.data import corpus, datasets
from hypothesis import given, settings
from hypothesis import strategies as st


def make_table(rows):
    """A corpus table of (word, speaker, split), recordings of 10, 11, 12 ... samples end to end."""
    table = pd.DataFrame(rows, columns=["word", "speaker", "split"])
    table["path"] = [f"{index}.wav" for index in range(len(table))]
    table["n_samples"] = 10 + np.arange(len(table))
    table["offset"] = table["n_samples"].cumsum() - table["n_samples"]
    table["digest"] = table["path"]
    table["remarks"] = ""
    return table[corpus.COLUMNS]


WORDS = [
    ("null", "007", "train"),
    ("NaN", "007", "validation"),
    ("", "", "test"),
    ("NaN", "a", "test"),
    ("NaN", "a", "train"),
]


def run(script, folder, settings=None, **tables):
    """Run a script on tables written as CSV; return its dataset."""
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    script.main(
        SimpleNamespace(
            input=SimpleNamespace(**{name: folder / f"{name}.csv" for name in tables}),
            output=SimpleNamespace(
                dataset=folder / "dataset.csv", labels=folder / "labels.csv", refusal=folder / "refusal.txt"
            ),
            params=SimpleNamespace(settings=settings),
            wildcards=SimpleNamespace(dataset="words"),
            log=[folder / "log"],
        )
    )
    return corpus.read_dataset(folder / "dataset.csv")


# Words


def test_words_are_the_recordings_of_words(tmp_path):
    words = run(build_labelled, tmp_path, settings={"label": "word"}, table=make_table(WORDS))
    assert words.to_csv(index=False).splitlines() == [
        "item,start,end,label,speaker,split",
        "0.wav,0,10,null,007,train",
        "1.wav,10,21,NaN,007,validation",
        "3.wav,33,46,NaN,a,test",
        "4.wav,46,60,NaN,a,train",
    ]
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "words: 1 recordings without a word are left out" in log


def test_silence_is_a_word_like_any_other_where_a_user_calls_it_so():
    words = datasets.build_labelled(
        "words", make_table([*WORDS, ("_silence_", "a", "train"), ("_silence_", "a", "test")]), "word"
    )
    assert words["label"].value_counts()["_silence_"] == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row for row in WORDS if row[2] != "test"], "the test split is empty"),
        ([row for row in WORDS if row[2] == "train"], "the validation and test split is empty"),
        ([row for row in WORDS if row[0] != "null"], r"at least 2 labels are needed, found \['NaN'\]"),
        ([*WORDS, ("cat", "a", "test")], r"\['cat'\] have no recordings in the training split"),
        ([("", "", "test")], "at least 2 labels are needed"),
    ],
)
def test_words_without_what_training_needs_are_refused(rows, message):
    with pytest.raises(ValueError, match=f"words: .*{message}"):
        datasets.build_labelled("words", make_table(rows), "word")


def test_any_column_labels_a_dataset_and_one_that_is_not_there_is_named():
    table = make_table(WORDS).assign(emotion=["joy", "", *["fear", "joy"] * len(WORDS)][: len(WORDS)])
    table.loc[table["split"] != "train", "emotion"] = "joy"
    found = datasets.build_labelled("emotions", table, "emotion")
    assert found["label"].tolist() == [label for label in table["emotion"] if label]
    with pytest.raises(
        ValueError, match="emotions: the corpus has no column mood; it has emotion, path, speaker"
    ):
        datasets.build_labelled("emotions", table, "mood")


# Speakers


SETTINGS = {"min_files": 50, "test_share": 0.1, "validation_share": 0.1, "seed": 0}


def speaker_table(counts):
    """`counts[i]` training recordings of speaker i, and ten more of each that are not for training."""
    rows = [("yes", f"s{index}", "train") for index, count in enumerate(counts) for _ in range(count)]
    others = [("yes", f"s{index}", split) for index in range(len(counts)) for split in ("validation", "test")]
    return make_table(others * 5 + rows)


def test_speakers_have_the_papers_counts():
    """388 speakers with more than 50 files, 43,474 files: 39,126 to train on and 4,348 to test."""
    rng = np.random.default_rng(0)
    counts = 51 + rng.multinomial(43_474 - 388 * 51, np.full(388, 1 / 388))
    table = speaker_table([*counts, *[50] * 20])
    speakers = datasets.build_speakers(table, **SETTINGS)
    assert len(speakers) == 43_474 and speakers["label"].nunique() == 388
    sizes = speakers["split"].value_counts().to_dict()
    assert sizes["test"] == 4_348
    assert sizes["train"] + sizes["validation"] == 39_126
    assert sizes["validation"] == 3_913  # a tenth of these


def test_speakers_are_drawn_from_training_recordings_alone(tmp_path):
    table = speaker_table([51, 60, 50])
    speakers = run(build_speakers, tmp_path, SETTINGS, table=table)
    chosen = table[(table["split"] == "train") & table["speaker"].isin(["s0", "s1"])]
    assert speakers["item"].tolist() == chosen["path"].tolist()  # in the corpus' order
    assert speakers["start"].tolist() == chosen["offset"].tolist()
    assert (speakers["end"] - speakers["start"]).tolist() == chosen["n_samples"].tolist()
    assert (speakers["label"] == speakers["speaker"]).all()
    assert speakers["label"].tolist() == chosen["speaker"].tolist()


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(20, 60), min_size=2, max_size=6),
    test_share=st.floats(0.1, 0.3),
    validation_share=st.floats(0.1, 0.3),
)
def test_each_speaker_is_split_in_proportion(counts, test_share, validation_share):
    speakers = datasets.build_speakers(
        speaker_table(counts),
        min_files=10,
        test_share=test_share,
        validation_share=validation_share,
        seed=1,
    )
    sizes = pd.crosstab(speakers["label"], speakers["split"])
    for index, count in enumerate(counts):
        found = sizes.loc[f"s{index}"]
        assert abs(found["test"] - test_share * count) < 2
        assert abs(found["validation"] - validation_share * (count - found["test"])) < 2


def test_the_seed_draws_the_speakers_splits():
    table = speaker_table([60, 70])
    first, again, other = (
        datasets.build_speakers(table, **SETTINGS | {"seed": seed})["split"].tolist() for seed in (0, 0, 1)
    )
    assert first == again != other


def test_speakers_of_a_corpus_that_names_none_are_refused():
    with pytest.raises(ValueError, match="names no speakers; add the column speaker"):
        datasets.build_speakers(speaker_table([60, 60]).assign(speaker=""), **SETTINGS)


@pytest.mark.parametrize(
    ("counts", "changes", "message"),
    [
        ([50, 50], {}, "nobody has more than min_files = 50"),
        ([51, 50], {}, "at least 2 labels are needed.*lower min_files"),
        (
            [5] * 20,
            {"min_files": 2, "test_share": 0.01},
            "no test split can be drawn.*lower min_files, or ch",
        ),
        ([51, 51], {"validation_share": 0.01}, "no validation split can be drawn.*validation_share"),
    ],
)
def test_speakers_that_cannot_be_split_are_refused(counts, changes, message):
    with pytest.raises(ValueError, match=f"speakers: {message}"):
        datasets.build_speakers(speaker_table(counts), **SETTINGS | changes)


# Phonemes


def phone_table(labels):
    spans = [(f"{i}.wav", 100 * i, 100 * i + 50, label, "s", "validation") for i, label in enumerate(labels)]
    return pd.DataFrame(spans, columns=corpus.ITEM_COLUMNS)


CHOICE = {"min_count": 0, "max_failed_share": 0.05, "context": "segment"}
NONE_FAILED = pd.DataFrame(columns=["item", "word", "reason"])


def recording_table(phones):
    """The corpus of which each phone is one recording."""
    return phones.assign(path=phones["item"], offset=phones["start"])


def build(phones, failures=NONE_FAILED, **changes):
    return datasets.build_phonemes(phones, failures, recording_table(phones), **CHOICE | changes)


def test_phonemes_are_the_frequent_phones_in_order(tmp_path):
    phones = phone_table(["s", "E", "s", "{", "3`", "E", "s", "3`"])
    tables = {"phones": phones, "failures": NONE_FAILED, "table": make_table(WORDS)}
    phonemes = run(build_phonemes, tmp_path, CHOICE | {"min_count": 1}, **tables)
    assert phonemes["label"].tolist() == ["s", "E", "s", "3`", "E", "s", "3`"]
    assert phonemes["item"].tolist() == [f"{i}.wav" for i in (0, 1, 2, 4, 5, 6, 7)]
    assert phonemes["start"].tolist() == [0, 100, 200, 400, 500, 600, 700]
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8").splitlines() == [
        "label,count,kept",
        "s,3,True",
        "3`,2,True",
        "E,2,True",
        "{,1,False",
    ]
    assert "dropped: { (1)" in (tmp_path / "log").read_text(encoding="utf-8")
    assert (tmp_path / "refusal.txt").read_text(encoding="utf-8") == ""


def test_min_count_is_exceeded_not_met():
    phones = phone_table(["a"] * 3 + ["b"] * 4 + ["c"] * 5)
    assert set(build(phones, min_count=3)[0]["label"]) == {"b", "c"}


def failed(n):
    rows = [(f"bad{i}.wav", "yes", "the phones are squeezed together") for i in range(n - 1)]
    return pd.DataFrame([*rows, ("odd.wav", "qwertz", "no phones found")], columns=NONE_FAILED.columns)


@pytest.mark.parametrize(
    ("phones", "failures", "changes", "reason"),
    [
        (
            phone_table(["a"] * 50 + ["b"] * 43),
            failed(7),
            {},
            "7 of 100 recordings could not be aligned, more than max_failed_share = 0.05 (6: the phones are "
            "squeezed together, such as bad0.wav (yes), 1: no phones found, such as odd.wav (qwertz)): look",
        ),
        (phone_table([]), failed(3), {}, "3 of 3 recordings could not be aligned"),
        (phone_table(["a", "b"] * 40), failed(1), {"max_failed_share": 0}, "1 of 81 recordings could not"),
        (
            phone_table(["a"] * 3 + ["b"] * 4 + ["c"] * 5),
            NONE_FAILED,
            {"min_count": 4},
            "1 labels occur more than min_count = 4 times, at least 2 are needed (the second most frequent "
            "has 4): lower min_count",
        ),
        (phone_table([]), NONE_FAILED, {}, "0 labels occur more than min_count = 0 times"),
    ],
)
def test_phonemes_that_cannot_be_are_none_and_say_why(tmp_path, phones, failures, changes, reason):
    """They keep no other result from being made; the run ends in an error afterwards."""
    tables = {"phones": phones, "failures": failures, "table": make_table(WORDS)}
    assert run(build_phonemes, tmp_path, CHOICE | changes, **tables).empty
    refusal = (tmp_path / "refusal.txt").read_text(encoding="utf-8")
    assert refusal.startswith(reason)
    assert f"phonemes: {refusal}. There will be no results" in (tmp_path / "log").read_text(encoding="utf-8")
    call = SimpleNamespace(input=SimpleNamespace(refusal=tmp_path / "refusal.txt"), log=[tmp_path / "log"])
    with pytest.raises(
        ValueError, match=f"^phonemes: {re.escape(refusal)}. There are no results of phonemes"
    ):
        accept_phonemes.main(call)
    (tmp_path / "refusal.txt").write_text("", encoding="utf-8")
    accept_phonemes.main(call)


def test_a_few_failures_are_left_out():
    phones = phone_table(["a"] * 50 + ["b"] * 45)
    dataset, _, refusal = build(phones, failed(5))
    assert len(dataset) == 95 and not refusal


def test_phonemes_after_the_first_second_have_no_context():
    """The model is given one second of their word."""
    phones = phone_table(["a", "b", "a", "b"])
    recordings = recording_table(phones).assign(offset=[0, 100, 200, 300 - 16_000])
    build_from = functools.partial(datasets.build_phonemes, phones, NONE_FAILED, recordings)
    assert not build_from(**CHOICE)[2]
    dataset, _, refusal = build_from(**CHOICE | {"context": "word"})
    assert dataset.empty and refusal.startswith(
        "1 recordings, such as 3.wav, have phonemes after their first 1 s"
    )
    assert not build_from(**CHOICE | {"context": "word", "seconds": 1.01})[2]
