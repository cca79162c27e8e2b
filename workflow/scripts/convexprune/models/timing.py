"""Time two models in turn: the inference of a pruned one against that of its full one, as in the paper."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil

from convexprune.data import corpus
from convexprune.jobs import provenance
from convexprune.models import devices, encoders, loading
from convexprune.models.devices import Machine

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

DISTURBED = 0.2  # flag a measurement if other processes kept more CPUs than this busy


def read_clocks() -> np.ndarray:
    """Seconds (3,): of the clock, of work by all CPUs of this machine, and of this job's part of that work.

    The job is this process and all that it started, such as processes that read clips ahead.
    """
    machine, job = psutil.cpu_times()._asdict(), psutil.Process()
    idle = ("idle", "iowait", "guest", "guest_nice")  # user and nice include a guest's time
    busy = sum(seconds for kind, seconds in machine.items() if kind not in idle)
    ended = job.cpu_times()
    own = time.process_time() + ended.children_user + ended.children_system
    for child in job.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = child.cpu_times()
            own += used.user + used.system + used.children_user + used.children_system
    return np.array([time.perf_counter(), busy, own])


def measure_others(before: np.ndarray, after: np.ndarray) -> float:
    """CPUs that other processes kept busy between two `read_clocks`."""
    seconds, busy, own = after - before
    return float(max(0.0, busy - own) / seconds)


def judge_others(others: float) -> dict[str, Any]:
    """`other_load`, and whether a measurement beside it is `disturbed`. Warns if so."""
    if others > DISTURBED:
        log.warning("other processes kept %.1f CPUs busy: these times are marked as disturbed", others)
    return {"other_load": others, "disturbed": others > DISTURBED}


def alternate(
    full: Callable[[], Any],
    pruned: Callable[[], Any],
    *,
    runs: int,
    warmup: int,
    synchronise: Callable[[], Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds that `full` and `pruned` take, (runs,) each, called in turn after `warmup` unmeasured turns.

    Both runs of a turn meet the same load on the machine, so run i of one pairs with run i of the other.
    `synchronise` waits for the device; it is called before and after each run.
    """
    seconds = np.empty((warmup + runs, 2))
    for turn in seconds:
        for side, infer in enumerate((full, pruned)):
            synchronise()
            started = time.perf_counter()
            infer()
            synchronise()
            turn[side] = time.perf_counter() - started
    return seconds[warmup:, 0], seconds[warmup:, 1]


def summarise(seconds: np.ndarray) -> dict[str, float]:
    """Median, mean and the mean's standard error of times (runs,)."""
    return {
        "median": float(np.median(seconds)),
        "mean": float(seconds.mean()),
        "stderr": float(seconds.std(ddof=1) / np.sqrt(len(seconds))),
    }


def summarise_ratio(full: np.ndarray, pruned: np.ndarray) -> dict[str, float]:
    """The ratio pruned / full of paired times (runs,): of medians and of means, with their standard errors.

    The ratio of means r compares the time that many runs take. Its standard error is the delta method's
    for pairs, std(pruned - r * full) / (sqrt(runs) * mean(full)): a slow moment that both models share
    cancels. Interruptions hardly change the ratio of medians; its standard error is that of 1,000
    bootstrap samples of pairs.
    """
    runs = len(full)
    ratio = pruned.mean() / full.mean()
    residual = pruned - ratio * full
    drawn = np.random.default_rng(0).integers(runs, size=(1000, runs))
    medians = np.median(pruned[drawn], axis=1) / np.median(full[drawn], axis=1)
    return {
        "median": float(np.median(pruned) / np.median(full)),
        "median_stderr": float(medians.std(ddof=1)),
        "mean": float(ratio),
        "stderr": float(residual.std(ddof=1) / (np.sqrt(runs) * full.mean())),
    }


def compare(
    full: Callable[[], Any], pruned: Callable[[], Any], *, runs: int, warmup: int, device: str
) -> dict[str, Any]:
    """Time `full` and `pruned` in turn, as `alternate` does; times in seconds.

    The record also has `other_load`, how many CPUs other processes kept busy meanwhile. A measurement with
    more than DISTURBED is marked as `disturbed`.
    """
    synchronise = devices.find_wait(device)
    started = read_clocks()
    full_seconds, pruned_seconds = alternate(full, pruned, runs=runs, warmup=warmup, synchronise=synchronise)
    others = measure_others(started, read_clocks())
    return {
        "runs": runs,
        **judge_others(others),
        "full": summarise(full_seconds),
        "pruned": summarise(pruned_seconds),
        "ratio": summarise_ratio(full_seconds, pruned_seconds),
        "full_seconds": full_seconds.tolist(),
        "pruned_seconds": pruned_seconds.tolist(),
    }


class Passes(NamedTuple):
    """How inference is timed: `runs` passes over a clip of `seconds`, after `warmup` that do not count."""

    runs: int
    warmup: int
    seconds: float = 1


def make_input(folder: str | os.PathLike[str], seconds: float = 1) -> tuple[str, Tensor]:
    """A random clip, as the model in `folder` takes it: the name of its argument, and the values."""
    audio = np.random.default_rng(0).standard_normal((1, corpus.count_samples(seconds)), np.float32)
    [(name, values)] = encoders.prepare(loading.load_feature_extractor(folder), audio).items()
    return name, values


def time_inference(
    full: str | os.PathLike[str],
    pruned: str | os.PathLike[str],
    names: dict[str, str],
    *,
    full_layers: int,
    layers: int,
    passes: Passes,
    machine: Machine,
) -> dict[str, Any]:
    """Time the model folders `full` and `pruned` (of `layers` layers) in turn; times in seconds.

    The input is a random clip, batch 1 (paper: 1 s, 300 times). `names` (model and task) go into the record.

    Raises ValueError if a folder's model does not have the layers stated.
    """
    import torch

    device = machine.device
    models = [encoders.load_classifier(folder).to(device) for folder in (full, pruned)]
    encoders.check_layers(models[0], full_layers, str(full))
    encoders.check_layers(models[1], layers, str(pruned))
    inputs = make_input(full, passes.seconds)[1].to(device)
    with torch.inference_mode():
        measured = compare(
            *(lambda model=model: model(inputs) for model in models),
            runs=passes.runs,
            warmup=passes.warmup,
            device=device,
        )
    return {
        **names,
        "layers": layers,
        "full_layers": full_layers,
        "seconds": passes.seconds,
        "threads": machine.threads,
        "device": devices.name_device(device),
        "machine": devices.name_machine(),
        "versions": provenance.versions("torch", "transformers"),
        **measured,
    }
