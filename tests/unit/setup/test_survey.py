"""The first look at a user's recordings: what is found, and what is a problem."""

import errno
import os

import numpy as np
import pytest
import soundfile
from convexprune.setup.findings import describe
from convexprune.setup.survey import survey
from written import record, takes


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
    assert found.speakers_from.partition(":")[0] == source
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
    (recordings / "validation_list.txt").write_text("\n".join(held_out), encoding="utf-8")
    (recordings / "testing_list.txt").write_text("yes/bob_nohash_0.wav\n", encoding="utf-8")
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


def test_files_that_the_lists_name_in_vain_are_told(recordings):
    validation = "yes/ann_nohash_0.wav\nyes/bob_nohash_0.wav\ngone.wav\n"
    (recordings / "validation_list.txt").write_text(validation, encoding="utf-8")
    (recordings / "testing_list.txt").write_text(
        "yes/ann_nohash_0.wav\nno/bob_nohash_0.wav\n", encoding="utf-8"
    )
    found = survey(recordings)
    assert "1 files that the lists name are not there: gone.wav" in found.problems
    assert (found.count("validation"), found.count("test")) == (2, 1)  # in both lists: for validation


def test_what_cannot_be_used_is_left_out_and_named(recordings):
    record(recordings, "loose.wav", "a/b/deep.wav", "_background_noise_/hum.wav")
    record(recordings, "rare/ann_nohash_0.wav", "rare/ann_nohash_1.wav")
    record(recordings, "yes/ann_nohash_90.wav", seconds=0)
    (recordings / "no/bob_nohash_91.wav").write_text("not audio", encoding="utf-8")
    (recordings / "yes/notes.txt").write_text("no audio and not counted", encoding="utf-8")
    found = survey(recordings)
    assert len(found.table) == 20
    text = "\n".join(found.problems)
    assert "2 files left out, not in label/file.wav layout: a/b/deep.wav, loose.wav" in text
    assert "1 files left out: in folders whose names begin with _ or ., _background_noise_" in text
    assert "no/bob_nohash_91.wav (is not a readable audio file (Format not recognised.))" in text
    assert "yes/ann_nohash_90.wav (holds no samples)" in text
    assert "1 labels left out, of fewer than 5 files: rare" in text


def test_audio_that_loses_by_it_is_a_problem(recordings):
    record(recordings, "yes/ann_nohash_7.wav", seconds=1.5)
    record(recordings, "yes/ann_nohash_8.wav", rate=8_000)
    record(recordings, "yes/ann_nohash_9.wav", seconds=1, channels=2)
    found = survey(recordings)
    text = describe(found)
    assert "1 of 23 recordings are longer than 1 s and are cut: only the first 1 s is used; raise cl" in text
    assert "1 recordings are sampled below 16000 Hz" in text
    assert "16000 Hz (22), 8000 Hz (1)" in text
    assert "0.50 to 1.50 s, median 0.50 s" in text
    assert "1 of several channels (averaged)" in text
    assert "2: yes 13, no 10" in text
    assert "2 (from file names, speaker_nohash_n.wav: ann_nohash_0.wav is ann; if not, see --pattern)" in text


def test_recordings_are_read_as_the_run_will_read_them(recordings):
    """A FLAC that does not say its length has the one it has; what is cut is left out, what is odd told."""
    tone = 2 * np.sin(np.arange(8_000) / 20)
    for number in range(7):
        soundfile.write(recordings / f"yes/cat_nohash_{number}.wav", tone.clip(-1, 1), 16_000)
    soundfile.write(recordings / "yes/dan_nohash_0.flac", tone.clip(-1, 1) / 2, 16_000)
    flac = bytearray((recordings / "yes/dan_nohash_0.flac").read_bytes())
    flac[21:26] = bytes([flac[21] & 0xF0, 0, 0, 0, 0])
    (recordings / "yes/dan_nohash_0.flac").write_bytes(flac)
    cut = (recordings / "yes/cat_nohash_6.wav").read_bytes()[:5_000]
    (recordings / "yes/cat_nohash_6.wav").write_bytes(cut)
    text = describe(survey(recordings))
    assert "27, 0.00 hours" in text and "0.50 to 0.50 s" in text
    assert "1 files left out: yes/cat_nohash_6.wav (is cut: its header promises 16000 bytes, 4956 are" in text
    assert "6 recordings are clipped" in text and " %) and 1 more" in text
    assert "20 recordings are silent" in text
    assert "1 recordings are open-ended" in text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no recordings in label/file.wav layout"),
        (["a.wav", "b.wav"], r"no recordings in label/file.wav layout \(2 audio files"),
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


def test_a_label_that_train_lacks_is_a_problem(tmp_path):
    for split in ("train", "validation", "test"):
        record(tmp_path, *(f"{split}/{name}" for name in takes("yes", "ann", 5) + takes("no", "bob", 5)))
    record(tmp_path, *(f"test/{name}" for name in takes("maybe", "ann", 5)))
    assert "1 labels have no recordings in the split train, which the run will refuse: maybe" in problems(
        tmp_path
    )


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
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(
        ValueError, match=f"it has {read_as}. The first line must name the columns, with commas"
    ):
        survey(tmp_path / "list.csv")


def test_a_csv_with_a_byte_order_mark_is_read(recordings, tmp_path):
    rows = "".join(f"mine/{path},{path.split('/')[0]}\r\n" for path in survey(recordings).table.path)
    (tmp_path / "list.csv").write_text("path,word\r\n" + rows, encoding="utf-8-sig")
    assert len(survey(tmp_path / "list.csv").table) == 20


def test_speakers_become_a_task_where_two_have_enough_recordings(recordings):
    assert survey(recordings).tasks == ["words"]
    record(recordings, *takes("yes", "ann", 40))
    assert survey(recordings).tasks == ["words"]
    record(recordings, *takes("yes", "bob", 40))
    assert survey(recordings).tasks == ["words", "speakers"]


def test_bad_rows_come_before_what_follows_from_them(recordings, tmp_path):
    good = [f"mine/{label}/ann_nohash_{n}.wav,{label}" for label in ("yes", "no") for n in range(2)]
    bad = [f"none{n}.wav,yes" for n in range(30)] + ["mine/yes/ann_nohash_2.wav,"]
    (tmp_path / "list.csv").write_text("\n".join(["path,word", *good, *bad]), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        survey(tmp_path / "list.csv")
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{tmp_path}/list.csv: 31 bad rows: row 5 (none0.wav): no such file, row 6 ")
    assert "and 26 more; without them every label has fewer than 2 recordings in the split valid" in first


def test_a_row_that_is_bad_is_not_counted(recordings, tmp_path):
    rows = [f"mine/{path},{path.split('/')[0]}" for path in survey(recordings).table.path]
    rows += ["mine/yes/../no/ann_nohash_0.wav,no", "mine/yes/none.wav,"]
    (tmp_path / "list.csv").write_text("\n".join(["path,word", *rows]), encoding="utf-8")
    found = survey(tmp_path / "list.csv")
    assert len(found.table) == 20 and set(found.table.word) == {"yes", "no"}
    assert found.problems[0] == (
        "2 bad rows: row 21 (mine/yes/../no/ann_nohash_0.wav): the path stands in an earlier row too, "
        "row 22 (mine/yes/none.wav): no word; no such file; the run will refuse them"
    )


def test_a_hint_on_speakers_is_among_the_problems(tmp_path):
    names = [f"{label}/p{who}_{n}.wav" for label in ("yes", "no") for who in (225, 226) for n in range(9)]
    record(tmp_path, *names)
    hint = "if file names such as p225_0.wav name them, say so by --pattern speaker_n (2 speakers)"
    assert f"speakers unknown; {hint}" in survey(tmp_path).problems
    assert set(survey(tmp_path, "speaker_n").table.speaker) == {"p225", "p226"}


def test_recordings_that_are_all_short_are_told(tmp_path):
    record(tmp_path, *takes("yes", "ann", 10), *takes("no", "ann", 10), seconds=0.05)
    assert (
        "all 20 recordings are shorter than a tenth of clips.seconds, 1 s (the longest has 0.05"
        in problems(tmp_path)
    )
