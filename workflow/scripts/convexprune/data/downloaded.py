"""The SHA-256 of a downloaded archive and where it came from, in two small files beside it."""

from __future__ import annotations

import os
from pathlib import Path

from convexprune.jobs.files import atomic


def read_sum(path: str | os.PathLike[str]) -> str | None:
    """The SHA-256 (hex) of `path` that `{path}.sha256` records; None if there is no such record."""
    record = Path(f"{path}.sha256")
    return record.read_text(encoding="utf-8").split()[0].lower() if record.exists() else None


def write_sum(path: str | os.PathLike[str], sha256: str) -> None:
    """Record the SHA-256 of `path` in `{path}.sha256`, in the format of sha256sum."""
    with atomic(f"{path}.sha256") as temporary:
        temporary.write_text(f"{sha256}  {Path(path).name}\n", encoding="utf-8")


def read_source(path: str | os.PathLike[str]) -> str | None:
    """Where `path` came from, as `{path}.source` records it; None if there is no such record."""
    record = Path(f"{path}.source")
    return record.read_text(encoding="utf-8").strip() if record.exists() else None


def write_source(path: str | os.PathLike[str], source: str) -> None:
    """Record in `{path}.source` where `path` came from."""
    with atomic(f"{path}.source") as temporary:
        temporary.write_text(f"{source}\n", encoding="utf-8")
