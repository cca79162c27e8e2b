"""Memory that torch frees stays with the process."""

import ctypes
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_is_kept():
    """A large tensor, made and freed again and again, does not ask the system for new pages every time.

    The first few may: glibc keeps the slivers left of each for its thread, and the hole is too small.
    """
    program = """
import resource, torch
from convexprune.jobs import memory
memory.keep_memory("cpu")
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use(): torch.ones(2**23)  # 32 MB: 8,192 pages
for _ in range(12): use()
before = faults()
for _ in range(5): use()
print(faults() - before)
"""
    faults = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert faults < 100
