"""Inference time of a pruned model against its full one, as in the paper: batch 1, 1 s of random audio."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convexprune import corpus, devices, encoders, provenance

log = logging.getLogger(__name__)

DISTURBED = 0.2  # CPUs that others kept busy, above which a measurement is flagged


def read_clocks() -> np.ndarray:
    """Seconds, (3,): of time, of all CPUs' work on this machine, of this process' own share of that work.

    The machine's work is nan where there is no /proc/stat (off Linux).
    """
    stat = Path("/proc/stat")
    busy = np.nan
    if stat.exists():
        user, nice, system, _idle, _waiting, *interrupts = map(int, stat.read_text().split()[1:9])
        busy = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return np.array([time.perf_counter(), busy, time.process_time()])


def measure_others(before: np.ndarray, after: np.ndarray) -> float | None:
    """CPUs that other processes kept busy between two `read_clocks`, or None where that is not known."""
    seconds, busy, own = after - before
    return None if np.isnan(busy) else float(max(0.0, busy - own) / seconds)


def alternate(
    full: Callable[[], Any],
    pruned: Callable[[], Any],
    *,
    runs: int,
    warmup: int,
    synchronise: Callable[[], Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds that `full` and `pruned` take, (runs,) each, called in turn after `warmup` unmeasured turns.

    Turns share what the machine does at that moment, so run i of one pairs with run i of the other.
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
    cancels. The ratio of medians shrugs off interruptions; its standard error is that of 1,000 bootstrap
    samples of pairs.
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


def time_inference(
    full: str | os.PathLike[str],
    pruned: str | os.PathLike[str],
    settings: dict[str, Any],
    names: dict[str, str],
    *,
    layers: int,
    gpus: int,
) -> dict[str, Any]:
    """Time the model folders `full` and `pruned` (of `layers` layers) in turn; times in seconds.

    `names` (model and task) goes into the record. `settings`: full_layers, runs (paper: 300), warmup
    (unmeasured turns), threads of torch. A measurement beside which other processes kept more than DISTURBED
    CPUs busy is marked `disturbed`.

    Raises ValueError if a folder's model does not have the layers stated.
    """
    import torch
    from transformers import AutoFeatureExtractor

    device = devices.claim_device(gpus)
    gpu = device == "cuda"
    torch.set_num_threads(settings["threads"])
    models = [encoders.load_classifier(folder).to(device) for folder in (full, pruned)]
    encoders.check_layers(models[0], settings["full_layers"], str(full))
    encoders.check_layers(models[1], layers, str(pruned))
    audio = np.random.default_rng(0).standard_normal((1, corpus.CLIP_SAMPLES), np.float32)
    feature_extractor = AutoFeatureExtractor.from_pretrained(full, **encoders.LOCAL)
    [inputs] = (values.to(device) for values in encoders.prepare(feature_extractor, audio).values())
    started = read_clocks()
    with torch.inference_mode():
        full_seconds, pruned_seconds = alternate(
            *(lambda model=model: model(inputs) for model in models),
            runs=settings["runs"],
            warmup=settings["warmup"],
            synchronise=torch.cuda.synchronize if gpu else lambda: None,
        )
    others = measure_others(started, read_clocks())
    disturbed = None if others is None else others > DISTURBED
    if disturbed:
        log.warning("other processes kept %.1f CPUs busy: these times are marked as disturbed", others)
    return {
        **names,
        "layers": layers,
        "full_layers": settings["full_layers"],
        "runs": settings["runs"],
        "threads": settings["threads"],
        "device": devices.name_device(device),
        "machine": devices.name_machine(),
        "other_load": others,
        "disturbed": disturbed,
        "full": summarise(full_seconds),
        "pruned": summarise(pruned_seconds),
        "ratio": summarise_ratio(full_seconds, pruned_seconds),
        "versions": provenance.versions("torch", "transformers"),
        "full_seconds": full_seconds.tolist(),
        "pruned_seconds": pruned_seconds.tolist(),
    }
