"""The processes of a job: their peak memory, and a guard so that no helper outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import threading
from pathlib import Path

STATUS = Path("/proc/self/status")  # Linux only


def read_peaks() -> tuple[float, float]:
    """Peak memory in MB of this process so far, and of the largest process that it started.

    psutil does not know peaks. On Linux, getrusage counts the process that started this one too.
    """
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    asked = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    own, children = (resource.getrusage(who).ru_maxrss * unit / 1e6 for who in asked)
    if STATUS.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"))):
        own = int(peak[1]) * 1024 / 1e6
    return own, children


def end_with_parent() -> None:
    """End this helper of a ProcessPoolExecutor when the process that forked it ends, even by kill -9.

    Otherwise it would wait for its next task for ever. It notices the end at once; psutil would only poll.
    """
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
