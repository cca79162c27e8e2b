"""An offline stand-in for Speech Commands: its words spoken by espeak-ng, in archives of the same layout.

A speaker is an espeak-ng voice variant with an accent, a pitch and a speaking rate. The takes of one word
differ in gain, onset and background noise, and a little in pitch and rate, because some voices repeat a word
to the last sample.
"""

from __future__ import annotations

import ctypes
import gzip
import io
import logging
import multiprocessing
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

from convexprune.data.corpus import SAMPLING_RATE, encode_wav
from convexprune.jobs import files

ESPEAK_RATE = 22_050

# The folders of the test archive; every other word lies in its `_unknown_` folder.
TEST_WORDS = frozenset({"yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"})

# Variants of espeak-ng that are not used: whispers, robots, voices that swallow or drag the words.
UNCLEAR_VARIANTS = frozenset(
    {"AnxiousAndy", "Demonic", "Marco", "UniRobot", "anikaRobot", "caleb", "whisper", "whisperf", "zac"}
)
ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
PITCHES = (35, 75)  # espeak's units; a factor of about 1.5 in fundamental frequency
CLIP_SAMPLES = SAMPLING_RATE  # of a recording: one second, as in Speech Commands
RATES = (140, 185)  # words a minute; slower speech passes one second
PITCH_STEPS, RATE_STEPS = 3, 6  # the most by which a take differs from its speaker's pitch and rate

PEAKS_DBFS = (-16.0, -3.0)
NOISE_DBFS = (-70.0, -50.0)
BACKGROUND_SECONDS = 5

README = "Synthetic speech (espeak-ng) in the layout of Speech Commands v0.02. Not recordings of people.\n"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speaker:
    """One synthetic voice. `identifier` has eight hex digits, as in Speech Commands."""

    identifier: str
    split: str
    variant: str
    accent: str
    pitch: int
    rate: int
    seed: int


@dataclass(frozen=True)
class Take:
    """One utterance of a word: 16-bit samples, shape (16000,)."""

    word: str
    speaker: Speaker
    number: int
    samples: np.ndarray

    @property
    def name(self) -> str:
        """The path in the train/validation archive."""
        return f"{self.word}/{self.speaker.identifier}_nohash_{self.number}.wav"

    @property
    def test_name(self) -> str:
        """The path in the test archive."""
        return self.name if self.word in TEST_WORDS else f"_unknown_/{self.name.replace('/', '_')}"


class Espeak:
    """The espeak-ng library with one voice.

    Its random state is global to the process and is reproducible only from the start. So make one instance in
    a fresh process, and let it say its words in a fixed order.
    """

    def __init__(self, voice: str, seed: int) -> None:
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        synchronous, phoneme_events, dont_exit = 2, 0x0001, 0x8000
        data = espeakng_loader.get_data_path().encode()
        if self.library.espeak_Initialize(synchronous, 0, data, phoneme_events | dont_exit) != ESPEAK_RATE:
            raise RuntimeError(f"espeak-ng did not start with its data in {data.decode()}")
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice}")

        callback_type = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self._callback = callback_type(self.receive)  # kept: the library holds only a pointer to it
        self.library.espeak_SetSynthCallback(self._callback)
        self._blocks: list[np.ndarray] = []

    def receive(self, wave: Any, count: int, events: int) -> int:
        """Called by the library with a block of audio and its events."""
        if wave and count:
            self._blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    def say(self, word: str, pitch: int, rate: int) -> np.ndarray:
        """Speak `word`: int16 samples at 22.05 kHz, with silence before and after."""
        rate_parameter, pitch_parameter = 1, 3
        self.library.espeak_SetParameter(rate_parameter, rate, 0)
        self.library.espeak_SetParameter(pitch_parameter, pitch, 0)
        self._blocks.clear()
        text = word.encode()
        by_character, utf8 = 1, 1
        self.library.espeak_Synth(text, len(text) + 1, 0, by_character, 0, utf8, None, None)
        return np.concatenate(self._blocks)


def variants() -> list[str]:
    """The voice variants that speak clearly, sorted."""
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return sorted({path.name for path in folder.iterdir()} - UNCLEAR_VARIANTS)


def cast_speakers(counts: dict[str, int], seed: int) -> list[Speaker]:
    """Draw `counts[split]` speakers for each split, no two of them alike.

    Every variant is used once before any is used again. So splits share no variant while there are at most as
    many speakers as variants (95); after that a variant returns with another accent.
    """
    total = sum(counts.values())
    rng = np.random.default_rng(seed)
    deck = rng.permutation(variants()).tolist()
    if total > len(deck) * len(ACCENTS):
        raise ValueError(f"speakers: {total} asked for, at most {len(deck) * len(ACCENTS)} can be told apart")
    identifiers = rng.choice(16**8, size=total, replace=False)
    splits = [split for split, count in counts.items() for _ in range(count)]
    return [
        Speaker(
            identifier=f"{identifiers[index]:08x}",
            split=split,
            variant=deck[index % len(deck)],
            accent=ACCENTS[(index + index // len(deck)) % len(ACCENTS)],
            pitch=int(rng.integers(PITCHES[0], PITCHES[1] + 1)),
            rate=int(rng.integers(RATES[0], RATES[1] + 1)),
            seed=int(rng.integers(1, 2**31)),
        )
        for index, split in enumerate(splits)
    ]


def trim(samples: np.ndarray, threshold: float = 0.01) -> np.ndarray:
    """Cut the silence at both ends: what stays below `threshold` times the peak."""
    loud = np.flatnonzero(np.abs(samples) > threshold * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def record(spoken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Place `spoken` (16 kHz, at most 16,000 samples) in a clip of one second, at a random gain and onset.

    Returns int16, shape (16000,), with faint white noise throughout.
    """
    clip = rng.normal(0.0, 10 ** (rng.uniform(*NOISE_DBFS) / 20), CLIP_SAMPLES)
    onset = rng.integers(CLIP_SAMPLES - len(spoken) + 1)
    gain = 10 ** (rng.uniform(*PEAKS_DBFS) / 20) / np.abs(spoken).max()
    clip[onset : onset + len(spoken)] += gain * spoken
    return np.round(np.clip(clip, -1, 1) * 32767).astype(np.int16)


def speak(speaker: Speaker, words: Sequence[str], takes: int) -> list[Take]:
    """All takes of one speaker. Must run in a fresh process (see Espeak)."""
    espeak = Espeak(f"{speaker.accent}+{speaker.variant}", speaker.seed)
    rng = np.random.default_rng(speaker.seed)
    result = []
    for word in words:
        for number in range(takes):
            pitch = speaker.pitch + int(rng.integers(-PITCH_STEPS, PITCH_STEPS + 1))
            rate = speaker.rate + int(rng.integers(-RATE_STEPS, RATE_STEPS + 1))
            spoken = trim(resample_poly(espeak.say(word, pitch, rate).astype(np.float64), 320, 441))
            if len(spoken) > CLIP_SAMPLES:
                raise ValueError(
                    f"words: '{word}' takes {len(spoken) / SAMPLING_RATE:.2f} s in the voice "
                    f"{speaker.accent}+{speaker.variant}; leave out words longer than one second"
                )
            result.append(Take(word, speaker, number, record(spoken, rng)))
    return result


def _speak(task: tuple[Speaker, Sequence[str], int]) -> list[Take]:
    return speak(*task)


def speak_all(
    speakers: Iterable[Speaker], words: Sequence[str], takes: int, threads: int
) -> Iterator[list[Take]]:
    """The takes of each speaker in turn. Each speaker has a fresh process; `threads` of them run at a time.

    The processes are forked. A spawned one would import the main module, which under Snakemake is the running
    script.
    """
    with multiprocessing.get_context("fork").Pool(threads, maxtasksperchild=1) as pool:
        yield from pool.imap(_speak, [(speaker, words, takes) for speaker in speakers])


@contextmanager
def write_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """A new tar.gz whose bytes depend only on its members."""
    with (
        open(path, "wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=1) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT, encoding="utf-8") as archive,
    ):
        yield archive


def add_file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file as `./name`, as in the real archives, without time or owner."""
    member = tarfile.TarInfo(f"./{name}")
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def make_noise(kind: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """White or pink noise as int16 at 16 kHz; pink noise falls by 3 dB an octave."""
    spectrum = np.fft.rfft(rng.normal(size=round(seconds * SAMPLING_RATE)))
    if kind == "pink":
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum)
    return np.round(noise / np.abs(noise).max() * 10_000).astype(np.int16)


def synthesise(
    train_path: Path,
    test_path: Path,
    *,
    words: Sequence[str],
    speakers: dict[str, int],
    takes: int,
    seed: int,
    threads: int,
) -> None:
    """Write the two archives of a synthetic Speech Commands v0.02. The same arguments give the same bytes.

    Train/validation archive: `word/speaker_nohash_n.wav` of all speakers, `validation_list.txt`,
    `testing_list.txt` and `_background_noise_`. As in the original, it holds the test speakers too, whose
    files `testing_list.txt` names. Test archive: a folder for each of the ten command words among `words`,
    the other words in `_unknown_`, and one clip for each test speaker in `_silence_`.

    `speakers` gives the number of voices for train, validation and test; no voice is in two of them.
    """
    if unsayable := [word for word in words if not re.fullmatch("[a-z]+", word)]:
        raise ValueError(f"words: {unsayable} are not words of lower-case letters a-z")
    if len(set(words)) < len(words):
        raise ValueError("words: one is given twice")
    if set(speakers) != {"train", "validation", "test"} or min(speakers.values()) < 1:
        raise ValueError(f"speakers: need at least one each for train, validation and test, got {speakers}")

    rng = np.random.default_rng(seed)
    cast = cast_speakers(speakers, seed)
    lists: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    with (
        files.atomic(train_path) as train_file,
        files.atomic(test_path) as test_file,
        write_archive(train_file) as train,
        write_archive(test_file) as test,
    ):
        add_file(train, "README.md", README.encode())
        for kind in ("pink", "white"):
            noise = make_noise(kind, BACKGROUND_SECONDS, rng)
            add_file(train, f"_background_noise_/{kind}_noise.wav", encode_wav(noise))
        for spoken in speak_all(cast, words, takes, threads):
            for take in spoken:
                content = encode_wav(take.samples)
                add_file(train, take.name, content)
                lists[take.speaker.split].append(take.name)
                if take.speaker.split == "test":
                    add_file(test, take.test_name, content)
        for number in range(speakers["test"]):
            add_file(test, f"_silence_/{number}.wav", encode_wav(make_noise("pink", 1, rng)))
        add_file(train, "validation_list.txt", "".join(f"{name}\n" for name in lists["validation"]).encode())
        add_file(train, "testing_list.txt", "".join(f"{name}\n" for name in lists["test"]).encode())
    logger.info(
        "%d speakers, %d words, %d takes: %s",
        len(cast),
        len(words),
        takes,
        ", ".join(f"{len(names)} files for {split}" for split, names in lists.items()),
    )
