"""Recordings of several labels and lengths: numbers, spoken by espeak-ng in three languages."""

import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from convexprune.data.synthesis import ESPEAK_RATE, Espeak

LANGUAGES = ("en-us", "de", "es")
VOICES = {"female": ("f1", "f2", "f4"), "male": ("m1", "m3", "m7")}
SENTENCES = {"one": "4", "count": "1 2 3 4", "number": "7 1972 38 15"}  # half a second to five


def speak(language: str, variant: str, takes: int) -> list[tuple[str, np.ndarray]]:
    """The sentences in one voice, in a process of its own. Takes differ in pitch and rate."""
    espeak = Espeak(f"{language}+{variant}", seed=1)
    rng = np.random.default_rng([*language.encode(), *variant.encode()])
    said = []
    for sentence, text in SENTENCES.items():
        for _ in range(takes):
            wave = espeak.say(text, *map(int, rng.integers((35, 140), (75, 185)))) / 32768
            said.append((sentence, 0.5 * wave + rng.normal(0, 1e-3, len(wave))))
    return said


def write(folder: Path, takes: int) -> pd.DataFrame:
    """Write the recordings, and list them in `spoken.csv` of the `folder`: path, speaker and three labels."""
    rows = []
    (folder / "spoken").mkdir()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for language in LANGUAGES:
            for voice, variants in VOICES.items():
                for variant in variants:
                    speaker = f"{language}-{variant}"
                    for number, (sentence, wave) in enumerate(pool.apply(speak, (language, variant, takes))):
                        path = f"spoken/{speaker}-{number}.wav"
                        soundfile.write(folder / path, wave, ESPEAK_RATE)
                        rows.append((path, speaker, language, voice, sentence))
    table = pd.DataFrame(rows, columns=["path", "speaker", "language", "voice", "sentence"])
    table.to_csv(folder / "spoken.csv", index=False)
    return table
