"""Main memory of jobs that run a model on the CPU. It changes how long they take, not their results."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_memory(device: str) -> None:
    """Let this process keep the memory of tensors that it frees, on the CPU if the C library is glibc.

    Otherwise each large tensor goes back to the system, which clears the pages of the next one. That costs a
    fifth of the time of a forward pass over 32 clips on a CPU (benchmarks/README.md). Keeping the memory
    takes up to 15 % more of it for batches of 32, the size in jobs here, 30 % for 128, and twice as much if
    sizes vary at random.
    """
    if device != "cpu":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)  # never
