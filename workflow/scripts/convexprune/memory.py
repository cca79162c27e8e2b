"""Main memory of jobs that run a model on the CPU. It decides no result, only how long they take."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_memory(device: str) -> None:
    """Let this process keep the memory of tensors that it frees: on the CPU, where the C library is glibc.

    Else each large tensor is given back to the system, which clears the pages of the next one: a fifth of the
    time of a forward pass over 32 clips on a CPU (benchmarks/README.md). It takes up to 15 % more memory for
    batches of 32, as jobs here have them, 30 % for 128, and twice as much where sizes vary at random.
    """
    if device != "cpu":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)  # never
