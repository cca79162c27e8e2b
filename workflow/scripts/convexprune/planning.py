"""Which layers to keep: a plan for each model and task, from the config or from convexity scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convexprune import averages

COLUMNS = ["model", "task", "layers", "full_layers", "rule", "reason"]


def plan_layers(
    models: Mapping[str, Mapping[str, Mapping[str, Any]]], convexity: pd.DataFrame | None, average: str
) -> pd.DataFrame:
    """The number of layers to keep for each model and task.

    models: for each model and task a dict with `layers` (of the full model), `rule` and what it needs:
        explicit   `keep` layers, as given;
        tolerance  the fewest layers, at least one, with a convexity at most `tolerance` (in units
                   of the score) below the highest;
        highest    the layers with the highest convexity, at least one, the fewest if equal.
    convexity: the table of convexity scores (or None where every rule is explicit). A task is judged by the
        dataset of its own name on the pretrained model.
    average: `pair` or `class`, which mean of the convexity decides.

    Returns a table of model, task, layers, full_layers, rule and reason (a sentence with the numbers).
    Raises ValueError where scores are missing or the number to keep does not fit the model.
    """
    rows = []
    for model, tasks in models.items():
        for task, choice in tasks.items():
            full = choice["layers"]
            if choice["rule"] == "explicit":
                layers, reason = (
                    choice["keep"],
                    f"The configuration says to keep {choice['keep']} of {full} layers.",
                )
            else:
                scores = _scores(convexity, model, task, full, average)
                layers, reason = _choose(scores, choice["rule"], choice.get("tolerance"), task)
                reason += f" Measured on the {choice['split']} split"
                reason += ", on which the accuracy is reported too." if choice["split"] == "test" else "."
            if not 0 <= layers <= full:
                raise ValueError(f"cannot keep {layers} layers of {model} for {task}: it has {full}")
            rows.append((model, task, layers, full, choice["rule"], reason))
    return pd.DataFrame(rows, columns=COLUMNS)


def _scores(convexity: pd.DataFrame | None, model: str, task: str, full: int, average: str) -> pd.Series:
    """The convexity of 1..full layers of the pretrained model on the task's own dataset."""
    found = pd.Series(dtype=float)
    if convexity is not None:
        mine = convexity.query("model == @model and dataset == @task and state == 'pretrained'")
        found = mine.set_index("layers")[averages.COLUMNS[average].score].sort_index()
    if missing := sorted(set(range(1, full + 1)) - set(found.index)):
        raise ValueError(
            f"no convexity of {model} on {task} for layers {missing}: score them before planning"
        )
    return found.loc[1:full]


def fewest_within(scores: pd.Series, tolerance: float) -> int:
    """The fewest layers (ascending index of `scores`) that score at most `tolerance` below the highest."""
    return int(scores.index[scores >= scores.max() - tolerance][0])


def _choose(scores: pd.Series, rule: str, tolerance: float | None, dataset: str) -> tuple[int, str]:
    best, highest = int(scores.idxmax()), float(scores.max())
    peak = f"The convexity of {dataset} is highest at {_count(best)} ({highest:.4f}), of one or more"
    if rule == "highest":
        return best, f"{peak}."
    if rule == "tolerance" and tolerance is not None:
        layers = fewest_within(scores, tolerance)
        return layers, (
            f"{peak}; {_count(layers)} ({scores[layers]:.4f}) is the fewest within {tolerance:g} of it."
        )
    raise ValueError(f"unknown rule {rule!r} for choosing layers: use explicit, tolerance or highest")


def _count(layers: int) -> str:
    return f"{layers} layer" if layers == 1 else f"{layers} layers"
