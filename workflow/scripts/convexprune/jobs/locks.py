"""Locks between processes. A lock ends with the process that holds it, even after kill -9.

Locks are file locks (`filelock`). They hold between the machines of a cluster too, if its file system has
locks. Where it has none, a file that exists stands for the lock. A killed process leaves such a file behind.
The next process removes it if the killed one ran on the same machine; otherwise somebody has to delete it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}

log = logging.getLogger(__name__)


class HeldError(Exception):
    """Another process holds a lock."""


def take(path: Path, *, wait: bool = False) -> BaseFileLock | None:
    """Take the lock of the file `path`; None if another process holds it. With `wait`, wait until it is free.

    The caller must keep the returned lock until it releases it.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    timeout = -1 if wait else 0
    # This mode lets other users who may write in the folder take the lock too.
    lock: BaseFileLock = filelock.FileLock(path, timeout, mode=0o666, fallback_to_soft=False)
    try:
        try:
            lock.acquire()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                error.filename = str(path)  # as the caller gave it
                raise
            log.warning("%s cannot be locked (%s): a file, %s.held, stands for the lock", path, error, path)
            lock = filelock.SoftFileLock(f"{path}.held", timeout)
            lock.acquire()
    except filelock.Timeout:
        return None
    return lock


@contextmanager
def hold(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the file `path` within the block, then delete the file.

    Without `wait`, raises HeldError if another process holds the lock.
    """
    if (lock := take(path, wait=wait)) is None:
        raise HeldError(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # before the release: the next process then sees it is gone and makes a new one
        lock.release()


def make_path(name: str) -> Path:
    """This user's file whose lock stands for `name` on this machine."""
    import psutil

    file = re.sub(r"[^\w.-]", "-", f"convexprune-{psutil.Process().username()}-{name}.lock")
    return Path(tempfile.gettempdir()) / file
