"""The length that an audio file's header gives, compared with the bytes that are there.

Decoders such as libsndfile return the rest of a cut file without a word.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

Content = bytes | mmap.mmap  # of a whole file

UNKNOWN = 0x7F000000  # programs that cannot know a 32-bit size write this or more


class Layout(NamedTuple):
    """A container of chunks: each has an identifier, its size and its content."""

    first: int  # where the first chunk begins
    head: str  # format of a chunk's identifier and size, for `struct`
    data: bytes  # identifier of the chunk with the samples
    align: int = 2  # chunks begin at multiples of this number of bytes
    inclusive: bool = False  # whether a size counts the chunk's head


WAV = Layout(12, "<4sI", b"data")
AIFF = Layout(12, ">4sI", b"SSND")
LAYOUTS = {
    (b"RIFF", b"WAVE"): WAV,
    (b"RIFX", b"WAVE"): WAV._replace(head=">4sI"),
    (b"RF64", b"WAVE"): WAV,
    (b"BW64", b"WAVE"): WAV,
    (b"FORM", b"AIFF"): AIFF,
    (b"FORM", b"AIFC"): AIFF,
    (b"FORM", b"8SVX"): AIFF._replace(data=b"BODY"),
    (b"FORM", b"16SV"): AIFF._replace(data=b"BODY"),
    (b"caff", b"desc"): Layout(8, ">4sq", b"data", align=1),
    (b"riff", b"\xa5\xd6\x28\xdb"): Layout(
        40, "<16sq", b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a"), align=8, inclusive=True
    ),
}
# MPEG audio, layer III: kbit/s (MPEG 2 and 2.5, then MPEG 1) and Hz by the fields of a frame's header.
BITRATES = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def knows_length(content: Content) -> bool:
    """Whether the header of an audio file says how long it is.

    Raises ValueError, without the file's name, if the file is shorter than that. Formats unknown here pass;
    so does FLAC, whose length only decoding shows.
    """
    try:
        if content[:4] == b"OggS":
            return _check_pages(content)
        if content[:4] in (b".snd", b"dns."):
            first, size = struct.unpack_from(">II" if content[:4] == b".snd" else "<II", content, 4)
            return _check_size(size, len(content) - first, unknown=size >= UNKNOWN)
        if content[:7] == b"NIST_1A":
            return _check_sphere(content)
        if layout := LAYOUTS.get((content[:4], content[8:12])):
            return _check_chunks(content, layout)
        if content[:3] == b"ID3" or _measure_frame(content, 0):
            return _check_frames(content)
    except struct.error as error:
        raise ValueError("is cut: it ends within its header") from error
    return True


def find_chunks(content: Content, layout: Layout) -> Iterator[tuple[bytes, int, int]]:
    """Identifier, start of the content and declared size of each chunk whose head is complete."""
    position, head = layout.first, struct.calcsize(layout.head)
    while position + head <= len(content):
        kind, size = struct.unpack_from(layout.head, content, position)
        if layout.inclusive:
            size -= head
        yield kind, position + head, size
        if size < 0:
            return
        position += head + size + -size % layout.align


def _check_chunks(content: Content, layout: Layout) -> bool:
    long_size = 0
    for kind, start, size in find_chunks(content, layout):
        if kind == b"ds64":  # in files of more than 4 GB
            long_size = struct.unpack_from("<q", content, start + 8)[0]
        is_wide = "q" in layout.head
        if long_size and size == 0xFFFFFFFF:
            size, is_wide = long_size, True
        is_data = kind == layout.data
        is_unknown = is_data and (size < 0 if is_wide else size >= UNKNOWN)
        known = _check_size(size, len(content) - start, is_unknown)
        if is_data:
            return known
    raise ValueError("is cut: it ends before its samples")


def _check_size(size: int, there: int, unknown: bool) -> bool:
    if 0 <= size <= there:
        return True
    if unknown:
        return False
    raise ValueError(f"is cut: its header promises {size} bytes, {there} are there")


def _check_sphere(content: Content) -> bool:
    """NIST's format: fields in text, then the samples. Codings other than plain samples pass."""
    header = content[: int(content[8:16])].decode("ascii", "replace")
    fields = dict(re.findall(r"^(\w+) -\w+ (\S+)", header, re.MULTILINE))
    counts = [fields.get(name, "") for name in ("sample_count", "channel_count", "sample_n_bytes")]
    if fields.get("sample_coding", "pcm") not in ("pcm", "ulaw", "alaw") or not all(map(str.isdigit, counts)):
        return True
    size = int(counts[0]) * int(counts[1]) * int(counts[2])
    return _check_size(size, len(content) - len(header), unknown=False)


def _check_pages(content: Content) -> bool:
    """Ogg: whether the last page says that it is the last. Raises ValueError if it is not whole."""
    position, flags = 0, 0
    while content[position : position + 4] == b"OggS":
        flags, n_segments = struct.unpack_from("<5xB20xB", content, position)
        segments = content[position + 27 : position + 27 + n_segments]
        position += 27 + n_segments + sum(segments)
        if position > len(content) or len(segments) < n_segments:
            raise ValueError("is cut: it ends within a page")
    return bool(flags & 4)


def _check_frames(content: Content) -> bool:
    """MP3: as many frames as the first one says; if it does not say, a whole last frame."""
    position, declared = _skip_tags(content), None
    sizes: list[int] = []
    while frame := _measure_frame(content, position):
        if not sizes:
            declared = _read_frame_count(content[position : position + frame])
        position += frame
        sizes.append(frame)
    whole = len(sizes) - (position > len(content))
    if declared is None and whole < len(sizes):
        raise ValueError("is cut: it ends within a frame")
    if declared is not None and whole - 1 < declared:
        raise ValueError(f"is cut: its header promises {declared} frames, {whole - 1} are there")
    if declared is None and max(sizes, default=0) - min(sizes, default=0) > 1:  # one byte may be padding
        raise ValueError("does not say how long it is (MP3 of variable bit rate): convert it to WAV or FLAC")
    return declared is not None


def _skip_tags(content: Content) -> int:
    """Where the frames begin: after any ID3 tags."""
    position = 0
    while content[position : position + 3] == b"ID3":
        flags, *size = struct.unpack_from("B4B", content, position + 5)
        position += 10 + sum(part << shift for part, shift in zip(size, (21, 14, 7, 0), strict=True))
        position += 10 if flags & 16 else 0
    return position


def _measure_frame(content: Content, position: int) -> int:
    """Bytes of the MP3 frame (MPEG audio, layer III) that begins at `position`; 0 if there is none."""
    if position + 4 > len(content):
        return 0
    header = struct.unpack_from(">I", content, position)[0]
    version, layer, bitrate, rate = (
        header >> shift & mask for shift, mask in ((19, 3), (17, 3), (12, 15), (10, 3))
    )
    if header >> 21 != 0x7FF or version not in RATES or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    bits = BITRATES[version == 3][bitrate] * 1000 * (144 if version == 3 else 72)
    return bits // RATES[version][rate] + (header >> 9 & 1)


def _read_frame_count(frame: bytes) -> int | None:
    """The number of frames after the first one, if the first frame of an MP3 file declares it."""
    for mark, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        found = frame.find(mark, 4, 48)
        if found > 0 and (mark == b"VBRI" or frame[found + 7] & 1):
            return int(struct.unpack_from(">I", frame, found + offset)[0])
    return None
