"""Words that espeak-ng spoke, with the times at which it says so, and what aligns them."""

import ctypes
import multiprocessing

import numpy as np
import pytest
from convexprune.alignment.pocketsphinx import PocketsphinxAligner
from convexprune.data import synthesis
from scipy.signal import resample_poly

VARIANTS = ["m1", "f2", "Reed", "linda", "klatt4", "max"]
WORDS = ["yes", "left", "stop", "seven", "marvin", "follow"]


class Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


class TimedEspeak(synthesis.Espeak):
    """espeak-ng that remembers where each phone of a word begins, in samples at 16 kHz."""

    def receive(self, wave, count, events):
        phoneme, end = 7, 0
        event = ctypes.cast(events, ctypes.POINTER(Event))
        index = 0
        while event[index].type != end:
            if event[index].type == phoneme and not event[index].string.startswith(b"_"):  # not a pause
                self.starts.append(event[index].sample * 320 / 441)
            index += 1
        return super().receive(wave, count, events)

    def time(self, word):
        self.starts = []
        spoken = resample_poly(self.say(word, pitch=50, rate=150).astype(float), 320, 441)
        return spoken, self.starts


def speak(variant):
    """[(word, clip, start of each phone)] in one voice: each word after 0.3 s, in noise at -60 dB."""
    espeak = TimedEspeak(f"en-us+{variant}", seed=1)
    rng = np.random.default_rng(0)
    result = []
    for word in WORDS:
        spoken, starts = espeak.time(word)
        clip = rng.normal(0, 30, 16_000)
        clip[4_800 : 4_800 + len(spoken)] += spoken[:11_200]
        result.append((word, clip.clip(-32768, 32767).astype(np.int16), [4_800 + start for start in starts]))
    return result


@pytest.fixture(scope="session")
def spoken():
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return [item for items in pool.map(speak, VARIANTS, chunksize=1) for item in items]


@pytest.fixture(scope="session")
def pocketsphinx():
    return PocketsphinxAligner()
