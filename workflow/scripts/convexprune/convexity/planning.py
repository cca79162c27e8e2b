"""Which layers to keep: a plan for each model and task, from the config or from convexity scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pandas as pd

from convexprune.convexity import averages

Choice: TypeAlias = Mapping[str, Any]
COLUMNS = ["model", "task", "layers", "full_layers", "rule", "reason"]


def plan_layers(
    models: Mapping[str, Mapping[str, Choice]], convexity: pd.DataFrame | None, average: str
) -> pd.DataFrame:
    """The number of layers to keep for each model and task.

    models: for each model and task a dict with `layers` (of the full model), `rule` and what it needs:
        explicit keeps `keep` layers, as given; the others, RULES, keep one or more.
    convexity: the table of convexity scores (or None where every rule is explicit). The scores
        of the pretrained model on the dataset of the task's own name decide.
    average: `pair` or `class`: the mean of the convexity that decides.

    Returns a table of model, task, layers, full_layers, rule and reason (a sentence with the numbers).
    Raises ValueError if scores are missing or if the model does not have the number of layers to keep.
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
                layers, reason = _choose(scores, choice, task)
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


def _choose(scores: pd.Series, choice: Choice, dataset: str) -> tuple[int, str]:
    """The layers that the rule of `choice` keeps, and why."""
    if choice["rule"] not in RULES:
        told = f"use explicit, {' or '.join(RULES)}"
        raise ValueError(f"unknown rule {choice['rule']!r} for choosing layers: {told}")
    best, most = int(scores.idxmax()), float(scores.max())
    layers, reason = RULES[choice["rule"]](scores, choice)
    peak = f"The convexity of {dataset} is highest after {_count(best)} ({most:.4f})."
    return layers, f"{peak} {reason}".strip()


def _count(layers: int) -> str:
    return f"{layers} layer" if layers == 1 else f"{layers} layers"


# The rules. Each takes the convexity by layers, from 1 on, and the settings of the choice. It returns the
# layers to keep, and a sentence that says why.


def tolerance(scores: pd.Series, choice: Choice) -> tuple[int, str]:
    """The fewest layers whose convexity is at most `tolerance` below the highest."""
    allowed = choice["tolerance"]
    layers = fewest_within(scores, allowed)
    if layers == scores.idxmax():
        return layers, f"No fewer layers come within {allowed:g} of that."
    near = f"it is within {allowed:g} of that ({scores[layers]:.4f})"
    return layers, f"After {_count(layers)}, and no fewer, {near}."


def highest(scores: pd.Series, choice: Choice) -> tuple[int, str]:
    """The layers with the highest convexity, the fewest if equal."""
    return int(scores.idxmax()), ""


RULES: dict[str, Callable[[pd.Series, Choice], tuple[int, str]]] = {
    "tolerance": tolerance,
    "highest": highest,
}
