"""Recordings of silence, written for the tests of `init`."""

import numpy as np
import soundfile


def record(folder, *names, rate=16_000, seconds=0.5, channels=1):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.zeros((round(rate * seconds), channels)), rate)


def takes(label, speaker, count):
    return [f"{label}/{speaker}_nohash_{number}.wav" for number in range(count)]
