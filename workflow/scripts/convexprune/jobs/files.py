"""Files and folders that appear whole or not at all, and errors that name a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)  # no space left; this user's quota is used up
LITTLE_SPACE = 1 << 20  # bytes


class DiskFullError(OSError):
    """A file could not be written because the disk is full; `filename` is its final name."""


@contextmanager
def naming_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within the block, turn any library's error about a full disk into a DiskFullError naming `path`."""
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if (number := find_full_disk(error, Path(path))) is None:
            raise
        raise DiskFullError(number, "the disk is full", str(path)) from error


def find_full_disk(error: BaseException, path: Path) -> int | None:
    """The error number of a full disk, if that caused `error` while `path` was written; else None."""
    if isinstance(error, OSError) and error.errno in FULL:
        return error.errno
    for number in FULL:  # safetensors and huggingface_hub give only the text, no error number
        if os.strerror(number) in str(error):
            return number
    if isinstance(error, RuntimeError) and find_space(path) < LITTLE_SPACE:  # torch does not say why
        return errno.ENOSPC
    return find_full_disk(error.__context__, path) if error.__context__ else None


def find_space(path: Path) -> int:
    """Free bytes on the disk where `path` is, or will be."""
    path = path.absolute()
    return shutil.disk_usage(next(known for known in (path, *path.parents) if known.exists())).free


@contextmanager
def atomic(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on error.

    So a reader sees the whole file or none; if `durable`, also after a power cut. The temporary name is
    always the same, so the next try overwrites a file that a killed one left. Raises DiskFullError if the
    file does not fit.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.tmp")
    with naming_full_disk(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if durable:
                sync(temporary)
            os.replace(temporary, final)
            if durable:
                sync(final.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; delete it afterwards. One left by a kill goes first."""
    final = Path(path).absolute()
    temporary = final.with_name(f".{final.name}.tmp")
    with naming_full_disk(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which must not exist; rename it to `path` on success."""
    with scratch_folder(path) as temporary:
        yield temporary
        os.rename(temporary, path)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
