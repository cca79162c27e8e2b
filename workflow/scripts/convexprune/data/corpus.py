"""The corpus: recordings end to end in one HDF5 file, beside a table of split, speaker and other labels.

`samples` holds 16-bit mono audio at 16 kHz; row i of the table is `samples[offset : offset + n_samples]`. A
label that a recording does not have is empty: the word of one without speech, a speaker who is unknown.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from convexprune.jobs import csv_files, files, hdf5

SAMPLING_RATE = 16_000
SPLITS = ("train", "validation", "test")
COLUMNS = ["path", "word", "speaker", "split", "offset", "n_samples", "digest", "remarks"]
ITEM_COLUMNS = ["item", "start", "end", "label", "speaker", "split"]  # of a dataset: spans of the corpus
DIGITS = 16  # of a digest: the chance that two of a million different recordings share one is 1 in 40 million
CHUNK_SAMPLES = 16_384
BUFFER_SAMPLES = 128 * CHUNK_SAMPLES  # written at once, because HDF5 is slow with small pieces

logger = logging.getLogger(__name__)


# Writing


class CorpusWriter:
    """Appends recordings to the open HDF5 file of a new corpus and collects their rows."""

    def __init__(self, file: hdf5.NewFile) -> None:
        self.file = file
        self.samples = file.create_dataset(
            "samples", (0,), "<i2", maxshape=(None,), chunks=(CHUNK_SAMPLES,), **hdf5.SUMS
        )
        self.samples.attrs["sampling_rate"] = SAMPLING_RATE
        self.digest = hashlib.sha256()
        self.rows: list[dict[str, Any]] = []
        self.end = 0
        self.waiting = 0  # samples in the buffer
        self.buffer: list[np.ndarray] = []

    def add(
        self,
        path: str,
        word: str,
        speaker: str,
        split: str,
        samples: np.ndarray,
        remarks: Mapping[str, str] = MappingProxyType({}),
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Append `samples` (int16, 16 kHz, any length) with their remarks (`audio.REMARKS`).

        `labels` are further ones by name, the same names for every recording.
        """
        digest = hashlib.sha256(samples.astype("<i2", copy=False).data)
        self.digest.update(digest.digest())
        row = (path, word, speaker, split, self.end, len(samples), digest.hexdigest()[:DIGITS], remarks)
        self.rows.append(dict(zip(COLUMNS, row, strict=True)) | dict(labels))
        self.end += len(samples)
        self.waiting += len(samples)
        self.buffer.append(samples)
        if self.waiting >= BUFFER_SAMPLES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered samples to the file."""
        samples = np.concatenate([*self.buffer, np.zeros(0, np.int16)])
        self.buffer.clear()
        self.waiting = 0
        self.samples.resize((self.end,))
        self.samples[self.end - len(samples) :] = samples
        self.file.check()


@contextmanager
def write_corpus(samples_path: Path, table_path: Path, fingerprint_path: Path) -> Iterator[CorpusWriter]:
    """Write a corpus: its HDF5 file, its table, and its fingerprint, a SHA-256 over samples and table.

    The HDF5 file carries the fingerprint too. The files appear only when the block ends without an error. If
    the caller removes the row of a recording again, its samples remain in the HDF5 file, unused.
    """
    with hdf5.create(samples_path) as file:
        writer = CorpusWriter(file)
        yield writer
        writer.flush()
        table = pd.DataFrame(writer.rows, columns=list(writer.rows[0]) if writer.rows else COLUMNS)
        table["remarks"] = table["remarks"].map(" ".join)
        csv_files.write(table_path, table)
        writer.digest.update(Path(table_path).read_bytes())
        file.attrs["fingerprint"] = writer.digest.hexdigest()
    with files.atomic(fingerprint_path) as temporary:
        temporary.write_text(f"{writer.digest.hexdigest()}\n", encoding="utf-8")
    logger.info(
        "%d recordings of %d words by %d speakers, %.2f hours: %s",
        len(table),
        table["word"].replace("", None).nunique(),
        table["speaker"].replace("", None).nunique(),
        table["n_samples"].sum() / SAMPLING_RATE / 3600,
        table["split"].value_counts().to_dict(),
    )
    items = table[["split", "digest"]].assign(item=table["path"], label=table["word"])
    for copies in find_copies(items):
        logger.warning("%s", copies)


def find_copies(items: pd.DataFrame) -> list[str]:
    """Sentences about `items` (item, label, split, digest) with equal samples; each names a first pair.

    Copies in several splits make a test too easy; of two different labels one is wrong; copies within a split
    and label count several times.
    """
    told = []
    for what, same, different in (
        ("one in another split", ["digest"], "split"),
        ("one with another label", ["digest"], "label"),
        ("another one of their split and label", ["digest", "split", "label"], "item"),
    ):
        found = items[items.groupby(same, sort=False)[different].transform("nunique") > 1]
        if found.empty:
            continue
        _, copies = next(iter(found.groupby(same, sort=False)))
        first, second = (
            f"{row.item} ({row.split}, {row.label or 'no word'})"
            for row in copies.drop_duplicates(different).head(2).itertuples()
        )
        told.append(f"{len(found)} recordings have the samples of {what}, such as {first} and {second}")
    return told


def find_short(lengths: pd.Series, seconds: float) -> list[str]:
    """A sentence if all recordings, of `lengths` in seconds, are shorter than a tenth of a clip."""
    longest = lengths.max()
    if 10 * longest >= seconds:
        return []
    return [
        f"all {len(lengths)} recordings are shorter than a tenth of clips.seconds, {seconds:g} s (the "
        f"longest has {longest:.2f} s), so models are given padding above all: lower clips.seconds"
    ]


# Reading


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a corpus: COLUMNS, then its further labels. All are text but `offset` and `n_samples`."""
    integers = ("offset", "n_samples")
    return csv_files.read(path, integers).astype(dict.fromkeys(integers, int))


def has_label(table: pd.DataFrame) -> pd.Series:
    """Which recordings of a corpus table have a label, whichever it is."""
    names = [name for name in table if name in ("word", "speaker") or name not in COLUMNS]
    return (table[names] != "").any(axis=1)


def read_dataset(path: str | os.PathLike[str]) -> pd.DataFrame:
    """A dataset: `start` and `end` as integers, the rest as strings."""
    return csv_files.read(path)[ITEM_COLUMNS].astype({"start": int, "end": int})


def count_samples(seconds: float) -> int:
    """The samples of a clip of `seconds`."""
    return round(seconds * SAMPLING_RATE)


def measure_clips(start: np.ndarray, end: np.ndarray, seconds: float) -> np.ndarray:
    """The samples (N,) of recordings or parts of them, `start` to `end`, that clips of `seconds` hold."""
    return np.minimum(end - start, count_samples(seconds))


def read_clips(
    path: str | os.PathLike[str], start: ArrayLike, end: ArrayLike, seconds: float = 1
) -> np.ndarray:
    """Clips of `seconds` from `samples[start:end]` of a finished corpus' HDF5 file.

    `start` and `end` are one position or N of them. Returns float32 in [-1, 1), shape (N, samples), N = 1 for
    a single position. A shorter clip is padded with zeros; of a longer one the start is kept.
    """
    starts, ends = np.atleast_1d(start), np.atleast_1d(end)
    clips = np.zeros((len(starts), count_samples(seconds)), np.float32)
    with open_samples(path) as samples:
        if (starts < 0).any() or (starts >= ends).any() or (ends > len(samples)).any():
            raise ValueError(f"{path} does not hold the clips asked for: they belong to another corpus")
        for clip, first, last in zip(clips, starts, np.minimum(ends, starts + clips.shape[1]), strict=True):
            clip[: last - first] = samples[first:last]
    clips /= 32768
    return clips


@contextmanager
def open_samples(path: str | os.PathLike[str]) -> Iterator[h5py.Dataset]:
    """The samples of a finished corpus, open for reading. ValueError if the file is damaged (`hdf5.read`)."""
    with hdf5.read(path, "samples") as file:
        yield file["samples"]


@dataclass(frozen=True)
class Corpus:
    """The three files of a corpus, which lie beside each other."""

    samples: Path  # corpus.h5

    @property
    def table(self) -> Path:
        """corpus.csv, with a row for each recording."""
        return self.samples.with_suffix(".csv")

    @property
    def fingerprint(self) -> Path:
        """corpus.sha256, a small file that changes with the samples."""
        return self.samples.with_suffix(".sha256")


def open_corpus(samples: str | os.PathLike[str]) -> Corpus:
    """The corpus whose HDF5 file is `samples`. Raises ValueError if its fingerprint file does not match."""
    corpus = Corpus(Path(samples))
    with hdf5.read(corpus.samples, "samples") as file:
        found = file.attrs.get("fingerprint")
    if found != corpus.fingerprint.read_text(encoding="utf-8").strip():
        raise ValueError(f"{samples} is of another corpus than {corpus.fingerprint}; delete it and run again")
    return corpus


# Recordings


def encode_wav(samples: np.ndarray) -> bytes:
    """A WAV file of int16 samples at 16 kHz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLING_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
