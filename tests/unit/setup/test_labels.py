"""Which columns of a table are labels, which datasets they become, and which of them are tasks."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from convexprune.__main__ import main
from convexprune.data.recordings import read_user_table
from convexprune.data.splits import Drawing, draw
from convexprune.setup import configuration, experiment, init
from convexprune.setup.labels import dataset_pattern, find_labels, name_dataset
from written import record

EMOTIONS, SPEAKERS = ["angry", "calm", "glad", "sad"], ["ann", "bob", "cid", "dan", "eva", "fay"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Of 240 recordings, in `list.csv`: six speakers, four emotions, ten sentences, and a text for each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init, "count_gpus", lambda: 0)
    rows = [
        (f"rec/{n}.wav", SPEAKERS[n % 6], EMOTIONS[n // 6 % 4], f"s{n // 24}", f"text {n}")
        for n in range(240)
    ]
    table = pd.DataFrame(rows, columns=["path", "speaker", "emotion", "sentence", "text"])
    record(tmp_path, *table.path)
    return table


def run_init(table, **options):
    """What `init` prints for the table, and the config that it writes."""
    Path("list.yaml").unlink(missing_ok=True)
    table.to_csv("list.csv", index=False)
    return init.init(Path("list.csv"), **options), configuration.read_config("list.yaml")


def test_every_column_of_classes_is_a_dataset_and_a_task(table):
    printed, config = run_init(table)
    labels = {name: one["label"] for name, one in config["datasets"].items()}
    assert labels == {"emotion": "emotion", "sentence": "sentence", "speakers": "speaker"}
    assert config["tasks"] == ["emotion", "sentence", "speakers"]
    assert list(config["finetuning"]["learning_rate"]) == config["tasks"]
    assert config["corpus"]["table"]["csv"] == "list.csv"
    assert "- column text: 240 different values in 240 rows: no label\n" in printed
    assert "labels        emotion, 4: angry 60, calm 60, glad 60, sad 60\n" in printed
    assert f"\n{'':16}sentence, 10: s0 24, s1 24, s2 24, s3 24, ... s7 24, s8 24, s9 24\n" in printed
    assert "phonemes" not in Path("list.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("asked", ["", "sentence", "speakers,emotion", "sentence,emotion"])
def test_the_splits_foreseen_for_several_labels_are_those_of_the_run(table, asked):
    printed, config = run_init(table, tasks=asked)
    drawn = draw(read_user_table("list.csv").rows, Drawing(**experiment.drawing_settings(config)))
    counts = ", ".join(f"{split} {drawn.count(split)}" for split in ("train", "validation", "test"))
    assert f"splits        {counts} (drawn by speaker" in printed
    assert set(config["tasks"]) == set(asked.split(",") if asked else ["emotion", "sentence", "speakers"])
    assert set(config["tasks"]) == set(config["datasets"])


@pytest.mark.parametrize(("speakers", "voices"), [(6, 1), (10, 2), (15, 3), (0, 0)])
def test_convexity_is_measured_on_train_where_validation_has_too_few_voices(table, speakers, voices):
    """A fifth of the speakers is in validation. With none known, splits have recordings of everybody."""
    names = [f"s{number % max(1, speakers)}" for number in range(len(table))]
    table = table.assign(speaker=names) if speakers else table.drop(columns="speaker")
    printed, config = run_init(table, tasks="emotion,sentence")
    few = 0 < voices < 3
    assert (f"has too few speakers ({voices}) to show what speakers have in common" in printed) == few
    for dataset in config["datasets"].values():
        assert dataset.get("convexity_split", "validation") == ("train" if few else "validation")
    scored = speakers - 2 * voices if few else voices  # of 6 and 10 speakers, 4 and 6 are in train
    told = f"convexity is measured on recordings of {scored} speakers, which is few" in printed
    assert told == (0 < scored < 10)


def test_words_keep_their_name_and_come_before_other_labels(table):
    printed, config = run_init(table.rename(columns={"sentence": "word"}))
    assert config["tasks"] == ["words", "emotion", "speakers"]
    assert "  words: {convexity_split: train}\n" in Path("list.yaml").read_text(encoding="utf-8")
    assert "labels        words, 10: s0 24" in printed


def test_an_unknown_task_is_refused_with_those_there_are(table):
    table.to_csv("list.csv", index=False)
    told = "--tasks words: there is no task 'words'; there are emotion, sentence, speakers"
    with pytest.raises(SystemExit, match=told):
        main(["init", "list.csv", "--tasks", "words"])
    table.drop(columns="speaker").to_csv("list.csv", index=False)
    with pytest.raises(SystemExit, match=r"there is no task 'speakers'; there are emotion, sentence$"):
        main(["init", "list.csv", "--tasks", "speakers"])
    assert not Path("list.yaml").exists()


def test_a_table_without_labels_is_refused_in_a_line_that_says_why(table):
    table[["path", "speaker", "text"]].assign(city="Bern").to_csv("list.csv", index=False)
    with pytest.raises(ValueError) as caught:
        init.init(Path("list.csv"))
    assert str(caught.value) == (
        "list.csv has the columns path, speaker, text, city, and none is a label (column text: 240 different "
        "values in 240 rows; column city: one value in 240 rows): a label has 2 classes or more, and on "
        "average 5 recordings of each"
    )
    table[["path"]].to_csv("list.csv", index=False)
    with pytest.raises(ValueError, match=r"^list\.csv has the columns path, and none is a label: a label"):
        init.init(Path("list.csv"))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["a"] * 5 + ["b"] * 5, ""),
        (["a"] * 9 + ["b"], ""),
        (["a"] * 5 + ["b"] * 4, "2 different values in 9 rows"),
        (["a"] * 10 + [""] * 10, "one value in 10 rows"),
        (["a"] * 5 + ["b"] * 5 + [""] * 10, ""),
        (["a"] * 5 + ["b"] * 5 + [""] * 11, "blank in 11 of 21 rows"),
    ],
)
def test_a_label_has_classes_of_several_recordings(values, reason):
    labels, reasons = find_labels(pd.DataFrame({"path": values, "mood": values}))
    assert labels == ({} if reason else {"mood": "mood"})
    assert reasons == ([f"column mood: {reason}: no label"] if reason else [])


def test_a_column_of_the_same_classes_is_no_second_label():
    moods = pd.Series(["sad", "glad", "sad"] * 10)
    numbers = moods.map({"sad": "1", "glad": "2"})
    labels, reasons = find_labels(pd.DataFrame({"mood": moods, "mood_id": numbers}))
    assert labels == {"mood": "mood"}
    assert reasons == ["column mood_id: the same classes as mood: no label"]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("word", "words"),
        ("words", "words-2"),
        ("speakers", "speakers-2"),
        ("Émotion", "Emotion"),
        ("mood (1 to 5)", "mood-1-to-5"),
        ("2nd", "label-2nd"),
        ("感情", "label"),
        ("average", "label-average"),
        ("x" * 99, "x" * 50),
        ("Mood", "Mood-2"),
    ],
)
def test_names_of_datasets_fit_the_schema(column, name):
    assert name_dataset(column, ["mood"]) == name
    assert re.match(dataset_pattern(), name)


@pytest.mark.parametrize("column", ["no", "a: b", "Gefühl", "#1", "null", "rate", "seconds", "it's", "Index"])
def test_columns_of_any_name_are_written_so_that_they_are_read(table, column):
    table = table.rename(columns={"emotion": column}).drop(columns="sentence")
    _, config = run_init(table, tasks="")
    name = name_dataset(column, [])
    assert config["datasets"][name]["label"] == column
    assert config["tasks"] == [name, "speakers"]
    init.init(Path("list.csv"), "new", unseen_speakers=True)
    written = read_user_table("new.csv").rows
    assert written[column].tolist() == table[column].tolist() and "split" in written


def test_blank_labels_are_not_counted(table):
    table.loc[np.arange(240) % 2 == 0, "emotion"] = ""
    printed, config = run_init(table)
    assert "labels        emotion, 4 (of 120 recordings): " in printed
    assert "emotion" in config["tasks"]


def test_a_label_that_the_splits_do_not_serve_is_no_task_unless_asked_for(table):
    """Where a speaker is known, so is the city: a city of validation is none of train."""
    table["city"] = table.speaker.map(dict(zip(SPEAKERS, ["x", "y", "z", "u", "v", "w"], strict=True)))
    printed, config = run_init(table)
    assert config["tasks"] == ["emotion", "sentence", "speakers"]
    assert re.search("- column city: .*: no task unless --tasks asks for city\n", printed)
    printed, config = run_init(table, tasks="emotion,city")
    assert config["tasks"] == ["emotion", "city"]
    assert "- splits cannot be drawn by speaker (city: " in printed
    assert config["corpus"]["table"]["split_by"] is None
