"""Answers of aligners on disk: every finished alignment is saved at once, and requested only once.

A store is a folder of small text files, one for each answer. A file's name is a digest of the samples, the
word and all else that the answer depends on. The store is not the output of any rule, so Snakemake deletes
none of it. It does not depend on shards: any process finds the answer for a recording that was answered.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from convexprune.jobs import files, locks

ANSWERS = "answers"  # the aligner's answers
FAILURES = "failures"  # reasons why it gave none
REQUESTS = "requests"  # progress of open requests, to continue after an interruption


class Answers:
    """The store in `folder` of the answers of one aligner, which `identity` describes.

    With another `identity` (service, language or model) no earlier answer is found.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.identity = json.dumps(identity, sort_keys=True)

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

    def claimed(self, key: str) -> AbstractContextManager[None]:
        """Keep other processes from making the same request; they wait, and then find the answer."""
        return locks.hold(Path(f"{self.path(REQUESTS, key)}.lock"), wait=True)


def write_durably(path: Path, text: str) -> None:
    """Write a file whole or not at all; it is on the disk when this returns."""
    with files.atomic(path, durable=True) as temporary:
        temporary.write_text(text, "utf-8")
