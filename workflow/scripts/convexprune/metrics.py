"""Metrics files: what one run measured, and the table of all runs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def binomial_sigma(accuracy: float, n: int) -> float:
    """Standard error of an accuracy (0 to 1) measured on `n` items: sqrt(p (1 - p) / n)."""
    return math.sqrt(accuracy * (1 - accuracy) / n)


def flatten(record: dict[str, Any]) -> dict[str, Any]:
    """The scalars of a metrics file: {"ratio": {"mean": x}} gives ratio_mean = x.

    Nested records that hold anything but numbers (settings, versions) and lists are left out.
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
    """One row a metrics file, its scalars as columns, sorted by model, task, layers and seed."""
    table = pd.DataFrame([flatten(json.loads(Path(path).read_text())) for path in paths])
    keys = [key for key in ("model", "task", "layers", "seed") if key in table]
    return table.sort_values(keys, ignore_index=True)
