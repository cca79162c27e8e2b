"""Metrics files, one per run, and the table of all runs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

RUN = ("model", "task", "layers", "seed")  # what names a run


def binomial_sigma(accuracy: float, n: int) -> float:
    """Standard error of an accuracy (0 to 1) measured on `n` items: sqrt(p (1 - p) / n)."""
    return math.sqrt(accuracy * (1 - accuracy) / n)


def flatten(record: dict[str, Any]) -> dict[str, Any]:
    """The scalars of a metrics file: {"ratio": {"mean": x}} gives ratio_mean = x.

    Lists are left out, and so are nested records that hold anything but numbers (settings, versions).
    """
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            if all(isinstance(number, int | float) for number in value.values()):
                flat |= {f"{name}_{key}": number for key, number in value.items()}
        elif not isinstance(value, list):
            flat[name] = value
    return flat


def merge_metrics(paths: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """One row per metrics file, its scalars as columns, sorted by model, task, layers and seed."""
    return sort_runs([flatten(json.loads(Path(path).read_text(encoding="utf-8"))) for path in paths])


def merge_exports(paths: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """One row per exported model, from its metrics file: the scalars of its `onnx` as columns."""
    records = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    return sort_runs([{key: record[key] for key in RUN} | flatten(record["onnx"]) for record in records])


def sort_runs(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A table sorted by model, task, layers and seed, as far as it has them."""
    table = pd.DataFrame(rows)
    keys = [key for key in RUN if key in table]
    return table.sort_values(keys, ignore_index=True)
