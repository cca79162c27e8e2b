"""Inference time of a pruned model against its full one, as in the paper: batch 1, 1 s of random audio."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from convexprune import devices, encoders, provenance

SAMPLES = 16000  # one second


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
    (unmeasured turns), threads of torch.

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
    audio = np.random.default_rng(0).standard_normal((1, SAMPLES), np.float32)
    feature_extractor = AutoFeatureExtractor.from_pretrained(full, **encoders.LOCAL)
    [inputs] = (values.to(device) for values in encoders.prepare(feature_extractor, audio).values())
    with torch.inference_mode():
        full_seconds, pruned_seconds = alternate(
            *(lambda model=model: model(inputs) for model in models),
            runs=settings["runs"],
            warmup=settings["warmup"],
            synchronise=torch.cuda.synchronize if gpu else lambda: None,
        )
    return {
        **names,
        "layers": layers,
        "full_layers": settings["full_layers"],
        "runs": settings["runs"],
        "threads": settings["threads"],
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "machine": f"{platform.node()} ({platform.processor() or platform.machine()}, {os.cpu_count()} CPUs)",
        "full": summarise(full_seconds),
        "pruned": summarise(pruned_seconds),
        "ratio": summarise_ratio(full_seconds, pruned_seconds),
        "versions": provenance.versions("torch", "transformers"),
        "full_seconds": full_seconds.tolist(),
        "pruned_seconds": pruned_seconds.tolist(),
    }
