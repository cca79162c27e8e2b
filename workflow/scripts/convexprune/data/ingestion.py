"""Ingestion: recordings from the archives of Speech Commands, or from the user's table, into a corpus."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convexprune.data import audio
from convexprune.data.archives import check_sum, read_members
from convexprune.data.corpus import COLUMNS, CorpusWriter, write_corpus
from convexprune.data.recordings import find_file, read_user_table
from convexprune.data.splits import Drawing, draw
from convexprune.jobs.messages import indented, named, tell

logger = logging.getLogger(__name__)


# The archives of Speech Commands v0.02


LISTS = ("validation_list.txt", "testing_list.txt")


def parse_name(name: str) -> tuple[str, str]:
    """Word, in composed Unicode (NFC), and speaker of an archive's `word/speaker_nohash_n.wav`.

    In `_unknown_` the word comes first in the file name, and in the original test archive the name may end
    in `.wav.wav`. In `_silence_` both are empty.
    """
    folder, _, file = name.rpartition("/")
    if folder == "_silence_":
        return "", ""
    pattern = r"(?P<speaker>[0-9a-f]+)_nohash_\d+\.wav(\.wav)?"
    if folder == "_unknown_":
        pattern = rf"(?P<word>[^_]+)_{pattern}"
    if "/" in folder:
        top = folder.partition("/")[0]
        raise ValueError(f"lies below a folder on top, {top}/ (pack what is in it, as by tar -C {top} .)")
    match = re.fullmatch(pattern, file)
    if not match or not folder or not name.isprintable():
        raise ValueError("is not named word/speaker_nohash_n.wav (or _unknown_/word_speaker_nohash_n.wav)")
    return unicodedata.normalize("NFC", match.groupdict().get("word", folder)), match["speaker"]


def identify(name: str) -> tuple[str, str, str]:
    """Word, speaker and the rest of a recording's name: the same in both archives and in every folder."""
    word, speaker = parse_name(name)
    file = name.rpartition("/")[2]
    return word, speaker, file.partition("_nohash_")[2].partition(".")[0] if speaker else file


def ingest_archives(
    train: Path,
    test: Path | None,
    samples_path: Path,
    table_path: Path,
    fingerprint_path: Path,
    *,
    train_sum: str | None = None,
    test_sum: str | None = None,
) -> None:
    """Read the archives of Speech Commands v0.02, each in one pass, into a corpus.

    Validation: the files that `validation_list.txt` names. Train: the files of the same archive that neither
    it nor `testing_list.txt` names. Test: the test archive, `_silence_` included; if it is None, the files
    that `testing_list.txt` names, the standard test split. `_background_noise_` is left out. The lists may
    come at any place in the archive. `train_sum` and `test_sum` are the SHA-256 that the archives must have,
    if known. A file in both lists goes to validation or, with the standard test split, to test. A recording
    that the lists leave in train or validation, but that the test archive holds too, is for test only. All
    of these are logged.

    Raises ValueError at once if an archive is damaged, is not the one that was downloaded, or is not to be
    trusted (archives.read_members); one ValueError for all bad recordings; and one for lists that are missing
    or do not fit the recordings.
    """
    with write_corpus(samples_path, table_path, fingerprint_path) as writer:
        lists, bad = add_archive(writer, train, "train", train_sum)
        rows, writer.rows = writer.rows, []
        bad_tests = add_archive(writer, test, "test", test_sum)[1] if test else []
        if n_bad := len(bad) + len(bad_tests):
            lines = [f"{train}: {line}" for line in tell(bad)] + [
                f"{test}: {line}" for line in tell(bad_tests)
            ]
            raise ValueError(f"{n_bad} recordings are bad, so there is no corpus:{indented(lines)}")
        if test and not writer.rows:
            raise ValueError(f"{test} holds no recordings; is it the test archive?")
        rows = split_by_lists(rows, lists, train, standard=test is None)
        if test:
            rows = leave_out_tested(rows, writer.rows, train, test) + writer.rows
        writer.rows = rows
        log_remarks(writer.rows)


def leave_out_tested(
    rows: list[dict[str, Any]], tests: list[dict[str, Any]], train: Path, test: Path
) -> list[dict[str, Any]]:
    """The `rows` of the main archive whose recordings are not among the `tests` of the test archive."""
    tested = {identify(row["path"]) for row in tests}
    kept: list[dict[str, Any]] = []
    doubled: list[str] = []
    for row in rows:
        if identify(row["path"]) in tested:
            doubled.append(row["path"])
        else:
            kept.append(row)
    if doubled:
        logger.warning(
            "%d recordings of %s are in %s too, not in testing_list.txt; they are for test only: %s",
            len(doubled),
            test,
            train,
            named(doubled),
        )
    return kept


def add_archive(
    writer: CorpusWriter, archive: Path, split: str, sha256: str | None
) -> tuple[dict[str, set[str]], list[tuple[str, list[str]]]]:
    """Add the recordings of an archive; return its lists of names, and its bad recordings with reasons."""
    check_sum(archive, sha256)
    lists: dict[str, set[str]] = {}
    bad: list[tuple[str, list[str]]] = []
    for name, content in read_members(archive):
        if name in LISTS:
            lists[name] = set(content.decode("utf-8", "replace").split())
        elif name.endswith(".wav") and not name.startswith("_background_noise_/"):
            try:
                word, speaker = parse_name(name)
                sound = audio.read(content)
            except ValueError as error:
                bad.append((repr(name), [str(error)]))
                continue
            writer.add(name, word, speaker, split, sound.convert(), sound.remarks)
    if other := [row["path"] for row in writer.rows if not unicodedata.is_normalized("NFC", row["path"])]:
        logger.warning(
            "%s: %d names are in decomposed Unicode, such as %a: their words are composed",
            archive,
            len(other),
            other[0],
        )
    if repeated := repeated_paths(writer.rows):
        raise ValueError(f"{archive}: {len(repeated)} recordings come twice, such as {repeated[0]}")
    return lists, bad


def split_by_lists(
    rows: list[dict[str, Any]], lists: dict[str, set[str]], archive: Path, *, standard: bool = False
) -> list[dict[str, Any]]:
    """The rows of the main archive with their split: `standard` with the test split, else without it."""
    recorded = {row["path"] for row in rows}
    for name in LISTS:
        if name not in lists:
            raise ValueError(f"{archive} has no {name}; is it the train and validation archive?")
        if missing := sorted(lists[name] - recorded):
            raise ValueError(
                f"{archive}: {name} names {len(missing)} files that are not there, such as {missing[0]}"
            )
    validation, testing = (lists[name] for name in LISTS)
    if standard and not testing:
        raise ValueError(f"{archive}: testing_list.txt names no files, so there is no test split")
    # The standard test split is compared with others' results, so none of its files may be missing.
    order = ("validation", "test") if standard else ("test", "validation")
    if both := validation & testing:
        logger.warning("%d files are in both lists; they are used for %s", len(both), order[-1])
    named_by = {"validation": validation, "test": testing}
    splits = {path: split for split in order for path in named_by[split]}  # of a path in both, the last one
    rows = [row | {"split": splits.get(row["path"], "train")} for row in rows]
    return rows if standard else [row for row in rows if row["split"] != "test"]


def log_remarks(rows: list[dict[str, Any]]) -> None:
    """Log what is odd about recordings that are used all the same."""
    for kind, line in audio.describe((row["path"], row["remarks"]) for row in rows).items():
        logger.log(logging.INFO if kind == "converted" else logging.WARNING, "%s", line)


def repeated_paths(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The paths that occur in more than one row, sorted."""
    counts = Counter(row["path"] for row in rows)
    return sorted(path for path, count in counts.items() if count > 1)


# The user's own recordings


def ingest_table(
    csv_path: Path,
    samples_path: Path,
    table_path: Path,
    fingerprint_path: Path,
    *,
    drawing: Drawing | None,
) -> None:
    """Read the recordings that a CSV lists (`path`, labels, perhaps `speaker` and `split`) into a corpus.

    Paths are absolute or relative to the CSV's folder. Without a `speaker` column the speakers are unknown
    (empty). With a `drawing` the splits are drawn; without one, the table has them. Raises one ValueError
    that lists the bad rows.
    """
    drawn_from = [*drawing.labels, *([drawing.group] if drawing.group else [])] if drawing else ["split"]
    listed = read_user_table(csv_path, ["path", *drawn_from])
    table, problems, folder = listed.rows, listed.problems, Path(csv_path).parent
    for remark in listed.remarks:
        logger.warning(remark)
    if drawing:
        table["split"] = draw(table, drawing)
    for column in ("word", "speaker"):
        if column not in table:
            table[column] = ""
    further = [name for name in table if name not in COLUMNS]
    with write_corpus(samples_path, table_path, fingerprint_path) as writer:
        for row, row_problems in zip(table.itertuples(), problems, strict=True):
            try:
                sound = audio.read_file(find_file(folder, row.path))
                labels = {name: table.at[row.Index, name] for name in further}
                writer.add(
                    *(row.path, row.word, row.speaker, row.split), sound.convert(), sound.remarks, labels
                )
            except ValueError as error:
                row_problems.append(str(error))
        if bad := listed.list_bad():
            raise ValueError(f"{csv_path}: {len(bad)} of {len(table)} rows are bad{indented(tell(bad))}")
        log_remarks(writer.rows)
