"""The device of a job: the CPU where the job was given no GPU, else one GPU that no other job holds."""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import platform
import re
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
    however it ends. A job that asks for a GPU on a machine without one gets the CPU. Raises ValueError for a
    GPU that torch cannot use.
    """
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return "cpu"
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    counted = map(str, range(count_gpus())) if given is None else given.split(",")
    if not (found := [name for name in counted if name]):
        log.warning("no GPU on this machine: running on the CPU")
        return "cpu"
    # CUDA keeps to the GPUs that it sees when it is first asked for any.
    os.environ["CUDA_VISIBLE_DEVICES"] = claim_one(found)
    check_gpu()
    log.info("GPU %s", os.environ["CUDA_VISIBLE_DEVICES"])
    return "cuda"


def count_gpus() -> int:
    """The GPUs that torch finds. A process of its own counts them, so that CUDA is not asked in this one."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_count_gpus)


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def check_gpu() -> None:
    """Raise ValueError if torch cannot compute on the GPU that this process sees."""
    import torch

    gpu = f"GPU {os.environ['CUDA_VISIBLE_DEVICES']}"
    remedy = f"take another GPU, install another torch (this is {torch.__version__}), or set gpus: 0"
    if not torch.cuda.is_available():
        raise ValueError(f"torch cannot use {gpu}: update its driver if that is older than torch, {remedy}")
    built_for = [re.match(r"sm_(\d+)(\d)", name) for name in torch.cuda.get_arch_list()]
    least = min((int(found[1]), int(found[2])) for found in built_for if found)
    if (capability := torch.cuda.get_device_capability()) < least:
        raise ValueError(
            f"{gpu}, {torch.cuda.get_device_name()}, has compute capability {capability[0]}.{capability[1]}, "
            f"and torch needs {least[0]}.{least[1]}: {remedy}"
        )


def use_float32() -> None:
    """Let convolutions on a GPU compute in float32 as on a CPU: torch's default there is TF32, of 10 bits."""
    import torch

    torch.backends.cudnn.allow_tf32 = False


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
    """The first of `names` that no other process of this user has claimed, or the first if all are."""
    for name in names:
        path = Path(tempfile.gettempdir()) / f"convexprune-gpu-{os.getuid()}-{name.replace('/', '-')}.lock"
        lock = open(path, "a")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _claims.append(lock)
        return name
    if len(names) > 1:  # where a scheduler gives each job its own, they may all have one name
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
