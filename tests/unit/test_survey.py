"""The first look at a user's recordings: what is found, what is a problem, and the config that follows."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from convexprune import configuration, starter
from convexprune.__main__ import main
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
    (recordings / "validation_list.txt").write_text("yes/ann_nohash_0.wav\nno/bob_nohash_1.wav\n")
    (recordings / "testing_list.txt").write_text("yes/bob_nohash_0.wav\n")
    table = survey(recordings).table.set_index("path")
    assert table.split.value_counts().to_dict() == {"train": 17, "validation": 2, "test": 1}
    assert table.split["no/bob_nohash_1.wav"] == "validation"
    assert "the split test has 1 labels: the run will refuse that" in problems(recordings)
    assert "the split validation" not in problems(recordings)


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


def test_a_csv_is_looked_at_and_left_alone(recordings, tmp_path):
    rows = [(f"mine/{path}", path.split("/")[0]) for path in survey(recordings).table.path]
    text = "path,word\n" + "".join(f"{path},{word}\n" for path, word in rows) + "mine/none.wav,yes\n"
    (tmp_path / "list.csv").write_text(text)
    found = survey(tmp_path / "list.csv")
    assert len(found.table) == 20 and not found.has_speakers
    assert "1 bad rows, which the run will refuse: mine/none.wav (no such file)" in "\n".join(found.problems)
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
        (recordings / "validation_list.txt").write_text("yes/ann_nohash_0.wav\nno/bob_nohash_1.wav\n")
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


def test_a_name_that_is_no_file_name_is_refused(recordings):
    with pytest.raises(ValueError, match="--name a/b"):
        starter.init(recordings, "a/b")
