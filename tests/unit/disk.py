"""A small file system of its own, which a test can fill or make read-only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A mounted tmpfs of some megabytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filler = folder / "filler"

    def leave(self, space: int) -> None:
        """Fill all but `space` bytes (rounded down to pages)."""
        self.filler.unlink(missing_ok=True)
        free = shutil.disk_usage(self.folder).free
        with open(self.filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - space // 4096 * 4096)

    def empty(self) -> None:
        self.filler.unlink()

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Disk]:
    """Mount a Disk at the folder, or skip the test where that is not allowed."""
    if not shutil.which("mount"):
        pytest.skip("needs mount to have a small disk of its own")
    options = f"size={megabytes}m"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        pytest.skip(f"needs root to mount a small disk of its own: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
