"""Forced alignment: where in a recording of a word each of its phones lies.

An aligner gives the phones in X-SAMPA, in the inventory that MAUS uses for English, so that the phonemes
dataset means the same whichever aligner made it.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from convexprune.corpus import ITEM_COLUMNS, SAMPLING_RATE, SILENCE, open_samples, read_table

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


class Aligner(Protocol):
    """What aligns words: pocketsphinx here; a client of a web service fits as well."""

    def knows(self, word: str) -> bool:
        """Whether the aligner has a pronunciation of `word`."""

    def align(self, samples: np.ndarray, word: str) -> list[Segment]:
        """The phones of `word` in `samples` (int16, 16 kHz) in order of time, without silence.

        Raises AlignmentError if they cannot be found.
        """


class PocketsphinxAligner:
    """Aligns offline with the American English model and dictionary that pocketsphinx carries.

    The same recording gives the same phones whatever was aligned before it.
    """

    FRAME_SAMPLES = 160
    # A frame is heard through a window of 410 samples from its start: it stands for the 160 in the middle.
    FRAME_OFFSET = (410 - FRAME_SAMPLES) // 2

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        # Beams this wide: with the defaults, up to a tenth of the recordings are not aligned at all.
        self.decoder = Decoder(
            samprate=SAMPLING_RATE,
            lm=None,
            loglevel="FATAL",
            bestpath=False,
            beam=1e-100,
            wbeam=1e-80,
            pbeam=1e-100,
        )

    def knows(self, word: str) -> bool:
        return self.decoder.lookup_word(word.lower()) is not None

    def align(self, samples: np.ndarray, word: str) -> list[Segment]:
        audio = samples.astype("<i2").tobytes()
        try:
            self.decoder.reinit_feat()  # forget the recordings before this one
            self.decoder.set_align_text(word.lower())
            self._decode(audio)  # finds the words,
            self.decoder.set_alignment()
            self._decode(audio)  # and now the phones in them
        except RuntimeError as error:
            raise AlignmentError(f"pocketsphinx: {error}") from error
        return [
            Segment(
                ARPABET_TO_XSAMPA[phone.name],
                self._position(phone.start),
                min(self._position(phone.start + phone.duration), len(samples)),
            )
            for phone in self.decoder.get_alignment().phones()
            if phone.name in ARPABET_TO_XSAMPA  # the others are silence and noise
        ]

    def _position(self, frame: int) -> int:
        return frame * self.FRAME_SAMPLES + self.FRAME_OFFSET

    def _decode(self, audio: bytes) -> None:
        self.decoder.start_utt()
        self.decoder.process_raw(audio, full_utt=True)
        self.decoder.end_utt()


ALIGNERS = {"pocketsphinx": PocketsphinxAligner}


def make_aligner(name: str) -> Aligner:
    if name not in ALIGNERS:
        raise ValueError(f"aligner '{name}' is none of {', '.join(ALIGNERS)}")
    return ALIGNERS[name]()


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


# The aligner of a worker process; its models are loaded once.
_aligner: Aligner


def _start_worker(name: str) -> None:
    global _aligner
    _aligner = make_aligner(name)


def _align_recording(task: tuple[Path, int, int, str]) -> list[Segment] | str:
    """The phones of one recording, or the reason why there are none."""
    samples_path, start, end, word = task
    with open_samples(samples_path) as all_samples:
        samples = all_samples[start:end]
    try:
        segments = _aligner.align(samples, word)
        check_plausible(segments, samples)
    except AlignmentError as error:
        return str(error)
    return segments


def align_words(
    samples_path: Path,
    table_path: Path,
    *,
    aligner: str,
    split: str,
    max_failed_share: float,
    threads: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Align the recordings of one split of a corpus, `threads` at a time.

    Returns the phones (item, start, end, label, speaker, split; positions in the corpus) and the recordings
    that could not be aligned (item, word, reason), both in the corpus' order.

    Raises ValueError for words that the aligner does not know, and if more than `max_failed_share` of the
    recordings fail.
    """
    from tqdm import tqdm

    table = read_table(table_path)
    rows = table[(table["split"] == split) & (table["word"] != SILENCE)]
    if rows.empty:
        raise ValueError(f"alignment: the corpus has no recordings in the {split} split")
    check_words(make_aligner(aligner), rows["word"].unique())

    ends = rows["offset"] + rows["n_samples"]
    tasks = [(samples_path, *span) for span in zip(rows["offset"], ends, rows["word"], strict=True)]
    # Forked: a spawned process would import the main module, which under Snakemake is the running script.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(threads, fork, initializer=_start_worker, initargs=(aligner,)) as pool:
        aligned = pool.map(_align_recording, tasks, chunksize=16)
        results = list(tqdm(aligned, total=len(tasks), unit="file", mininterval=5))

    phones, failures = [], []
    for row, result in zip(rows.itertuples(), results, strict=True):
        if isinstance(result, str):
            failures.append((row.path, row.word, result))
            continue
        for segment in result:
            span = (row.offset + segment.start, row.offset + segment.end)
            phones.append((row.path, *span, segment.label, row.speaker, row.split))
    report_failures(failures, len(rows), max_failed_share)
    return pd.DataFrame(phones, columns=ITEM_COLUMNS), pd.DataFrame(failures, columns=FAILURE_COLUMNS)


def check_words(aligner: Aligner, words: Iterable[str]) -> None:
    """Raise ValueError naming every word that `aligner` does not know."""
    if unknown := sorted(word for word in words if not aligner.knows(word)):
        raise ValueError(
            f"alignment: {', '.join(unknown)}: not in the aligner's dictionary; leave these words out of the "
            "corpus, or the phonemes out of the datasets"
        )


def report_failures(failures: list[tuple[str, str, str]], total: int, max_failed_share: float) -> None:
    """Log how many recordings failed and why; raise ValueError if the share is above `max_failed_share`."""
    reasons = Counter(reason for _, _, reason in failures).most_common()
    summary = f"{len(failures)} of {total} recordings were not aligned" + "".join(
        f"; {count}: {reason}" for reason, count in reasons
    )
    logger.info(summary)
    if len(failures) > max_failed_share * total:
        raise ValueError(
            f"alignment: {summary}. That is more than max_failed_share = {max_failed_share}: check the "
            f"recordings, such as {failures[0][0]}, or raise it"
        )
