"""Answers of aligners on disk: an alignment that is finished is kept at once, and asked for once.

A store is a folder of small text files, one an answer, named by a digest of the samples, the word and what
else the answer depends on. It is nobody's output, so that Snakemake deletes none of it, and it knows of no
shards: whoever asks for a recording that was answered gets that answer.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from convexprune import provenance

ANSWERS = "answers"  # what the aligner said
FAILURES = "failures"  # why it gave none
REQUESTS = "requests"  # what a request under way needs to go on after an interruption

logger = logging.getLogger(__name__)


class LockFile:
    """Locks among processes that end with the process that holds them, kill -9 included.

    A lock is one byte of a file (POSIX record locks: where a cluster's file system supports them, they hold
    across its machines). Threads of one process do not lock each other out.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "ab")  # noqa: SIM115  (closing it would end every lock of this process)

    def take(self, position: int, *, wait: bool) -> bool:
        """Lock one byte; without `wait`, say whether it could be had."""
        return self._lock(fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB, position)

    def release(self, position: int) -> None:
        self._lock(fcntl.LOCK_UN, position)

    def _lock(self, operation: int, position: int) -> bool:
        try:
            fcntl.lockf(self.file, operation, 1, position)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            logger.warning("%s: no locks on this file system (%s)", self.file.name, error)
        return True


class Answers:
    """The store in `folder` of the answers of one aligner, which `identity` describes.

    A change of `identity` (another service, language or model) makes all answers new.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.identity = json.dumps(identity, sort_keys=True)
        self.locks = LockFile(self.folder / "locks")

    def key(self, samples: np.ndarray, word: str) -> str:
        """The name of the answer about `word` in `samples` (int16)."""
        digest = hashlib.sha256(f"{self.identity}\n{word}\n".encode())
        digest.update(samples.astype("<i2").tobytes())
        return digest.hexdigest()

    def path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / key

    def read(self, kind: str, key: str) -> str | None:
        try:
            return self.path(kind, key).read_text("utf-8")
        except FileNotFoundError:
            return None

    def write(self, kind: str, key: str, text: str) -> None:
        write_durably(self.path(kind, key), text)

    @contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """Keep other processes from asking what is being asked here; they wait, and then find the answer."""
        position = int(key[:15], 16)
        self.locks.take(position, wait=True)
        try:
            yield
        finally:
            self.locks.release(position)


def write_durably(path: Path, text: str) -> None:
    """Write a file that is whole or absent, and on the disk when this returns."""
    with provenance.atomic(path, durable=True) as temporary:
        temporary.write_text(text, "utf-8")
