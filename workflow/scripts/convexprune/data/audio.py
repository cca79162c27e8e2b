"""The one reader of audio, for archives, tables and a first look: the samples, and what is odd about them.

A recording that cannot be right is a ValueError. One that is odd but usable gets a remark: see REMARKS.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from convexprune.data.containers import UNKNOWN, WAV, Content, find_chunks, knows_length
from convexprune.data.corpus import SAMPLING_RATE
from convexprune.jobs.messages import named

PCM = 1  # the encoding of plain samples in a WAV header
RATES = range(1_000, 768_001)  # Hz; resampling from a rate far outside takes endless memory
MOST = 2**26  # samples of all channels that a recording may have: 70 minutes of 16 kHz, 12 of 48 kHz stereo
UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's answer if a FLAC header gives no length
BLOCK = 2**16  # frames decoded at once, whatever a header claims
FULL = 32767 / 32768  # full scale, except of the codes below, which end earlier
FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128, "ULAW": 32124 / 32768, "ALAW": 32256 / 32768}
CLIPPED = 0.001  # share of samples at full scale above which a recording counts as clipped
SILENT = 0.001  # of full scale: a recording whose samples span no more counts as silent
CANCELLING = 0.1  # channels cancel if their mean keeps less than this share of unrelated channels' power
OVERLOAD = 16  # floating-point samples beyond this are not overloaded but on the scale of whole numbers

REMARKS = {
    "clipped": f"more than {100 * CLIPPED:g} % of the samples are at full scale",
    "silent": f"the samples span no more than {100 * SILENT:g} % of full scale",
    "cancelling": "the channels cancel each other: the loudest one is used",
    "rescaled": "floating-point samples on the scale of whole numbers: divided by it",
    "open-ended": "the header does not say how long the recording is: read to the end",
    "mislabelled": "the header's total does not fit the file: read as it is",
    "converted": f"not 16-bit samples of one channel at {SAMPLING_RATE} Hz: converted",
}


@dataclass(frozen=True)
class Sound:
    """A recording as it was found.

    Attributes:
        samples: (N,), one channel: int16, or float32 with full scale 1.
        rate: samples a second, in Hz.
        channels: their number in the file.
        remarks: kinds of REMARKS, with a detail of this recording.
    """

    samples: np.ndarray
    rate: int
    channels: int
    remarks: dict[str, str] = field(default_factory=dict)

    def convert(self) -> np.ndarray:
        """The samples as int16 at 16 kHz; int16 samples are returned as they are."""
        if self.samples.dtype == np.int16:
            return self.samples
        samples = self.samples
        if self.rate != SAMPLING_RATE:
            common = math.gcd(self.rate, SAMPLING_RATE)
            samples = resample_poly(samples, SAMPLING_RATE // common, self.rate // common)
        return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def describe(recordings: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """What is odd about recordings, from their names and remarks: one line for each kind of remark."""
    found: dict[str, list[str]] = {}
    for name, remarks in recordings:
        for kind, detail in remarks.items():
            found.setdefault(kind, []).append(f"{name} ({detail})" if detail else name)
    return {
        kind: f"{len(found[kind])} recordings are {kind} ({meaning}): {named(found[kind])}"
        for kind, meaning in REMARKS.items()
        if kind in found
    }


def read_file(path: Path) -> Sound:
    """The recording in a file. Raises ValueError as `read` does, and if the file cannot be read."""
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return read(b"")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return read(content, file.fileno())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def read(content: Content, file: int | None = None) -> Sound:
    """The recording in the `content` of a file. `file` is its open descriptor if it is on the disk.

    Raises ValueError, without the file's name, if the content is cut, cannot be decoded, has no samples or
    too many, or has a header that contradicts itself.
    """
    if not len(content):
        raise ValueError("holds nothing: 0 bytes")
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return _read_wav(content, file)
    remarks = {} if knows_length(content) else {"open-ended": ""}
    return _decode(content, file, remarks)


def _read_wav(content: Content, file: int | None) -> Sound:
    """The recording in a WAV file. Plain samples bypass libsndfile, which takes ten times as long."""
    form = None
    for kind, start, size in find_chunks(content, WAV):
        there = len(content) - start
        is_open = kind == WAV.data and size >= UNKNOWN and size > there
        if size > there and not is_open:
            raise ValueError(f"is cut: its header promises {size} bytes, {there} are there")
        if kind == b"fmt " and size >= 16:
            form = struct.unpack_from("<HHIIHH", content, start)
        elif kind == WAV.data and form:
            break
    else:
        raise ValueError("is not a WAV file with a format and samples")
    encoding, channels, rate, byte_rate, frame, bits = form
    if encoding == PCM and not (frame == channels * -(-bits // 8) > 0 and byte_rate == rate * frame):
        raise ValueError(
            f"has a header that contradicts itself: {channels} channels of {bits} bits in {frame} bytes, "
            f"{rate} times a second in {byte_rate} bytes"
        )
    total = 8 + struct.unpack_from("<I", content, 4)[0]
    remarks = {}
    if is_open:
        remarks["open-ended"] = ""
    elif not start + size <= total <= len(content) + 1:  # a last byte of padding may be missing
        remarks["mislabelled"] = f"its header says {total} bytes, it has {len(content)}"
    if (encoding, channels, rate, bits) != (PCM, 1, SAMPLING_RATE, 16):
        return _decode(content, file, remarks)
    samples = np.frombuffer(content, "<i2", min(size, there) // 2, start)
    samples = samples.astype(np.int16, copy=file is not None)  # `read_file` unmaps a file
    _check_size(len(samples))
    _remark_levels(remarks, samples, samples, 32767, 32768)
    return Sound(samples, rate, channels, remarks)


class _Stream(soundfile.SoundFile):
    """A file read from start to end. Seeking, as soundfile does, fails if the header's length is wrong."""

    def seekable(self) -> bool:
        return False


def _decode(content: Content, file: int | None, remarks: dict[str, str]) -> Sound:
    """The recording as libsndfile decodes it. The header's length is not trusted: no memory is set aside."""
    source = io.BytesIO(content) if file is None else file
    try:
        with _Stream(source, closefd=False) as stream:
            rate, channels, subtype = stream.samplerate, stream.channels, stream.subtype
            if rate not in RATES:
                raise ValueError(f"claims {rate} samples a second")
            values = _read_blocks(stream)
            if stream.format == "FLAC" and stream.frames == UNKNOWN_FRAMES:
                remarks["open-ended"] = ""
            elif stream.format == "FLAC" and stream.frames > len(values):
                raise ValueError(
                    f"is cut: its header promises {stream.frames} samples, {len(values)} are there"
                )
    except soundfile.LibsndfileError as error:
        raise ValueError(f"is not a readable audio file ({error.error_string})") from error
    if not np.isfinite(values).all():
        raise ValueError("holds samples that are not finite numbers")
    _rescale(values, subtype, remarks)
    mono = _mix(values, remarks)
    _remark_levels(remarks, values, mono, FULL_SCALE.get(subtype, FULL), 1)
    if (rate, channels, subtype) != (SAMPLING_RATE, 1, "PCM_16"):
        remarks["converted"] = f"{rate} Hz, {channels} channels, {subtype}"
    return Sound(mono, rate, channels, remarks)


def _read_blocks(stream: soundfile.SoundFile) -> np.ndarray:
    """All samples (N, channels), float32."""
    blocks: list[np.ndarray] = []
    n = 0
    while True:
        try:
            block = stream.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            seconds = n / stream.samplerate
            raise ValueError(
                f"is cut or damaged: it cannot be decoded beyond {seconds:.2f} s ({error.error_string})"
            ) from error
        if not len(block):
            break
        blocks.append(block)
        n += len(block)
        _check_size(n * stream.channels)
    _check_size(n)
    return np.concatenate(blocks)


def _check_size(n: int) -> None:
    """Raise ValueError if there are no samples, or more than MOST."""
    if not n:
        raise ValueError("holds no samples")
    if n > MOST:
        raise ValueError(f"is implausibly long: more than {MOST} samples; cut it into recordings of a word")


def _rescale(values: np.ndarray, subtype: str, remarks: dict[str, str]) -> None:
    """Bring floating-point samples on the scale of 16, 24 or 32 bits to -1..1, in place."""
    if subtype not in ("FLOAT", "DOUBLE"):
        return
    peak = float(np.abs(values).max())
    if peak <= 1 or (peak <= OVERLOAD and (values % 1).any()):
        return
    # Resampled audio may go a little beyond its scale.
    bits = next((bits for bits in (16, 24, 32) if peak <= 2**bits), None)
    if bits is None:
        raise ValueError(f"holds samples as large as {peak:g}: no scale of audio")
    values /= 2 ** (bits - 1)
    remarks["rescaled"] = f"samples up to {peak:g}, taken for {bits}-bit ones"


def _mix(values: np.ndarray, remarks: dict[str, str]) -> np.ndarray:
    """One channel: the mean, or the loudest if the channels cancel each other in the mean."""
    mono = values.mean(axis=1)
    if values.shape[1] > 1:
        powers = values.var(axis=0)
        if mono.var() < CANCELLING * powers.sum() / values.shape[1] ** 2:
            loudest = int(powers.argmax())
            remarks["cancelling"] = f"channel {loudest + 1} of {values.shape[1]}"
            return values[:, loudest].copy()
    return mono


def _remark_levels(
    remarks: dict[str, str], values: np.ndarray, mono: np.ndarray, full: float, scale: float
) -> None:
    """Remark clipping of `values` (full scale: `full`) and silence of `mono` (relative to `scale`)."""
    low, high = float(mono.min()), float(mono.max())
    if high - low <= SILENT * scale:
        remarks["silent"] = f"all samples between {low / scale:.4f} and {high / scale:.4f}"
    elif values is not mono or high >= full or low <= -full:
        share = np.count_nonzero((values >= full) | (values <= -full)) / values.size
        if share > CLIPPED:
            remarks["clipped"] = f"{100 * share:.1f} %"
