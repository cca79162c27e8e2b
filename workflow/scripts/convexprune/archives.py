"""Reading tar.gz archives as a stream, in memory: no entry becomes a file, so none can reach outside.

Stricter than the standard library's reader, which takes a damaged header for the end of the archive, keeps
every header in memory, and trusts the size that a header claims.
"""

from __future__ import annotations

import gzip
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from convexprune import provenance

LARGEST = (
    16 << 20
)  # bytes of an entry; a recording of one second has 32 KB, the longest background noise 3 MB
BLOCK = tarfile.BLOCKSIZE
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
KINDS = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.GNUTYPE_LONGLINK: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


def check_sum(path: Path, expected: str | None = None) -> None:
    """Raise ValueError if `path` has not the SHA-256 `expected` or, without one, that recorded beside it."""
    if expected and (found := provenance.fingerprint(path)) != expected.lower():
        raise ValueError(f"{path}: its SHA-256 is {found}, not {expected.lower()} as the config says")
    recorded = None if expected else provenance.read_sum(path)
    if recorded and (found := provenance.fingerprint(path)) != recorded:
        raise ValueError(
            f"{path}: its SHA-256 is {found}, not {recorded} as {path}.sha256 says since it was downloaded; "
            "delete the archive to download it again, or both to accept another one"
        )


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name (without a leading `./`) and content of every plain file in a tar.gz, in one pass.

    Folders and hidden files (the `._name` that a Mac adds) are left out. Raises ValueError that names the
    archive if it is damaged or cut short, and the entry if it is what no archive of recordings needs: an
    absolute path, `..`, a link, a device, more than LARGEST bytes.
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
            # To the end, where gzip compares its check sum. After a tar there is padding at most.
            if len(stream.read(LARGEST)) == LARGEST:
                raise ValueError(f"{path}: {LARGEST} bytes and more follow the end of the archive")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} is not a complete tar.gz archive ({error}); delete it and its .sha256, and make or "
            "download it again"
        ) from error


def read_entries(stream: BinaryIO | gzip.GzipFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Every entry of an unpacked tar with its content, long names (GNU and pax) put in place.

    The content of entries that are no plain files, or are too large, is empty; too large ones are the last.
    """
    replaced: dict[str, str] = {}
    while any(header := read_exactly(stream, BLOCK)):
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        entry.name = replaced.get("path", entry.name)
        entry.size = parse_integer(replaced.get("size", entry.size))
        if not 0 <= entry.size <= LARGEST:
            yield entry, b""
            return
        extended = entry.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE)
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


def why_refused(entry: tarfile.TarInfo) -> str | None:
    """What is wrong with an entry, if anything, before its content is looked at."""
    if not 0 <= entry.size <= LARGEST:
        return f"claims {entry.size} bytes, more than {LARGEST}"
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
