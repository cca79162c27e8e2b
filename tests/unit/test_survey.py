"""The first look at a user's recordings: what is found, what is a problem, and the config that follows."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from convexprune import configuration, starter
from convexprune.__main__ import main
from convexprune.corpus import SPLITS
from convexprune.ingestion import draw_splits, read_user_table
from convexprune.survey import describe, survey


def record(folder, *names, rate=16_000, seconds=0.5, channels=1):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.zeros((round(rate * seconds), channels)), rate)


def takes(label, speaker, count):
    return [f"{label}/{speaker}_nohash_{number}.wav" for number in range(count)]


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Ten recordings of each of two words by two speakers, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starter, "count_gpus", lambda: 0)
    monkeypatch.setattr(starter, "WORKFLOW", tmp_path)
    for label in ("yes", "no"):
        for speaker in ("ann", "bob"):
            record(tmp_path / "mine", *takes(label, speaker, 5))
    return tmp_path / "mine"


def problems(folder):
    return "\n".join(survey(folder).problems)


def test_labels_and_speakers_are_read_from_names(recordings):
    table = survey(recordings).table
    assert len(table) == 20
    for row in table.itertuples():
        label, file = row.path.split("/")
        assert (row.word, row.speaker) == (label, file[:3])


@pytest.mark.parametrize(
    ("names", "speakers", "source"),
    [
        (["a_nohash_0", "b_c_nohash_12"], ["a", "b_c"], "file names, speaker_nohash_n.wav"),
        (["{label}_ann_0", "{label}_bob_1"], ["ann", "bob"], "file names, label_speaker_n.wav"),
        (["ann/1", "bob/1"], ["ann", "bob"], "folders, label/speaker/file.wav"),
        (["take_1", "take_2"], None, ""),
    ],
)
def test_conventions_of_speakers(tmp_path, names, speakers, source):
    for label in ("yes", "no_2"):
        files = [f"{label}/{name.format(label=label)}.wav" for name in names]
        record(tmp_path, *files, *(f"{file[:-4]}{digit}.wav" for file in files for digit in range(3)))
    found = survey(tmp_path)
    assert found.speakers_from == source
    assert found.has_speakers == (speakers is not None)
    if speakers:
        assert set(found.table.speaker) == set(speakers)
    assert set(found.table.word) == {"yes", "no_2"}


def test_a_convention_that_some_names_break_gives_no_speakers(recordings):
    record(recordings, "yes/odd.wav")
    assert not survey(recordings).has_speakers
    assert "1 file names are not speaker_nohash_n.wav, as the others are: yes/odd.wav" in problems(recordings)


def test_splits_come_from_the_lists_of_speech_commands(recordings):
    held_out = ["yes/ann_nohash_0.wav", "no/bob_nohash_0.wav", "no/bob_nohash_1.wav"]
    (recordings / "validation_list.txt").write_text("\n".join(held_out))
    (recordings / "testing_list.txt").write_text("yes/bob_nohash_0.wav\n")
    table = survey(recordings).table.set_index("path")
    assert table.split.value_counts().to_dict() == {"train": 16, "validation": 3, "test": 1}
    assert table.split["no/bob_nohash_1.wav"] == "validation"
    assert "the split test has 1 labels: the run will refuse that" in problems(recordings)
    assert "the split validation has" not in problems(recordings)
    assert "1 of 2 labels have fewer than 2 recordings in the split validation" in problems(recordings)


def test_splits_come_from_folders(tmp_path):
    for split in ("train", "validation", "test"):
        record(tmp_path, *(f"{split}/{name}" for name in takes("yes", "ann", 5) + takes("no", "bob", 5)))
    table = survey(tmp_path).table
    assert (table.path.str.split("/").str[0] == table.split).all()
    assert (table.path.str.split("/").str[1] == table.word).all()
    assert set(table.speaker) == {"ann", "bob"}


def test_what_cannot_be_used_is_left_out_and_named(recordings):
    record(recordings, "loose.wav", "a/b/deep.wav", "_background_noise_/hum.wav")
    record(recordings, "rare/ann_nohash_0.wav", "rare/ann_nohash_1.wav")
    record(recordings, "yes/ann_nohash_90.wav", seconds=0)
    (recordings / "no/bob_nohash_91.wav").write_text("not audio")
    (recordings / "yes/notes.txt").write_text("no audio and not counted")
    found = survey(recordings)
    assert len(found.table) == 20
    text = "\n".join(found.problems)
    assert "2 files left out, not in label/file.wav layout: a/b/deep.wav, loose.wav" in text
    assert "1 files left out: in folders whose names begin with _ or ." in text
    assert "no/bob_nohash_91.wav (not a readable audio file)" in text
    assert "yes/ann_nohash_90.wav (holds no samples)" in text
    assert "1 labels left out, of fewer than 5 files: rare" in text


def test_audio_that_loses_by_it_is_a_problem(recordings):
    record(recordings, "yes/ann_nohash_7.wav", seconds=1.5)
    record(recordings, "yes/ann_nohash_8.wav", rate=8_000)
    record(recordings, "yes/ann_nohash_9.wav", seconds=1, channels=2)
    found = survey(recordings)
    text = describe(found)
    assert "1 of 23 recordings are longer than 1 s: only the first 1 s is used" in text
    assert "1 recordings are sampled below 16000 Hz" in text
    assert "16000 Hz (22), 8000 Hz (1)" in text
    assert "0.50 to 1.50 s, median 0.50 s" in text
    assert "1 of several channels (averaged)" in text
    assert "2: yes 13, no 10" in text
    assert "2 (from file names, speaker_nohash_n.wav)" in text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no recordings in label/file.wav layout"),
        (["a.wav", "b.wav"], r"holds no recordings in label/file.wav layout \(2 audio files"),
        ([f"yes/{number}.wav" for number in range(9)], "at least 2 labels"),
    ],
)
def test_nothing_to_work_with_is_refused(tmp_path, names, message):
    record(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        survey(tmp_path)


def test_labels_too_few_to_be_scored_are_refused_or_named(tmp_path):
    labels = [f"{label}/{number}.wav" for label in range(6) for number in range(5)]
    record(tmp_path, *labels)
    with pytest.raises(ValueError, match="every label has fewer than 2 recordings in the split validation"):
        survey(tmp_path)
    record(tmp_path, *(f"0/{number}.wav" for number in range(5, 10)))
    found = survey(tmp_path)
    assert found.splits[found.table.word == "0"].value_counts()["validation"] == 2
    assert "5 of 6 labels have fewer than 2 recordings in the split validation" in "\n".join(found.problems)


def test_the_splits_foreseen_are_those_that_the_run_draws(recordings):
    found = survey(recordings)
    config = yaml.safe_load(starter.make_config(found, "mine", Path("mine.csv"), 0))["corpus"]["table"]
    drawn = draw_splits(found.table.word, config["validation_share"], config["test_share"], config["seed"])
    assert found.splits.tolist() == drawn
    assert {split: found.count(split) for split in SPLITS} == {split: drawn.count(split) for split in SPLITS}


def test_a_label_that_train_lacks_is_a_problem(tmp_path):
    for split in ("train", "validation", "test"):
        record(tmp_path, *(f"{split}/{name}" for name in takes("yes", "ann", 5) + takes("no", "bob", 5)))
    record(tmp_path, *(f"test/{name}" for name in takes("maybe", "ann", 5)))
    assert "1 labels have no recordings in the split train, which the run will refuse: maybe" in problems(
        tmp_path
    )


def test_files_of_any_name_and_links_to_folders_are_found(recordings, tmp_path):
    record(tmp_path, *(f"far/tak,e {number} é日.wav" for number in range(6)))
    (recordings / "linked, label").symlink_to(tmp_path / "far")
    record(recordings, "yes/.hidden_nohash_0.wav", "yes/UPPER_nohash_0.WAV")
    os.rename(recordings / "no/ann_nohash_0.wav", os.fsencode(recordings) + b"/no/\xff_nohash_0.wav")
    starter.init(recordings)
    table = read_user_table(tmp_path / "mine.csv")
    assert table.word.value_counts().to_dict() == {"yes": 11, "no": 9, "linked, label": 6}
    assert all((tmp_path / path).is_file() for path in table.path)
    (recordings / "yes/loop").symlink_to(recordings)
    assert len(survey(recordings).table) == len(table)
    (recordings / "yes/loop").unlink()
    assert "1 files left out, whose names are not text: 'no/\\udcff_nohash_0.wav'" in problems(recordings)


def test_a_folder_that_cannot_be_read_is_a_problem(recordings, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    (recordings / "closed").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    assert f"{recordings}/closed cannot be looked into (Permission denied)" in problems(recordings)


def test_formats_that_are_not_read_are_named(recordings, tmp_path):
    for folder in (recordings / "yes", tmp_path / "phone/yes"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "1.m4a").touch()
    assert "1 files left out, of formats that are not read (convert" in problems(recordings)
    with pytest.raises(
        ValueError, match=r"(?s)\(0 audio files in all\).*formats that are not read.*yes/1\.m4a"
    ):
        survey(tmp_path / "phone")


@pytest.mark.parametrize(
    ("text", "read_as"), [("path;word\na.wav;yes\n", "path;word"), ("File,Label\na.wav,yes\n", "File, Label")]
)
def test_a_csv_of_another_layout_is_refused_in_words(tmp_path, text, read_as):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(
        ValueError, match=f"it has {read_as}. The first line must name the columns, with commas"
    ):
        survey(tmp_path / "list.csv")


def test_a_csv_with_a_byte_order_mark_is_read(recordings, tmp_path):
    rows = "".join(f"mine/{path},{path.split('/')[0]}\r\n" for path in survey(recordings).table.path)
    (tmp_path / "list.csv").write_text("path,word\r\n" + rows, encoding="utf-8-sig")
    assert len(survey(tmp_path / "list.csv").table) == 20


def test_a_csv_is_looked_at_and_left_alone(recordings, tmp_path):
    rows = [(f"mine/{path}", path.split("/")[0]) for path in survey(recordings).table.path]
    text = "path,word\n" + "".join(f"{path},{word}\n" for path, word in rows) + "mine/none.wav,yes\n"
    (tmp_path / "list.csv").write_text(text)
    found = survey(tmp_path / "list.csv")
    assert len(found.table) == 20 and not found.has_speakers
    text_of_problems = "\n".join(found.problems)
    assert "1 bad rows, which the run will refuse" in text_of_problems
    assert "mine/none.wav (no such file)" in text_of_problems
    assert "list.yaml" in starter.init(tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text() == text
    assert yaml.safe_load((tmp_path / "list.yaml").read_text())["corpus"]["table"]["csv"] == "list.csv"


def test_speakers_become_a_task_where_two_have_enough_recordings(recordings):
    assert survey(recordings).tasks == ["words"]
    record(recordings, *takes("yes", "ann", 40))
    assert survey(recordings).tasks == ["words"]
    record(recordings, *takes("yes", "bob", 40))
    assert survey(recordings).tasks == ["words", "speakers"]


def test_init_writes_config_and_table_and_says_what_is_next(recordings, tmp_path, capsys):
    main(["init", "mine"])
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith("snakemake --cores all --configfile mine.yaml")
    assert "20, 0.00 hours, one channel" in printed
    table = pd.read_csv(tmp_path / "mine.csv")
    assert table.columns.tolist() == ["path", "word", "speaker"]
    assert all((tmp_path / path).is_file() for path in table.path)
    assert table.path.str.startswith("mine/").all()


def test_recordings_elsewhere_are_named_absolutely(recordings, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    starter.init(recordings.parent / "work/../mine", "other")
    assert pd.read_csv("other.csv").path.str.startswith(f"{tmp_path}/mine/").all()


def test_away_from_the_workflow_the_next_command_goes_there(recordings, tmp_path, monkeypatch):
    folder = tmp_path / "the workflow"
    folder.mkdir()
    (folder / "Snakefile").touch()
    monkeypatch.setattr(starter, "WORKFLOW", folder)
    printed = starter.init(recordings)
    [told] = re.findall(r"^  cd '(.*)' && .*snakemake --cores all --configfile (.*)$", printed, re.MULTILINE)
    assert told == (str(folder), str(tmp_path / "mine.yaml"))
    config = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    assert config["corpus"]["table"]["csv"] == str(tmp_path / "mine.csv")


@pytest.mark.parametrize("existing", ["mine.yaml", "mine.csv"])
def test_init_overwrites_nothing(recordings, tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    with pytest.raises(SystemExit, match=f"{existing} exists already"):
        main(["init", "mine"])
    assert (tmp_path / existing).read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["mine", existing])


@pytest.mark.parametrize("gpus", [0, 2])
@pytest.mark.parametrize("speakers", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_every_config_is_valid_and_commented(recordings, monkeypatch, gpus, speakers, split):
    monkeypatch.setattr(starter, "count_gpus", lambda: gpus)
    if speakers:
        record(recordings, *takes("yes", "ann", 40), *takes("yes", "bob", 40))
    if split:
        held_out = [f"{word}/{name}_nohash_1.wav\n" for word in ("yes", "no") for name in ("ann", "bob")]
        (recordings / "validation_list.txt").write_text("".join(held_out))
        (recordings / "testing_list.txt").write_text("yes/bob_nohash_0.wav\nno/bob_nohash_0.wav\n")
    folder = recordings.rename(recordings.with_name("my 'odd': näme"))
    starter.init(folder, "odd")
    config = yaml.safe_load((folder.parent / "odd.yaml").read_text())
    assert config["tasks"] == ["words", *(["speakers"] if speakers else [])]
    assert set(config["datasets"]) == set(config["finetuning"]["learning_rate"]) == set(config["tasks"])
    assert config["gpus"] == gpus
    assert ("seed" in config["corpus"]["table"]) == (not split)
    assert config["finetuning"]["max_steps"] % config["finetuning"]["eval_steps"] == 0
    configuration.complete(config)
    text = (folder.parent / "odd.yaml").read_text()
    assert "workflow/schemas/config.schema.yaml" in text and max(map(len, text.splitlines())) <= 110


def test_neighbours_are_fewer_than_the_recordings_that_are_scored(recordings):
    starter.init(recordings)
    config = yaml.safe_load((recordings.parent / "mine.yaml").read_text())
    assert 1 <= config["convexity"]["n_neighbors"] < 20 * config["corpus"]["table"]["validation_share"]


def test_neighbours_are_fewer_than_the_recordings_of_frequent_speakers_that_are_scored(recordings):
    """Most recordings here are of speakers who have too few."""
    record(recordings, *takes("yes", "ann", 40), *takes("yes", "bob", 40))
    for number in range(60):
        record(recordings, *takes("no", f"s{number}", 5))
    starter.init(recordings)
    config = yaml.safe_load((recordings.parent / "mine.yaml").read_text())
    assert "speakers" in config["tasks"]
    scored = 90 * config["datasets"]["speakers"]["validation_share"]
    assert 1 <= config["convexity"]["n_neighbors"] <= scored / 5


def test_a_name_that_is_no_file_name_is_refused(recordings):
    with pytest.raises(ValueError, match="--name a/b"):
        starter.init(recordings, "a/b")
