"""HDF5 files that are whole and as they were written, or an error that names them.

Values are written with Fletcher-32 check sums (`SUMS`), the file's structure with those of HDF5's newer
format; both are compared whenever something is read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from convexprune import provenance

SUMS = {"fletcher32": True}  # of each chunk of a dataset


class Disk(io.FileIO):
    """A file that takes all that is written to it, and remembers the error of what did not get to the disk.

    HDF5's library must not meet that error: it cannot close the file then, and crashes.
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
        """Raise OSError if something that was written did not get to the disk. Between two blocks of work."""
        if self.disk.error:
            raise self.disk.error


@contextmanager
def create(path: str | os.PathLike[str]) -> Iterator[NewFile]:
    """Write the file `path`, which appears when the block ends without an error, marked `complete`."""
    with provenance.atomic(path) as temporary:
        with NewFile(temporary) as file:
            yield file
            file.attrs["complete"] = True
        file.check()


@contextmanager
def read(path: str | os.PathLike[str], *needed: str) -> Iterator[h5py.File]:
    """Open a finished file that holds the datasets `needed`. Raises ValueError, naming it, if it is damaged.

    So does what is read from it within the block. Without HDF5's file locks, which fail on some network file
    systems: nobody writes to it any more.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            if not file.attrs.get("complete", False) or not set(needed) <= set(file):
                raise ValueError(f"{path} is not complete; if the workflow wrote it, delete it and run again")
            yield file
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path} is damaged or no HDF5 file ({reason}); if the workflow wrote it, delete it and run again"
        ) from error
