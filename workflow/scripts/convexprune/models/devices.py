"""The device of a job: the CPU if the job was given no GPU, else one GPU that no other job holds."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convexprune.jobs import locks, memory

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger(__name__)

CPU_INFORMATION = Path("/proc/cpuinfo")  # Linux only
_claims: list[BaseFileLock] = []  # a claim lasts as long as the process


def claim_device(gpus: int) -> str:
    """Hide all GPUs but one from this process, or all if `gpus` is 0; return "cuda", "mps" or "cpu".

    Call it before anything uses CUDA. A job sees only one GPU even if the machine has more, since it could
    spread over all that it sees. File locks on this machine claim the GPUs; they end with the process,
    however it ends. On a Mac the GPU is "mps", which jobs share (never run: no Mac was at hand). A job that
    asks for a GPU on a machine without one gets the CPU. Raises ValueError for a GPU that torch cannot use.
    """
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return "cpu"
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    counted = map(str, range(count_gpus())) if given is None else given.split(",")
    if not (found := [name for name in counted if name]):
        if has_mps():
            log.info("GPU of Apple (mps)")
            return "mps"
        log.warning("no GPU on this machine: running on the CPU")
        return "cpu"
    # CUDA keeps to the GPUs that it sees at its first use.
    os.environ["CUDA_VISIBLE_DEVICES"] = claim_one(found)
    check_gpu()
    log.info("GPU %s", os.environ["CUDA_VISIBLE_DEVICES"])
    return "cuda"


@dataclass(frozen=True)
class Machine:
    """Where and how a model computes. Nothing here changes results, except rounding and dropout masks."""

    device: str  # cuda, mps or cpu
    threads: int = 1
    precision: str = "float32"  # of autocast: float32, bfloat16, float16
    micro_batch_size: int = 0  # clips in a forward pass, if the whole batch does not fit; 0: all
    gradient_checkpointing: bool = False  # compute activations twice instead of keeping them
    report_to: Sequence[str] = ()  # trackers that a training reports to


def begin(
    gpus: int,
    threads: int,
    *,
    precision: str = "float32",
    micro_batch_size: int = 0,
    gradient_checkpointing: bool = False,
    report_to: Sequence[str] = (),
) -> Machine:
    """Prepare this process for a model: claim a device, float32 as on a CPU, `threads` threads.

    Call it before anything uses CUDA. `precision` may be auto (`choose_precision`). Raises ValueError for a
    GPU that torch cannot use.
    """
    import torch

    device = claim_device(gpus)
    memory.keep_memory(device)
    use_float32()
    torch.set_num_threads(threads)
    precision = choose_precision(precision, device)
    return Machine(device, threads, precision, micro_batch_size, gradient_checkpointing, tuple(report_to))


def count_gpus() -> int:
    """How many GPUs torch finds. Another process counts them, so that this one does not use CUDA yet."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_count_gpus)


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def has_mps() -> bool:
    """Whether torch can use the GPU of a Mac."""
    import torch

    return torch.backends.mps.is_available()


def find_wait(device: str) -> Callable[[], None]:
    """A function that waits until the work given to `device` is done."""
    import torch

    return {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)


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
    """Make convolutions on a GPU use float32, as on a CPU. Torch's default there is TF32, of 10 bits."""
    import torch

    torch.backends.cudnn.allow_tf32 = False


def name_device(device: str) -> str:
    """The name of the GPU, or of the CPU as far as the system gives it."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    if device == "mps":
        return f"GPU of {platform.machine()} (mps)"
    lines = CPU_INFORMATION.read_text(encoding="utf-8").splitlines() if CPU_INFORMATION.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def name_machine() -> str:
    """This machine: its name, kind of CPU and number of CPUs."""
    return f"{platform.node()} ({name_device('cpu')}, {os.cpu_count()} CPUs)"


def claim_one(names: list[str]) -> str:
    """The first of `names` that no other process of this user has claimed, or the first if all are."""
    for name in names:
        # If the file cannot be written, another user made it.
        with contextlib.suppress(PermissionError):
            if lock := locks.take(locks.make_path(f"gpu-{name}")):
                _claims.append(lock)
                return name
    if len(names) > 1:  # a scheduler may give each job its own GPU, all under one name
        log.warning("every GPU is claimed: sharing %s", names[0])
    return names[0]


def choose_precision(wanted: str, device: str) -> str:
    """The precision of training: `auto` is bfloat16 on a GPU that has it, else float16; float32 elsewhere.

    Raises ValueError for float16 elsewhere: its gradients are useless without the scaling done on such a GPU.
    """
    import torch

    if wanted == "auto":
        if device != "cuda":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if wanted == "float16" and device != "cuda":
        raise ValueError(
            "finetuning.precision: float16 needs a GPU with CUDA; give auto, float32 or bfloat16"
        )
    return wanted
