"""Forced alignment: where in a recording of a word each of its phones lies.

An aligner gives the phones in X-SAMPA, in the inventory that MAUS uses for English, so that the phonemes
dataset means the same whichever aligner made it.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from convexprune import provenance
from convexprune.answers import ANSWERS, FAILURES, REQUESTS, Answers
from convexprune.corpus import (
    ITEM_COLUMNS,
    SAMPLING_RATE,
    SILENCE,
    open_samples,
    read_csv,
    read_dataset,
    read_table,
)
from convexprune.progress import Progress

FAILURE_COLUMNS = ["item", "word", "reason"]

# The CMU dictionary's phones as MAUS writes them. The dictionary's AH is both the vowel of "cut" and schwa.
ARPABET_TO_XSAMPA = {
    **{"AA": "Q", "AE": "{", "AH": "V", "AO": "O:", "AW": "aU", "AY": "aI", "B": "b", "CH": "tS", "D": "d"},
    **{"DH": "D", "EH": "E", "ER": "3`", "EY": "eI", "F": "f", "G": "g", "HH": "h", "IH": "I", "IY": "i:"},
    **{"JH": "dZ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "N", "OW": "oU", "OY": "OI", "P": "p"},
    **{"R": "r", "S": "s", "SH": "S", "T": "t", "TH": "T", "UH": "U", "UW": "u:", "V": "v", "W": "w"},
    **{"Y": "j", "Z": "z", "ZH": "Z"},
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segment:
    """A phone in X-SAMPA and the samples it covers, `start` to `end`, counted from the recording's start."""

    label: str
    start: int
    end: int


class AlignmentError(ValueError):
    """A recording that cannot be aligned, or whose alignment cannot be right; the message says why."""


class UnansweredError(AlignmentError):
    """A recording that a service did not align this time, and may in a later run."""


class Aligner(Protocol):
    """What aligns words. Its answers are kept as it gave them, so that reading them can be mended later.

    `identity` says what an answer depends on besides the recording and its word.
    """

    identity: dict[str, Any]

    def knows(self, word: str) -> bool:
        """Whether the aligner has a pronunciation of `word`."""

    def ask(self, samples: np.ndarray, word: str, request: Path) -> str:
        """The aligner's own account of the phones of `word` in `samples` (int16, 16 kHz).

        `request` is a file of this question alone, to remember how far it came if the process is killed.
        Raises AlignmentError if it gives none, and will give none if asked again; UnansweredError if it may.
        """

    def parse(self, answer: str, samples: np.ndarray) -> list[Segment]:
        """The phones in `answer` in order of time, without silence. Raises AlignmentError if it has none."""


class PocketsphinxAligner:
    """Aligns offline with the American English model and dictionary that pocketsphinx carries.

    The same recording gives the same phones whatever was aligned before it. An answer has a line a phone:
    its name, first frame and number of frames.
    """

    FRAME_SAMPLES = 160
    # A frame is heard through a window of 410 samples from its start: it stands for the 160 in the middle.
    FRAME_OFFSET = (410 - FRAME_SAMPLES) // 2
    # Beams this wide: with the defaults, up to a tenth of the recordings are not aligned at all.
    BEAMS = {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100}  # noqa: RUF012

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self.identity = {"aligner": "pocketsphinx", "version": metadata.version("pocketsphinx"), **self.BEAMS}
        self.decoder = Decoder(
            samprate=SAMPLING_RATE, lm=None, loglevel="FATAL", bestpath=False, **self.BEAMS
        )

    def knows(self, word: str) -> bool:
        return self.decoder.lookup_word(word.lower()) is not None

    def ask(self, samples: np.ndarray, word: str, request: Path | None = None) -> str:
        audio = samples.astype("<i2").tobytes()
        try:
            self.decoder.reinit_feat()  # forget the recordings before this one
            self.decoder.set_align_text(word.lower())
            self._decode(audio)  # finds the words,
            self.decoder.set_alignment()
            self._decode(audio)  # and now the phones in them
        except RuntimeError as error:
            raise AlignmentError(f"pocketsphinx: {error}") from error
        phones = self.decoder.get_alignment().phones()
        return "".join(f"{phone.name} {phone.start} {phone.duration}\n" for phone in phones)

    def parse(self, answer: str, samples: np.ndarray) -> list[Segment]:
        segments = []
        for line in answer.splitlines():
            phone, start, duration = line.split()
            if phone in ARPABET_TO_XSAMPA:  # the others are silence and noise
                first, last = self._position(int(start)), self._position(int(start) + int(duration))
                segments.append(Segment(ARPABET_TO_XSAMPA[phone], first, min(last, len(samples))))
        check_plausible(segments, samples)
        return segments

    def _position(self, frame: int) -> int:
        return frame * self.FRAME_SAMPLES + self.FRAME_OFFSET

    def _decode(self, audio: bytes) -> None:
        self.decoder.start_utt()
        self.decoder.process_raw(audio, full_utt=True)
        self.decoder.end_utt()


# Limits of a plausible alignment. Of words spoken by espeak-ng, whose phone times are known, they refuse nine
# in ten of those that the aligner lost and one or two in a hundred of the others.
SHORTEST = 480  # samples: three frames, the least that pocketsphinx gives a phone
MAX_SHORTEST_SHARE = 0.7
LONGEST = 8_000  # samples
MIN_CONTRAST_DB = 3.0
MIN_REST = 1_600  # samples; with less around the word there is nothing to compare it with


def check_plausible(segments: list[Segment], samples: np.ndarray) -> None:
    """Raise AlignmentError if `segments` cannot be the phones of a word in `samples`.

    An aligner forces its phones on whatever it hears. On noise, on silence and where it lost the word, it
    squeezes them into their shortest form, stretches one, or puts them where nobody speaks.
    """
    if not segments:
        raise AlignmentError("no phones found")
    lengths = np.array([segment.end - segment.start for segment in segments])
    if (lengths <= SHORTEST).mean() > MAX_SHORTEST_SHARE:
        raise AlignmentError("the phones are squeezed together")
    if lengths.max() > LONGEST:
        raise AlignmentError("a phone is longer than half a second")
    inside = np.zeros(len(samples), bool)
    for segment in segments:
        inside[segment.start : segment.end] = True
    power = samples.astype(np.float64) ** 2
    if (~inside).sum() >= MIN_REST:
        contrast = 10 ** (MIN_CONTRAST_DB / 10)
        if power[inside].mean() <= contrast * power[~inside].mean():
            raise AlignmentError("the phones are no louder than the rest of the recording")


def make_aligner(settings: dict[str, Any], service: dict[str, Any], store: Path) -> Aligner:
    """The aligner `settings["aligner"]`. `service` says how to call one that is a web service."""
    if settings["aligner"] == "pocketsphinx":
        return PocketsphinxAligner()
    if settings["aligner"] == "maus":
        from convexprune.maus import MausAligner

        return MausAligner(url=settings["url"], language=settings["language"], store=store, **service)
    raise ValueError(f"aligner '{settings['aligner']}' is neither maus nor pocketsphinx")


# One recording


def align(aligner: Aligner, answers: Answers, samples: np.ndarray, word: str) -> list[Segment]:
    """The phones of `word` in `samples`, asked of `aligner` where `answers` has no answer yet.

    What it answers is in `answers` before this returns, a refusal for good too. Raises AlignmentError.
    """
    key = answers.key(samples, word)
    with answers.claimed(key):
        if reason := answers.read(FAILURES, key):
            raise AlignmentError(reason)
        answer = answers.read(ANSWERS, key)
        if answer is None:
            try:
                answer = aligner.ask(samples, word, answers.path(REQUESTS, key))
            except UnansweredError:
                raise
            except AlignmentError as error:
                answers.write(FAILURES, key, str(error))
                raise
            answers.write(ANSWERS, key, answer)
        answers.path(REQUESTS, key).unlink(missing_ok=True)
    return aligner.parse(answer, samples)


# What this process and those forked from it align with; models are loaded once.
_aligner: Aligner
_answers: Answers


def _align_recording(task: tuple[Path, int, int, str]) -> list[Segment] | str:
    """The phones of one recording, or the reason why there are none."""
    samples_path, start, end, word = task
    with open_samples(samples_path) as all_samples:
        samples = all_samples[start:end]
    try:
        return align(_aligner, _answers, samples, word)
    except AlignmentError as error:
        return str(error)


@contextmanager
def _workers(processes: int) -> Iterator[Any]:
    """A `map` over so many processes; with one, over this one."""
    if processes == 1:
        yield map
        return
    # Forked: a spawned process would import the main module, which under Snakemake is the running script.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, fork, provenance.end_with_parent) as pool:
        yield lambda function, tasks: pool.map(function, tasks, chunksize=16)


# One shard


def read_recordings(table_path: Path, split: str) -> pd.DataFrame:
    """The rows of a corpus table that are aligned: those of `split` but `_silence_`."""
    table = read_table(table_path)
    rows = table[(table["split"] == split) & (table["word"] != SILENCE)]
    if rows.empty:
        raise ValueError(f"alignment: the corpus has no recordings in the {split} split")
    return rows


def align_shard(
    samples_path: Path,
    table_path: Path,
    *,
    settings: dict[str, Any],
    shard: int,
    shards: int,
    store: Path,
    service: dict[str, Any],
    threads: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Align every `shards`-th recording of a split, from the `shard`-th on, in `threads` processes.

    Settings: aligner, split, and for maus url and language. Answers are kept in the folder `store`, and asked
    for only where it has none; `service` is how a web service is called, see `MausAligner`.

    Returns the phones (item, start, end, label, speaker, split; positions in the corpus) and the recordings
    that could not be aligned (item, word, reason), both in the corpus' order. Raises ValueError for words
    that the aligner does not know.
    """
    global _aligner, _answers
    recordings = read_recordings(table_path, settings["split"])
    rows = recordings.iloc[shard - 1 :: shards]
    ends = rows["offset"] + rows["n_samples"]
    tasks = [(samples_path, *span) for span in zip(rows["offset"], ends, rows["word"], strict=True)]
    _aligner = make_aligner(settings, service, store)
    _answers = Answers(store, _aligner.identity)
    check_words(_aligner, recordings["word"].unique())
    with _workers(threads) as map_tasks:
        aligned = map_tasks(_align_recording, tasks)
        shown = f"align {shard} of {shards}"
        results = list(Progress(aligned, desc=shown, total=len(tasks), unit="file"))

    phones, failures = [], []
    for row, result in zip(rows.itertuples(), results, strict=True):
        if isinstance(result, str):
            failures.append((row.path, row.word, result))
            continue
        for segment in result:
            span = (row.offset + segment.start, row.offset + segment.end)
            phones.append((row.path, *span, segment.label, row.speaker, row.split))
    return pd.DataFrame(phones, columns=ITEM_COLUMNS), pd.DataFrame(failures, columns=FAILURE_COLUMNS)


def check_words(aligner: Aligner, words: Iterable[str]) -> None:
    """Raise ValueError naming every word that `aligner` does not know."""
    if unknown := sorted(word for word in words if not aligner.knows(word)):
        raise ValueError(
            f"alignment: {', '.join(unknown)}: not in the aligner's dictionary; leave these words out of the "
            "corpus, or the phonemes out of the datasets"
        )


# All shards


def merge_shards(
    phone_paths: Iterable[Path],
    failure_paths: Iterable[Path],
    table_path: Path,
    *,
    split: str,
    max_failed_share: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Phones and failures of all shards in the corpus' order, in whichever order the shards come.

    Raises ValueError if the shards do not hold each recording of the split exactly once, and if more than
    `max_failed_share` of them failed.
    """
    recordings = read_recordings(table_path, split)
    order = pd.Series(range(len(recordings)), recordings["path"])
    shards = [read_dataset(path) for path in phone_paths]
    failures = pd.concat([read_csv(path) for path in failure_paths])
    found = pd.concat([*(phones["item"].drop_duplicates() for phones in shards), failures["item"]])
    if sorted(found) != sorted(recordings["path"]):
        raise ValueError(
            "alignment: the shards are those of another corpus; delete alignment/shards, run again"
        )
    report_failures(failures, len(recordings), max_failed_share)
    # Stable: the phones of a recording are all in one shard, in order of time.
    return tuple(
        table.sort_values("item", key=lambda item: item.map(order), kind="stable", ignore_index=True)
        for table in (pd.concat(shards), failures)
    )


def report_failures(failures: pd.DataFrame, total: int, max_failed_share: float) -> None:
    """Log how many recordings failed and why; raise ValueError if the share is above `max_failed_share`."""
    reasons = Counter(failures["reason"]).most_common()
    summary = f"{len(failures)} of {total} recordings were not aligned" + "".join(
        f"; {count}: {reason}" for reason, count in reasons
    )
    logger.info(summary)
    for failure in failures.itertuples():
        logger.info("not aligned: %s (%s): %s", failure.item, failure.word, failure.reason)
    if len(failures) > max_failed_share * total:
        raise ValueError(
            f"alignment: {summary}. That is more than max_failed_share = {max_failed_share}: check the "
            f"recordings, such as {failures['item'].iloc[0]}, raise it, or have them tried again "
            "(see workflow/README.md)"
        )
