"""The user's CSV: what its rows say, and what is wrong with them."""

import os
import unicodedata

import numpy as np
import pytest
import soundfile
from convexprune.data import corpus, ingestion, recordings
from convexprune.data.splits import Drawing

DRAWING = Drawing(["word"], None, validation_share=0.1, test_share=0.1, seed=0)
HEADER = "path,word\n"


def read(folder, text, encoding="utf-8"):
    (folder / "mine.csv").write_bytes(text.encode(encoding))
    return recordings.read_user_table(folder / "mine.csv")


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        (HEADER + "a.wav,turn on, lamp\nb.wav,turn on, fan\n", {0: 3, 1: 3}),  # the first row too
        (HEADER + "a.wav,yes\nb.wav,turn on, fan\n", {1: 3}),
        (HEADER + "a.wav\nb.wav,yes\n", {0: 1}),
        (HEADER + "a.wav,yes,\nb.wav,yes\n", {0: 3}),
        ("path,word,speaker,split\na.wav,yes,ann\n", {0: 3}),
        ("path,word,remark\na.wav,yes\nb.wav,yes,\n", {0: 2}),
        (HEADER + '"a,b.wav",yes\na,b.wav,yes\n', {1: 3}),
        (HEADER + "a.wav;yes\n", {0: 1}),
        (HEADER + '"a.wav,yes"\n', {0: 1}),
    ],
)
def test_rows_with_other_fields_than_the_header_are_named(tmp_path, text, bad):
    found = read(tmp_path, text)
    columns = text.partition("\n")[0].count(",") + 1
    for row, problems in enumerate(found.problems):
        expected = (
            f"has {bad.get(row)} fields where the header has {columns} (put text with a comma in quotes)"
        )
        assert problems == ([expected] if row in bad else [])


def test_they_are_named_beside_the_other_bad_rows_and_nothing_is_made(tmp_path):
    (tmp_path / "mine.csv").write_text(
        HEADER + f"a.wav,turn on, lamp\nnone.wav,yes\n{'x' * 300}.wav,yes\nshut/a.wav,yes\n.,yes\n",
        encoding="utf-8",
    )
    soundfile.write(tmp_path / "a.wav", np.ones(100) / 2, 16_000)
    (tmp_path / "shut").symlink_to("shut")  # as a closed folder is for those who are not root
    paths = [tmp_path / f"corpus.{suffix}" for suffix in ("h5", "csv", "sha256")]
    with pytest.raises(ValueError) as caught:
        ingestion.ingest_table(tmp_path / "mine.csv", *paths, drawing=DRAWING)
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'mine.csv'}: 5 of 5 rows are bad",
        "  row 1 (a.wav): has 3 fields where the header has 2 (put text with a comma in quotes)",
        "  row 2 (none.wav): no such file",
        f"  row 3 ({'x' * 300}.wav): cannot be looked at (File name too long)",
        "  row 4 (shut/a.wav): cannot be looked at (Too many levels of symbolic links)",
        "  row 5 (.): is not a file",
    ]
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("denied", ["folder", "file"])
def test_what_may_not_be_read_is_named(tmp_path, monkeypatch, denied):
    (tmp_path / "a.wav").touch()
    if denied == "file":
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    else:
        error = PermissionError(13, "Permission denied")
        monkeypatch.setattr(recordings.Path, "stat", lambda path: (_ for _ in ()).throw(error))
    message = {"folder": r"cannot be looked at \(Permission denied\)", "file": "may not be read"}[denied]
    with pytest.raises(ValueError, match=message):
        recordings.find_file(tmp_path, "a.wav")


def test_a_null_byte_in_a_path_is_no_such_file(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        recordings.find_file(tmp_path, "a\0.wav")


GOOD = 'path,word,speaker\na.wav,"turn on, lamp",007\n"b ""c"".wav",null,NA\n'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD.replace("\n", "\r\n") + "\r\n\r\n",
        GOOD.replace("\n", "\r"),
        GOOD.replace("\n", "\n\n"),
        GOOD.replace("\n", "\n   \n"),
        GOOD.replace(",", ", "),
        GOOD.replace("007", "007 ").replace("NA", "\tNA"),
        'word,note,path,speaker,note\n"turn on, lamp","two\nlines",a.wav,007,\nnull,,"b ""c"".wav",NA,x\n',
    ],
)
def test_one_table_in_many_forms_is_one_table(tmp_path, text):
    found = read(tmp_path, text.replace("turn on,  lamp", "turn on, lamp"))
    assert found.rows[["path", "word", "speaker"]].to_numpy().tolist() == [
        ["a.wav", "turn on, lamp", "007"],
        ['b "c".wav', "null", "NA"],
    ]
    assert found.problems == [[], []] and not found.remarks


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("path;word\na.wav;yes\n", "utf-8", "with commas between them, not semicolons"),
        ("path\tword\na.wav\tyes\n", "utf-8", "with commas between them, not tabs"),
        ("path,word,word\na.wav,yes,no\n", "utf-8", "more than one column word; name each column once"),
        (HEADER + '"a.wav,yes\nb.wav,no\n', "utf-8", "the row in line 2: .*; is a quote not closed"),
        (HEADER + 'a.wav,"yes" please\n', "utf-8", "the row in line 2"),
        (HEADER + "a.wav,café\n", "latin-1", "is not a CSV file in UTF-8"),
        (HEADER + "a.wav,yes\n", "utf-16", "is not a CSV file in UTF-8"),
        ("", "utf-8", "it is empty"),
        ("\n\n", "utf-8", "it is empty"),
        (HEADER, "utf-8", "has no rows"),
        (HEADER + "  \n", "utf-8", "has no rows"),
    ],
)
def test_what_is_no_such_table_is_refused_in_a_line(tmp_path, text, encoding, message):
    with pytest.raises(ValueError, match=f"mine.csv .*{message}") as caught:
        read(tmp_path, text, encoding)
    assert "\n" not in str(caught.value)


def test_labels_that_look_alike_are_one_class_and_told(tmp_path, caplog):
    names = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")] + ["turn on", "turn\u00a0 on"]
    rows = [f"{number}.wav,{word},{word}" for number, word in enumerate(names)]
    for number in range(len(names)):
        soundfile.write(tmp_path / f"{number}.wav", np.full(100, (number + 1) / 9), 16_000)
    found = read(tmp_path, "path,word,speaker\n" + "\n".join(rows))
    for column, remark in zip(("word", "speaker"), found.remarks, strict=True):
        assert found.rows[column].tolist() == ["café", "café", "turn on", "turn on"]
        assert remark == (
            f"{column}: spellings that look the same are taken as one: 'cafe\\u0301', 'caf\\xe9', 'turn on', "
            "'turn\\xa0 on'"
        )
    paths = [tmp_path / f"corpus.{suffix}" for suffix in ("h5", "csv", "sha256")]
    ingestion.ingest_table(tmp_path / "mine.csv", *paths, drawing=DRAWING)
    assert set(corpus.read_table(paths[1])["word"]) == {"café", "turn on"}
    assert found.remarks[0] in caplog.text


def test_labels_of_one_spelling_are_not_told(tmp_path):
    found = read(tmp_path, HEADER + f"a.wav,{unicodedata.normalize('NFD', 'café')}\n")
    assert found.rows["word"].tolist() == ["café"] and not found.remarks


def test_a_path_that_no_line_of_text_can_hold_is_named(tmp_path):
    found = read(tmp_path, HEADER + '"a\nb.wav",yes\n')
    assert found.problems == [["the path holds a line break or another control character"]]


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        (["train", "", "test", ""], "2 of 4 rows, first in row 2 (1.wav)"),
        (["", "", "", ""], "4 of 4 rows, first in row 1 (0.wav)"),
    ],
)
def test_a_split_in_only_some_rows_is_one_error(tmp_path, splits, told):
    rows = "".join(f"{row}.wav,yes,{split}\n" for row, split in enumerate(splits))
    with pytest.raises(ValueError) as caught:
        read(tmp_path, "path,word,split\n" + rows)
    assert str(caught.value) == (
        f"{tmp_path}/mine.csv has no split in {told}: give every row train, validation or test, or take the "
        "column out to have splits drawn"
    )


def test_a_row_that_is_too_short_is_named_before_its_missing_split(tmp_path):
    found = read(tmp_path, "path,word,split\na.wav,yes,train\nb.wav,yes\nc.wav,no,\n")
    assert [of_row[0].partition(" (")[0] for of_row in found.problems[1:]] == [
        "has 2 fields where the header has 3",
        "no split",
    ]
