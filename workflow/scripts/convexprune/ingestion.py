"""Ingestion: recordings from the two archives of Speech Commands, or from the user's table, into a corpus."""

from __future__ import annotations

import io
import logging
import math
import re
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from scipy.signal import resample_poly

from convexprune.archives import check_sum, read_members
from convexprune.corpus import SAMPLING_RATE, SILENCE, CorpusWriter, write_corpus
from convexprune.recordings import find_file, find_problems, read_user_table

PCM = 1  # the encoding of plain samples in a WAV header
RATES = range(1_000, 768_001)  # Hz; resampling from what is far from these takes endless memory

logger = logging.getLogger(__name__)


def decode_audio(file: str | Path | io.BytesIO) -> np.ndarray:
    """Samples of an audio file as int16 at 16 kHz, channels averaged; 16-bit mono at 16 kHz unchanged.

    Raises ValueError, without the file's name, if it cannot be decoded or holds no sound.
    """
    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not a readable audio file ({error.error_string})") from error
    if not len(samples):
        raise ValueError("holds no samples")
    if rate not in RATES:
        raise ValueError(f"claims {rate} samples a second")
    if not np.isfinite(samples).all():
        raise ValueError("holds samples that are not finite numbers")
    mono = samples.mean(axis=1)
    if rate != SAMPLING_RATE:
        common = math.gcd(rate, SAMPLING_RATE)
        mono = resample_poly(mono, SAMPLING_RATE // common, rate // common)
    return np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)


# The two archives of Speech Commands v0.02


LISTS = ("validation_list.txt", "testing_list.txt")


def parse_name(name: str) -> tuple[str, str]:
    """Word and speaker of an archive's `word/speaker_nohash_n.wav`.

    In `_unknown_` the word comes first in the file name, which in the original test archive may end in
    `.wav.wav`; in `_silence_` there is no speaker.
    """
    folder, _, file = name.rpartition("/")
    if folder == SILENCE:
        return SILENCE, ""
    pattern = r"(?P<speaker>[0-9a-f]+)_nohash_\d+\.wav(\.wav)?"
    if folder == "_unknown_":
        pattern = rf"(?P<word>[^_]+)_{pattern}"
    match = re.fullmatch(pattern, file)
    if not match or not folder or "/" in folder or not name.isprintable():
        raise ValueError("is not named word/speaker_nohash_n.wav (or _unknown_/word_speaker_nohash_n.wav)")
    return match.groupdict().get("word", folder), match["speaker"]


def identify(name: str) -> tuple[str, str, str]:
    """Word, speaker and the rest of the name of a recording: alike wherever in the archives it is."""
    word, speaker = parse_name(name)
    file = name.rpartition("/")[2]
    return word, speaker, file.partition("_nohash_")[2].partition(".")[0] if speaker else file


def read_wav(content: bytes) -> tuple[np.ndarray, str | None]:
    """Samples of a WAV file as `decode_audio` gives them, and a remark if it is not 16-bit mono at 16 kHz.

    Raises ValueError, without the file's name, where the header contradicts itself or the content: libsndfile
    would read what is left of a truncated recording without a word.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError("is not a WAV file")
    riff_size, position, form = struct.unpack("<I", content[4:8])[0], 12, None
    while position + 8 <= len(content):
        kind, size = struct.unpack("<4sI", content[position : position + 8])
        position += 8
        if position + size > len(content):
            raise ValueError(f"is cut: its header promises {size} bytes, {len(content) - position} are there")
        if kind == b"fmt " and size >= 16:
            form = struct.unpack("<HHIIHH", content[position : position + 16])
        elif kind == b"data" and form:
            break
        position += size + size % 2
    else:
        raise ValueError("is not a WAV file with a format and samples")
    encoding, channels, rate, byte_rate, frame, bits = form
    if encoding == PCM and not (frame == channels * bits // 8 > 0 and byte_rate == rate * frame):
        raise ValueError(
            f"has a header that contradicts itself: {channels} channels of {bits} bits in {frame} bytes, "
            f"{rate} times a second in {byte_rate} bytes"
        )
    if (encoding, channels, rate, bits) != (PCM, 1, SAMPLING_RATE, 16):
        return decode_audio(io.BytesIO(content)), f"{rate} Hz, {channels} channels, {bits} bits: converted"
    if size < 2:
        raise ValueError("holds no samples")
    fits = riff_size in (len(content) - 8, position + size - 8)
    remark = None if fits else f"its header says {riff_size + 8} bytes, it has {len(content)}: read as it is"
    return np.frombuffer(content, "<i2", size // 2, position).astype(np.int16, copy=False), remark


def ingest_archives(
    train: Path,
    test: Path,
    samples_path: Path,
    table_path: Path,
    fingerprint_path: Path,
    *,
    train_sum: str | None = None,
    test_sum: str | None = None,
) -> None:
    """Read the two archives of Speech Commands v0.02, each in one pass, into a corpus.

    Validation: the files that `validation_list.txt` names. Train: the files of the same archive that neither
    it nor `testing_list.txt` names. Test: the test archive, `_silence_` included. `_background_noise_` is
    left out. The lists may stand anywhere in the archive. `train_sum` and `test_sum`, where they are known,
    are the SHA-256 that the archives must have. A file in both lists is for validation, and one of
    the test archive that the lists leave in the other is for test only; both are told in the log.

    Raises ValueError for an archive that is damaged, not the one that was downloaded, or not to be trusted
    (archives.read_members), at once; for bad recordings in one report that names all of them; and for lists
    that are missing or do not fit the recordings.
    """
    with write_corpus(samples_path, table_path, fingerprint_path) as writer:
        lists, bad = add_archive(writer, train, "train", train_sum)
        rows, writer.rows = writer.rows, []
        bad += add_archive(writer, test, "test", test_sum)[1]
        if bad:
            raise ValueError(f"{len(bad)} recordings are bad, so there is no corpus:\n" + "\n".join(bad))
        if not writer.rows:
            raise ValueError(f"{test} holds no recordings; is it the test archive?")
        tested = {identify(row["path"]) for row in writer.rows}
        rows = split_by_lists(rows, lists, train)
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
                ", ".join(doubled),
            )
        writer.rows = kept + writer.rows


def add_archive(
    writer: CorpusWriter, archive: Path, split: str, sha256: str | None
) -> tuple[dict[str, set[str]], list[str]]:
    """Add the recordings of an archive; return its lists of names, and what is wrong with bad recordings."""
    check_sum(archive, sha256)
    lists, bad = {}, []
    for name, content in read_members(archive):
        if name in LISTS:
            lists[name] = set(content.decode("utf-8", "replace").split())
        elif name.endswith(".wav") and not name.startswith("_background_noise_/"):
            try:
                word, speaker = parse_name(name)
                samples, remark = read_wav(content)
            except ValueError as error:
                bad.append(f"  {archive}: {name!r} {error}")
                continue
            if remark:
                logger.warning("%s: %r: %s", archive, name, remark)
            writer.add(name, word, speaker, split, samples)
    if repeated := repeated_paths(writer.rows):
        raise ValueError(f"{archive}: {len(repeated)} recordings come twice, such as {repeated[0]}")
    return lists, bad


def split_by_lists(
    rows: list[dict[str, Any]], lists: dict[str, set[str]], archive: Path
) -> list[dict[str, Any]]:
    """The rows of the train/validation archive with their split, those in `testing_list.txt` taken out."""
    recorded = {row["path"] for row in rows}
    for name in LISTS:
        if name not in lists:
            raise ValueError(f"{archive} has no {name}; is it the train and validation archive?")
        if missing := sorted(lists[name] - recorded):
            raise ValueError(
                f"{archive}: {name} names {len(missing)} files that are not there, such as {missing[0]}"
            )
    validation, testing = (lists[name] for name in LISTS)
    if both := validation & testing:
        logger.warning("%d files are in both lists; they are used for validation", len(both))
    left_out = testing - validation
    return [
        row | {"split": "validation" if row["path"] in validation else "train"}
        for row in rows
        if row["path"] not in left_out
    ]


def repeated_paths(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The paths that more than one row has, sorted."""
    counts = Counter(row["path"] for row in rows)
    return sorted(path for path, count in counts.items() if count > 1)


# The user's own recordings


def ingest_table(
    csv_path: Path,
    samples_path: Path,
    table_path: Path,
    fingerprint_path: Path,
    *,
    seed: int,
    validation_share: float,
    test_share: float,
) -> None:
    """Read the recordings that a CSV lists (`path, word`, perhaps `speaker` and `split`) into a corpus.

    Paths are absolute or relative to the CSV's folder. Without a `speaker` column the speakers are unknown
    (empty), without a `split` column the splits are drawn by `seed` (draw_splits). Raises one ValueError that
    names every bad row.
    """
    table = read_user_table(csv_path)
    folder = Path(csv_path).parent
    problems = find_problems(table, folder)
    if "speaker" not in table:
        table["speaker"] = ""
    if "split" not in table:
        table["split"] = draw_splits(table["word"], validation_share, test_share, seed)
    with write_corpus(samples_path, table_path, fingerprint_path) as writer:
        for row, row_problems in zip(table.itertuples(), problems, strict=True):
            try:
                samples = decode_audio(find_file(folder, row.path))
                writer.add(row.path, row.word, row.speaker, row.split, samples)
            except ValueError as error:
                row_problems.append(str(error))
        bad = [
            f"  row {number} ({path}): {'; '.join(row_problems)}"
            for number, (path, row_problems) in enumerate(zip(table["path"], problems, strict=True), start=1)
            if row_problems
        ]
        if bad:
            raise ValueError(f"{csv_path}: {len(bad)} of {len(table)} rows are bad\n" + "\n".join(bad))


def draw_splits(words: pd.Series, validation_share: float, test_share: float, seed: int) -> list[str]:
    """Draw a split for each recording: every word is spread over the splits in proportion.

    The recordings stand in line by word, in random order within a word, and every one in `1 / test_share` of
    them is taken for the test split; then likewise for validation from the rest. So the shares hold overall
    and, give or take one recording, for each word, however rare. Speakers may be in several splits.
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
