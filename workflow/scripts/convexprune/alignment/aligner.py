"""Forced alignment: the place of each phone in a recording of a word.

An aligner gives the phones in X-SAMPA, with MAUS's names for American English. So the phonemes dataset means
the same whichever aligner made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Segment:
    """A phone in X-SAMPA and the samples it covers, `start` to `end`, counted from the recording's start."""

    label: str
    start: int
    end: int


class AlignmentError(ValueError):
    """A recording that cannot be aligned, or whose alignment cannot be right; the message says why."""


class UnansweredError(AlignmentError):
    """A recording that a service did not align this time, but may align in a later run."""


class Aligner(Protocol):
    """An aligner of words. Its answers are stored unchanged, so that reading them can be mended later.

    `identity` holds everything that an answer depends on besides the recording and its word.
    """

    identity: dict[str, Any]

    def knows(self, word: str) -> bool:
        """Whether the aligner has a pronunciation of `word`."""

    def ask(self, samples: np.ndarray, word: str, request: Path) -> str:
        """The phones of `word` in `samples` (int16, 16 kHz), in the aligner's own format.

        `request` is a file for this request alone; it keeps the request's progress if the process is killed.
        Raises AlignmentError if the aligner gives no answer and never will; UnansweredError if it may later.
        """

    def parse(self, answer: str, samples: np.ndarray) -> list[Segment]:
        """The phones in `answer` in order of time, without silence. Raises AlignmentError if it has none."""
