"""The corpus: recordings end to end in one HDF5 file, beside a table of word, speaker and split.

`samples` holds 16-bit mono audio at 16 kHz; row i of the table is `samples[offset : offset + n_samples]`.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import logging
import math
import os
import posixpath
import re
import tarfile
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from convexprune import provenance

SAMPLING_RATE = 16_000
CLIP_SAMPLES = 16_000  # what a model is given: one second
SPLITS = ("train", "validation", "test")
COLUMNS = ["path", "word", "speaker", "split", "offset", "n_samples"]
ITEM_COLUMNS = ["item", "start", "end", "label", "speaker", "split"]  # of a dataset: spans of the corpus
TABLE_COLUMNS = ["path", "word", "speaker"]  # of a user's CSV; `split` is optional
SILENCE = "_silence_"  # the word of the test archive's clips without speech
CHUNK_SAMPLES = 16_384
DOWNLOAD_WAITS = (1, 5, 30, 120)  # seconds after each failed attempt

logger = logging.getLogger(__name__)


# Writing


class CorpusWriter:
    """Appends recordings to the open HDF5 file of a new corpus and collects their rows."""

    def __init__(self, file: h5py.File) -> None:
        self.samples = file.create_dataset("samples", (0,), "<i2", maxshape=(None,), chunks=(CHUNK_SAMPLES,))
        self.samples.attrs["sampling_rate"] = SAMPLING_RATE
        self.digest = hashlib.sha256()
        self.rows: list[dict] = []

    def add(self, path: str, word: str, speaker: str, split: str, samples: np.ndarray) -> None:
        """Append `samples` (int16, 16 kHz, any length)."""
        offset = len(self.samples)
        self.samples.resize((offset + len(samples),))
        self.samples[offset:] = samples
        self.digest.update(samples.astype("<i2").tobytes())
        self.rows.append(dict(zip(COLUMNS, (path, word, speaker, split, offset, len(samples)), strict=True)))


@contextmanager
def write_corpus(samples_path: Path, table_path: Path, fingerprint_path: Path) -> Iterator[CorpusWriter]:
    """Write a corpus: its HDF5 file, its table, and a SHA-256 over the samples and the table.

    The files appear only when the block ends without an error. A recording that was added but whose row was
    taken out again remains in the HDF5 file, unused.
    """
    with provenance.atomic(samples_path) as temporary:
        with h5py.File(temporary, "w") as file:
            writer = CorpusWriter(file)
            yield writer
            writer.samples.attrs["complete"] = True
        table = pd.DataFrame(writer.rows, columns=COLUMNS)
        provenance.write_csv(table_path, table)
    writer.digest.update(Path(table_path).read_bytes())
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


def decode_audio(file: str | Path | io.BytesIO) -> np.ndarray:
    """Samples of an audio file as int16 at 16 kHz, channels averaged; 16-bit mono at 16 kHz unchanged.

    Raises ValueError, without the file's name, if it cannot be decoded or holds no sound.
    """
    import soundfile  # here: what only reads a corpus needs neither
    from scipy.signal import resample_poly

    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not a readable audio file ({error.error_string})") from error
    if not len(samples):
        raise ValueError("holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError("holds samples that are not finite numbers")
    mono = samples.mean(axis=1)
    if rate != SAMPLING_RATE:
        common = math.gcd(rate, SAMPLING_RATE)
        mono = resample_poly(mono, SAMPLING_RATE // common, rate // common)
    return np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)


# The two archives of Speech Commands v0.02


def download_archive(url: str, path: Path, sha256: str | None) -> None:
    """Download `url` to `path`, which appears when it is complete; try again where that can help.

    Raises ValueError if the server refuses or the content's SHA-256 is not `sha256`. Without a `sha256` to
    compare with, the one found is recorded in `{path}.sha256`. Raises ConnectionError when it gives up.
    """
    with provenance.atomic(path) as temporary:
        for wait in (*DOWNLOAD_WAITS, None):
            try:
                found = _download(url, temporary)
                break
            except (OSError, http.client.HTTPException) as error:
                status = getattr(error, "code", 500)
                if status < 500 and status not in (408, 429):
                    raise ValueError(f"{url}: {error}; check the corpus' url in the config") from error
                if wait is None:
                    attempts = len(DOWNLOAD_WAITS) + 1
                    raise ConnectionError(
                        f"{url}: not downloaded in {attempts} attempts ({error})"
                    ) from error
                logger.warning("%s: %s; trying again in %g s", url, error, wait)
                time.sleep(wait)
        if sha256 is None:
            Path(f"{path}.sha256").write_text(f"{found}  {Path(path).name}\n")
        elif found != sha256.lower():
            raise ValueError(f"{url}: SHA-256 is {found}, not {sha256} as the config says")
    logger.info("%s: SHA-256 %s", url, found)


def _download(url: str, path: Path) -> str:
    """Stream `url` to `path` once; return the SHA-256 of what came."""
    from tqdm import tqdm

    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60) as response, open(path, "wb") as file:
        expected = int(response.headers.get("Content-Length", 0))
        with tqdm(total=expected or None, unit="B", unit_scale=True, mininterval=5) as progress:
            while block := response.read(1 << 20):
                file.write(block)
                digest.update(block)
                progress.update(len(block))
        if expected and file.tell() != expected:
            raise ConnectionError(f"{file.tell()} of {expected} bytes came")
    return digest.hexdigest()


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in a tar.gz, in one pass. Names are without a leading `./`.

    Raises ValueError if the archive is damaged or cut short.
    """
    try:
        # gzip rather than tarfile's own "r|gz": it checks the check sum, and notices a missing end.
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                archive.members.clear()  # else tarfile keeps every header
                name = posixpath.normpath(member.name)
                if member.isfile() and not posixpath.basename(name).startswith("."):
                    yield name, archive.extractfile(member).read()
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is not a complete tar.gz archive ({error}); delete it and make or download it again"
        ) from error


def parse_name(name: str) -> tuple[str, str]:
    """Word and speaker of an archive's `word/speaker_nohash_n.wav`.

    In `_unknown_` the word comes first in the file name; in `_silence_` there is no speaker.
    """
    folder, _, file = name.rpartition("/")
    if folder == SILENCE:
        return SILENCE, ""
    pattern = r"(?P<speaker>[0-9a-f]+)_nohash_\d+\.wav"
    if folder == "_unknown_":
        pattern = rf"(?P<word>[^_]+)_{pattern}"
    match = re.fullmatch(pattern, file)
    if not match or not folder or "/" in folder:
        raise ValueError("is not named word/speaker_nohash_n.wav (or _unknown_/word_speaker_nohash_n.wav)")
    return match.groupdict().get("word", folder), match["speaker"]


def add_member(writer: CorpusWriter, archive: Path, name: str, content: bytes, split: str) -> None:
    """Add the recording `name` of `archive`; errors name both."""
    try:
        word, speaker = parse_name(name)
        writer.add(name, word, speaker, split, decode_audio(io.BytesIO(content)))
    except ValueError as error:
        raise ValueError(f"{archive}: {name} {error}") from error


def ingest_archives(
    train: Path, test: Path, samples_path: Path, table_path: Path, fingerprint_path: Path
) -> None:
    """Read the two archives of Speech Commands v0.02, each in one pass, into a corpus.

    Validation: the files that `validation_list.txt` names. Train: the files of the same archive that neither
    it nor `testing_list.txt` names. Test: the test archive, `_silence_` included. `_background_noise_` is
    left out. The lists may stand anywhere in the archive.
    """
    lists: dict[str, set[str]] = {}
    with write_corpus(samples_path, table_path, fingerprint_path) as writer:
        for name, content in read_members(train):
            if name in ("validation_list.txt", "testing_list.txt"):
                lists[name] = set(content.decode().split())
            elif name.endswith(".wav") and not name.startswith("_background_noise_/"):
                add_member(writer, train, name, content, "train")
        writer.rows = split_by_lists(writer.rows, lists, train)

        n_train = len(writer.rows)
        for name, content in read_members(test):
            if name.endswith(".wav"):
                add_member(writer, test, name, content, "test")
        if len(writer.rows) == n_train:
            raise ValueError(f"{test} holds no recordings; is it the test archive?")
        if repeated := repeated_paths(writer.rows):
            raise ValueError(
                f"{train}, {test}: {len(repeated)} recordings come twice, such as {repeated[0]}; those of "
                "the test archive must be in testing_list.txt and not in validation_list.txt"
            )


def split_by_lists(rows: list[dict], lists: dict[str, set[str]], archive: Path) -> list[dict]:
    """The rows of the train/validation archive with their split, those in `testing_list.txt` taken out."""
    recorded = {row["path"] for row in rows}
    for name in ("validation_list.txt", "testing_list.txt"):
        if name not in lists:
            raise ValueError(f"{archive} has no {name}; is it the train and validation archive?")
        if missing := sorted(lists[name] - recorded):
            raise ValueError(
                f"{archive}: {name} names {len(missing)} files that are not there, such as {missing[0]}"
            )
    validation, testing = lists["validation_list.txt"], lists["testing_list.txt"]
    if both := validation & testing:
        logger.warning("%d files are in both lists; they are used for validation", len(both))
    return [
        row | {"split": "validation" if row["path"] in validation else "train"}
        for row in rows
        if row["path"] not in testing - validation
    ]


def repeated_paths(rows: Iterable[dict]) -> list[str]:
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
    """Read the recordings that a CSV lists (`path, word, speaker`, perhaps `split`) into a corpus.

    Paths are absolute or relative to the CSV's folder. Without a `split` column the splits are drawn by
    `seed` (draw_splits). Raises one ValueError that names every bad row.
    """
    table = read_user_table(csv_path)
    folder = Path(csv_path).parent
    problems = find_problems(table, folder)
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


def read_user_table(csv_path: Path) -> pd.DataFrame:
    """The user's CSV as stripped strings: path, word, speaker and, if it is there, split."""
    try:
        table = read_csv(csv_path, skipinitialspace=True, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{csv_path} is not a CSV file in UTF-8 ({error})") from error
    table.columns = table.columns.str.strip()
    if missing := [name for name in TABLE_COLUMNS if name not in table]:
        raise ValueError(f"{csv_path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    if table.empty:
        raise ValueError(f"{csv_path} has no rows")
    wanted = [name for name in (*TABLE_COLUMNS, "split") if name in table]
    return table[wanted].apply(lambda column: column.str.strip())


def find_problems(table: pd.DataFrame, folder: Path) -> list[list[str]]:
    """What is wrong with each row of a user's table, its audio apart."""
    problems: list[list[str]] = [[] for _ in range(len(table))]
    repeated = table["path"].map(lambda path: os.path.abspath(folder / path)).duplicated()
    for row, twice, row_problems in zip(table.itertuples(), repeated, problems, strict=True):
        if not row.word:
            row_problems.append("no word")
        if not row.speaker:
            row_problems.append("no speaker")
        if "split" in table and row.split not in SPLITS:
            row_problems.append(f"split '{row.split}' is none of {', '.join(SPLITS)}")
        if twice and row.path:
            row_problems.append("the path stands in an earlier row too")
    return problems


def find_file(folder: Path, path: str) -> Path:
    """The file at `path`, taken relative to `folder`."""
    if not path:
        raise ValueError("no path")
    if not (folder / path).is_file():
        raise ValueError("no such file")
    return folder / path


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


# Reading


def read_csv(path: Path, **options) -> pd.DataFrame:
    """A CSV with every cell a string: the word "null" stays a word, the speaker 007 stays 007."""
    return pd.read_csv(path, dtype=str, na_filter=False, **options)


def read_table(path: Path) -> pd.DataFrame:
    """The table of a corpus: path, word, speaker, split as strings; offset, n_samples as integers."""
    return read_csv(path)[COLUMNS].astype({"offset": int, "n_samples": int})


def read_clips(path: Path, start: ArrayLike, end: ArrayLike) -> np.ndarray:
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
def open_samples(path: Path) -> Iterator[h5py.Dataset]:
    """The samples of a finished corpus, open for reading.

    Without HDF5's file locks, which fail on some network file systems: nobody writes to it any more.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} is damaged ({error}); delete it and run again") from error
    with file:
        if "samples" not in file or not file["samples"].attrs.get("complete", False):
            raise ValueError(f"{path} is incomplete; delete it and run again")
        yield file["samples"]
