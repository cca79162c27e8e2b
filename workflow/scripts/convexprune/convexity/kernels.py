"""How the numerical kernels are compiled and run: numba without the GIL, over plain threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """`numba.njit` that releases the GIL and keeps the machine code on disk where the disk can be written.

    If no cache folder is writable, each process compiles the kernel anew; that is no error.
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


def count_threads(n_jobs: int | None) -> int:
    """The threads that `n_jobs` asks for, as in scikit-learn: None is 1, -1 all cores of this process, -2 all
    but one. Raises ValueError for 0.
    """
    if n_jobs == 0:
        raise ValueError("n_jobs is 0, but must be a number of threads, or -1 for all cores")
    if n_jobs is None or n_jobs > 0:
        return n_jobs or 1
    return max(1, available_threads() + 1 + n_jobs)


def run_threads(task: Callable[[Any], Any], items: Iterable[Any], threads: int) -> list[Any]:
    """The results of `task` for each item, in order, by `threads` threads. Raises the first error."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, items))
