"""Forced alignment offline, with the American English model in pocketsphinx."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np

from convexprune.alignment.aligner import AlignmentError, Segment
from convexprune.data.corpus import SAMPLING_RATE

# The CMU dictionary's phones with their MAUS names in American English (eng-US): in its TextGrids "no" has @U
# and "red" R. MAUS has more phones: AH is both the vowel of "cut" (V) and schwa (@), T is also the flap of
# "water" (4), and AH with the L, M or N after it may be one phone (l=, m=, n=).
ARPABET_TO_XSAMPA = {
    **{"AA": "Q", "AE": "{", "AH": "V", "AO": "O:", "AW": "aU", "AY": "aI", "B": "b", "CH": "tS", "D": "d"},
    **{"DH": "D", "EH": "E", "ER": "3`", "EY": "eI", "F": "f", "G": "g", "HH": "h", "IH": "I", "IY": "i:"},
    **{"JH": "dZ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "N", "OW": "@U", "OY": "OI", "P": "p"},
    **{"R": "R", "S": "s", "SH": "S", "T": "t", "TH": "T", "UH": "U", "UW": "u:", "V": "v", "W": "w"},
    **{"Y": "j", "Z": "z", "ZH": "Z"},
}


MISSING = (
    "the aligner pocketsphinx is not installed: run `pip install pocketsphinx` (with a C compiler, unless "
    "Python is 3.11 or 3.13), or set phonemes.aligner to maus, or take phonemes out of datasets"
)


class PocketsphinxAligner:
    """Aligns offline with the American English model and dictionary in pocketsphinx.

    The same recording gives the same phones, whatever was aligned before it. An answer has one line for each
    phone: its name, first frame and number of frames.
    """

    FRAME_SAMPLES = 160
    # The decoder sees a frame through a window of 410 samples from its start. The frame stands for the 160 in
    # the middle of the window.
    FRAME_OFFSET = (410 - FRAME_SAMPLES) // 2
    # The beams are wide because the default ones leave up to a tenth of the recordings without an alignment.
    BEAMS = {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100}  # noqa: RUF012

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ModuleNotFoundError as error:
            raise ValueError(MISSING) from error

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


# Limits of a plausible alignment. On espeak-ng speech with known phone times, they reject 90 % of the words
# that the aligner lost and 1 to 2 % of the others.
SHORTEST = 480  # samples: three frames, the shortest phone of pocketsphinx
MAX_SHORTEST_SHARE = 0.7
LONGEST = 8_000  # samples
MIN_CONTRAST_DB = 3.0
MIN_REST = 1_600  # samples around the word; with fewer the loudness is not compared


def check_plausible(segments: list[Segment], samples: np.ndarray) -> None:
    """Raise AlignmentError if `segments` cannot be the phones of a word in `samples`.

    An aligner places its phones in any recording. In noise or silence, or if it lost the word, it makes the
    phones as short as it can, stretches one, or puts them where nobody speaks.
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
