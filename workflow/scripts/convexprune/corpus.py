"""The corpus: recordings end to end in one HDF5 file, beside a table of word, speaker and split.

`samples` holds 16-bit mono audio at 16 kHz; row i of the table is `samples[offset : offset + n_samples]`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from convexprune import hdf5, provenance

SAMPLING_RATE = 16_000
CLIP_SAMPLES = 16_000  # what a model is given: one second
SPLITS = ("train", "validation", "test")
COLUMNS = ["path", "word", "speaker", "split", "offset", "n_samples"]
ITEM_COLUMNS = ["item", "start", "end", "label", "speaker", "split"]  # of a dataset: spans of the corpus
SILENCE = "_silence_"  # the word of the test archive's clips without speech
CHUNK_SAMPLES = 16_384
BUFFER_SAMPLES = 128 * CHUNK_SAMPLES  # written at once: HDF5 takes long over small pieces

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

    def add(self, path: str, word: str, speaker: str, split: str, samples: np.ndarray) -> None:
        """Append `samples` (int16, 16 kHz, any length)."""
        row = (path, word, speaker, split, self.end, len(samples))
        self.rows.append(dict(zip(COLUMNS, row, strict=True)))
        self.end += len(samples)
        self.waiting += len(samples)
        self.buffer.append(samples)
        if self.waiting >= BUFFER_SAMPLES:
            self.flush()

    def flush(self) -> None:
        """Write what was added to the file."""
        samples = np.concatenate([*self.buffer, np.zeros(0, np.int16)])
        self.buffer.clear()
        self.waiting = 0
        self.digest.update(samples.astype("<i2", copy=False).data)
        self.samples.resize((self.end,))
        self.samples[self.end - len(samples) :] = samples
        self.file.check()


@contextmanager
def write_corpus(samples_path: Path, table_path: Path, fingerprint_path: Path) -> Iterator[CorpusWriter]:
    """Write a corpus: its HDF5 file, its table, and a SHA-256 over samples and table, its fingerprint.

    The HDF5 file carries it too. The files appear only when the block ends without an error. A recording that
    was added but whose row was taken out again remains in the HDF5 file, unused.
    """
    with hdf5.create(samples_path) as file:
        writer = CorpusWriter(file)
        yield writer
        writer.flush()
        table = pd.DataFrame(writer.rows, columns=COLUMNS)
        provenance.write_csv(table_path, table)
        writer.digest.update(Path(table_path).read_bytes())
        file.attrs["fingerprint"] = writer.digest.hexdigest()
    with provenance.atomic(fingerprint_path) as temporary:
        temporary.write_text(f"{writer.digest.hexdigest()}\n")
    logger.info(
        "%d recordings of %d words by %d speakers, %.2f hours: %s",
        len(table),
        table["word"].nunique(),
        table["speaker"].replace("", None).nunique(),
        table["n_samples"].sum() / SAMPLING_RATE / 3600,
        table["split"].value_counts().to_dict(),
    )


# Reading


def read_csv(path: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
    """A CSV with every cell a string: the word "null" stays a word, the speaker 007 stays 007."""
    return pd.read_csv(path, dtype=str, na_filter=False, **options)


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a corpus: path, word, speaker, split as strings; offset, n_samples as integers."""
    return read_csv(path)[COLUMNS].astype({"offset": int, "n_samples": int})


def read_dataset(path: str | os.PathLike[str]) -> pd.DataFrame:
    """A dataset: `start` and `end` as integers, the rest as strings."""
    return read_csv(path)[ITEM_COLUMNS].astype({"start": int, "end": int})


def read_clips(path: str | os.PathLike[str], start: ArrayLike, end: ArrayLike) -> np.ndarray:
    """Clips of one second from `samples[start:end]` of a finished corpus' HDF5 file.

    `start` and `end` are one position or N of them. Returns float32 in [-1, 1), shape (N, 16000), N = 1 for a
    single position: zeros follow a shorter clip, of a longer one the first second is kept.
    """
    starts, ends = np.atleast_1d(start), np.atleast_1d(end)
    clips = np.zeros((len(starts), CLIP_SAMPLES), np.float32)
    with open_samples(path) as samples:
        if (starts < 0).any() or (starts >= ends).any() or (ends > len(samples)).any():
            raise ValueError(f"{path} does not hold the clips asked for: they belong to another corpus")
        for clip, first, last in zip(clips, starts, np.minimum(ends, starts + CLIP_SAMPLES), strict=True):
            clip[: last - first] = samples[first:last]
    clips /= 32768
    return clips


@contextmanager
def open_samples(path: str | os.PathLike[str]) -> Iterator[h5py.Dataset]:
    """The samples of a finished corpus, open for reading. ValueError if the file is damaged (`hdf5.read`)."""
    with hdf5.read(path, "samples") as file:
        yield file["samples"]


def check_samples(path: Path, fingerprint_path: Path) -> None:
    """Raise ValueError unless the HDF5 file `path` is of the corpus with that fingerprint."""
    with hdf5.read(path, "samples") as file:
        found = file.attrs.get("fingerprint")
    if found != Path(fingerprint_path).read_text().strip():
        raise ValueError(f"{path} is of another corpus than {fingerprint_path}; delete it and run again")


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
