"""What every stage needs to be traceable and safe: logs, versions, fingerprints, atomic files."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any


def start_log(path: str | os.PathLike[str]) -> None:
    """Log to `path` and to stderr, and let an uncaught exception reach both.

    A cluster keeps a job's stderr, a local run its log file: both hold the same lines, but that a ValueError,
    which says in one line what to do, has its traceback in the file alone.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, mode="w")
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        level=logging.INFO,
        handlers=[file, logging.StreamHandler(sys.stderr)],
        force=True,
    )
    logging.captureWarnings(True)

    def log_exception(kind, error, trace) -> None:
        told = issubclass(kind, ValueError)
        logging.getLogger("convexprune").critical(
            "%s: %s", kind.__name__, error, exc_info=None if told else (kind, error, trace)
        )
        if told:
            traceback.print_exception(kind, error, trace, file=file.stream)

    sys.excepthook = log_exception


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on error.

    A reader therefore sees the whole file or none.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which must not exist; rename it to `path` on success."""
    final = Path(path).absolute()
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as parent:
        temporary = Path(parent) / final.name
        temporary.mkdir()
        yield temporary
        os.rename(temporary, final)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def write_csv(path: str | os.PathLike[str], table) -> None:
    """Write a pandas table without its index, atomically. Floats keep all their digits."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def fingerprint(*paths: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) over the contents of `paths`, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_sum(path: str | os.PathLike[str]) -> str | None:
    """The SHA-256 (hex) of `path` that `{path}.sha256` records; None if there is no such record."""
    record = Path(f"{path}.sha256")
    return record.read_text().split()[0].lower() if record.exists() else None


def write_sum(path: str | os.PathLike[str], sha256: str) -> None:
    """Record the SHA-256 of `path` in `{path}.sha256`, in the format of sha256sum."""
    with atomic(f"{path}.sha256") as temporary:
        temporary.write_text(f"{sha256}  {Path(path).name}\n")


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of Python, this package and `packages`, for the record of a result."""
    from convexprune import __version__

    found = {"python": sys.version.split()[0], "convexprune": __version__}
    return found | {package: metadata.version(package) for package in packages}
