"""Reading tar.gz archives as a stream, in memory: no entry becomes a file, so none can reach outside.

This module reads the headers itself, without `tarfile`'s reader. Before Python 3.11.10 that reader always
ignores a damaged pax header, so an entry gets a wrong name, and its time grows with the square of a pax
header's length. It also lists the parts of a sparse file, as many as the file claims, before anybody can
refuse the file, so it would need a counting reader around it.
"""

from __future__ import annotations

import gzip
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from convexprune.data import downloaded
from convexprune.jobs import provenance

# Bytes of an entry; a recording of one second has 32 KB, the longest background noise 3 MB.
LARGEST = 16 << 20
LONGEST_NAME = 1 << 16  # bytes of an entry that only gives the name of the next one
BLOCK = tarfile.BLOCKSIZE
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
EXTENDED = (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE)
KINDS = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.GNUTYPE_LONGLINK: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


def check_sum(path: Path, expected: str | None = None) -> None:
    """Raise ValueError if the SHA-256 of `path` is not `expected` or, if None, the one recorded beside it."""
    if expected and (found := provenance.fingerprint(path)) != expected.lower():
        raise ValueError(f"{path}: its SHA-256 is {found}, not {expected.lower()} as the config says")
    recorded = None if expected else downloaded.read_sum(path)
    if recorded and (found := provenance.fingerprint(path)) != recorded:
        raise ValueError(
            f"{path}: its SHA-256 is {found}, not {recorded} as {path}.sha256 says since it was downloaded; "
            "delete the archive to download it again, or both to accept another one"
        )


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name (without a leading `./`) and content of every plain file in a tar.gz, in one pass.

    Folders and hidden files (the `._name` that a Mac adds) are left out. Raises ValueError that names the
    archive if it is damaged or cut short. Raises one that names the entry if no archive of recordings needs
    it: an absolute path, `..`, a link, a device, more than LARGEST bytes (a name: LONGEST_NAME).
    """
    try:
        with gzip.open(path) as stream:
            for entry, content in read_entries(stream):
                name = posixpath.normpath(entry.name)
                if reason := why_refused(entry):
                    raise ValueError(
                        f"{path}: its entry {entry.name!r} {reason}; this archive is not to be trusted, "
                        "nothing of it was used"
                    )
                if entry.type in FILES and not posixpath.basename(name).startswith("."):
                    yield name, content
            # Read to the end, where gzip compares its check sum. After the tar only padding may follow.
            if len(stream.read(LARGEST)) == LARGEST:
                raise ValueError(f"{path}: {LARGEST} bytes and more follow the end of the archive")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is not a complete tar.gz archive ({error}); delete it and its .sha256, and make or "
            "download it again"
        ) from error


def read_entries(stream: BinaryIO | gzip.GzipFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Every entry of an unpacked tar with its content and its full name (GNU and pax long names).

    Entries that are no plain files, or are too large, have empty content. Reading ends at the first entry
    that is too large.
    """
    replaced: dict[str, str] = {}
    while any(header := read_exactly(stream, BLOCK)):
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        entry.name = replaced.get("path", entry.name)
        entry.size = parse_integer(replaced.get("size", entry.size))
        if not 0 <= entry.size <= most(entry):
            yield entry, b""
            return
        extended = entry.type in EXTENDED
        content = b""
        if extended or entry.type in FILES:
            content = read_exactly(stream, entry.size)
            read_exactly(stream, -entry.size % BLOCK)
        if entry.type == tarfile.GNUTYPE_LONGNAME:
            replaced["path"] = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif entry.type == tarfile.XHDTYPE:
            replaced |= parse_pax(content)
        elif not extended:
            replaced = {}
            yield entry, content


def most(entry: tarfile.TarInfo) -> int:
    """The most bytes that an entry may have."""
    return LONGEST_NAME if entry.type in EXTENDED else LARGEST


def why_refused(entry: tarfile.TarInfo) -> str | None:
    """What is wrong with an entry's header, if anything; its content plays no part."""
    if not 0 <= entry.size <= most(entry):
        return f"claims {entry.size} bytes, more than {most(entry)}"
    if entry.name.startswith("/"):
        return "has an absolute path"
    if ".." in entry.name.split("/"):
        return "leads outside by '..'"
    if entry.type not in (*FILES, tarfile.DIRTYPE):
        return f"is {KINDS.get(entry.type, f'of the unknown kind {entry.type!r}')}"
    return None


def parse_pax(content: bytes) -> dict[str, str]:
    """The records `length key=value` of a pax header."""
    records = {}
    while content:
        length = parse_integer(content.partition(b" ")[0].decode("ascii", "replace"))
        key, equals, value = content[:length].rstrip(b"\n").partition(b" ")[2].partition(b"=")
        if length < 5 or not equals:
            raise tarfile.ReadError("bad pax header")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        content = content[length:]
    return records


def parse_integer(value: str | int) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise tarfile.ReadError(f"{value!r} is no number") from error


def read_exactly(stream: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise tarfile.ReadError("it ends too early")
    return content
