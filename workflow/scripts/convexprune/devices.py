"""The device of a job: the CPU where the job was given no GPU, else one GPU that no other job holds."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import tempfile
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

CPU_INFORMATION = Path("/proc/cpuinfo")  # Linux only
_claims: list[IO[str]] = []  # open lock files: a claim lasts as long as the process


def claim_device(gpus: int) -> str:
    """Hide all GPUs but one from this process, or all where `gpus` is 0; "cuda" or "cpu".

    Call it before anything uses CUDA. A job sees one GPU even where the machine has more: it may
    spread over what it sees. GPUs are claimed by file locks on this machine, which end with the process
    however it ends. A job that asks for a GPU on a machine without one gets the CPU.
    """
    import torch

    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return "cpu"
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    if not found or not torch.cuda.is_available():
        log.warning("no GPU on this machine: running on the CPU")
        return "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = claim_one(found)
    log.info("GPU %s", os.environ["CUDA_VISIBLE_DEVICES"])
    return "cuda"


def name_device(device: str) -> str:
    """What a measurement ran on: the GPU's name, or the CPU's as far as the system tells it."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    lines = CPU_INFORMATION.read_text().splitlines() if CPU_INFORMATION.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def name_machine() -> str:
    """The machine of a measurement: its name, kind of CPU and number of CPUs."""
    return f"{platform.node()} ({name_device('cpu')}, {os.cpu_count()} CPUs)"


def claim_one(names: list[str]) -> str:
    """The first of `names` that no other process has claimed, or the first if all are."""
    for name in names:
        lock = open(Path(tempfile.gettempdir()) / f"convexprune-gpu-{name.replace('/', '-')}.lock", "a")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _claims.append(lock)
        return name
    log.warning("every GPU is claimed: sharing %s", names[0])
    return names[0]


def choose_precision(wanted: str, device: str) -> str:
    """The precision of training: `auto` is bfloat16 on a GPU that has it, else float16; float32 on the CPU.

    Raises ValueError for float16 on the CPU, whose gradients would need a GPU's scaling to be of use.
    """
    import torch

    if wanted == "auto":
        if device == "cpu":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if (wanted, device) == ("float16", "cpu"):
        raise ValueError("finetuning.precision: float16 needs a GPU; give auto, float32 or bfloat16")
    return wanted
