"""HDF5 files that are whole and unchanged; if one is not, an error names it.

Values have Fletcher-32 check sums (`SUMS`), and the file's structure has those of HDF5's newer format. Every
read compares both.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from convexprune.jobs import files

SUMS = {"fletcher32": True}  # of each chunk of a dataset


class Disk(io.FileIO):
    """A file whose writes never fail. It keeps the first error of the disk in `error`.

    HDF5's library must not see that error: it could not close the file, and would crash.
    """

    error: OSError | None = None

    def write(self, block: Any) -> int:
        view = memoryview(block).cast("B")
        size = len(view)
        try:
            while view and not self.error:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return size


class NewFile(h5py.File):
    """An HDF5 file to write."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.disk = Disk(path, "w+")
        super().__init__(self.disk, "w", libver="latest")

    def close(self) -> None:
        super().close()
        self.disk.close()

    def check(self) -> None:
        """Raise OSError if a write did not reach the disk. Call it between two pieces of work."""
        if self.disk.error:
            raise self.disk.error


@contextmanager
def create(path: str | os.PathLike[str]) -> Iterator[NewFile]:
    """Write the file `path`. It appears, marked `complete`, when the block ends without an error."""
    with files.atomic(path) as temporary:
        with NewFile(temporary) as file:
            yield file
            file.attrs["complete"] = True
        file.check()


@contextmanager
def read(path: str | os.PathLike[str], *needed: str) -> Iterator[h5py.File]:
    """Open a finished file that holds the datasets `needed`.

    If it is damaged, opening it and reads within the block raise ValueError that names it. HDF5's file locks
    are off: they fail on some network file systems, and nobody writes to the file any more.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            missing = "".join(f", has no {name}" for name in needed if name not in file)
            if missing or not file.attrs.get("complete", False):
                raise ValueError(
                    f"{path} is not complete{missing}; if the workflow wrote it, delete it and run again"
                )
            yield file
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path} is damaged or no HDF5 file ({reason}); if the workflow wrote it, delete it and run again"
        ) from error
