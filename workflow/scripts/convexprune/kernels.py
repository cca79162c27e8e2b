"""How the numerical kernels are compiled and run: numba without the GIL, over plain threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """`numba.njit` that releases the GIL and keeps the machine code on disk where the disk can be written.

    Where no cache folder is writable, the kernel is compiled anew in each process: no error.
    """
    if function is None:
        return lambda kernel: compiled(kernel, **options)
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        return numba.njit(nogil=True, **options)(function)


def available_threads() -> int:
    """The number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_threads(task: Callable[[Any], Any], items: Iterable[Any], threads: int) -> list[Any]:
    """`task` of each item, in order, computed by `threads` threads; the first error is raised."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, items))
