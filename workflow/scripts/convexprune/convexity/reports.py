"""Scores of layers for people and for programs: a table, and JSON with every number."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from convexprune.convexity.comparison import below_best
from convexprune.convexity.score import Convexity


def as_text(scores: Mapping[int, Convexity]) -> str:
    """A table of the scores by layer, each ± its standard error: over pairs and over classes, and how far
    each layer is below the best one."""
    first = next(iter(scores.values()))
    groups = "" if first.n_groups is None else f" in {first.n_groups} groups"
    lines = [
        f"{first.n_items} points{groups}, {first.n_classes} classes, {first.n_pairs} pairs",
        "",
        f"{'':8}{'mean over pairs':34}mean over classes",
        _row("layer", "score", "below best", "score", "below best", "no path"),
    ]
    for layer, below in below_best(scores).items():
        result = scores[layer]
        by_pair = (_number(result.score, result.stderr), _below(below.score, below.stderr))
        by_class = (
            _number(result.class_score, result.class_stderr),
            _below(below.class_score, below.class_stderr),
        )
        lines.append(_row(str(layer), *by_pair, *by_class, str(result.n_unreachable)))
    lines.append(_row("chance", f"{first.chance:.4f}", "", f"{first.class_chance:.4f}", "", ""))
    return "\n".join(lines)


def classes_as_text(scores: Mapping[int, Convexity]) -> str:
    """A table of the scores by layer and class, each ± its standard error."""
    lines = [f"{'layer':8}{'class':20} {'points':>8}  score"]
    for layer, result in scores.items():
        lines += [
            f"{layer:<8}{label!s:20} {entry.n_items:8}  {_number(entry.score, entry.stderr)}"
            for label, entry in result.per_class.items()
        ]
    return "\n".join(lines)


def as_json(scores: Mapping[int, Convexity]) -> str:
    """All numbers, by layer; one that does not exist is null."""
    layers: list[dict[str, Any]] = []
    for layer, below in below_best(scores).items():
        numbers = dataclasses.asdict(scores[layer])
        del numbers["effects"]
        numbers["per_class"] = [
            {"label": label} | {name: None if math.isnan(value) else value for name, value in entry.items()}
            for label, entry in numbers["per_class"].items()
        ]
        layers.append({"layer": layer, **numbers, "below_best": dataclasses.asdict(below)})
    return json.dumps({"layers": layers}, indent=2, default=str)


def tell_needed(times: float, n_items: int, n_groups: int | None) -> str:
    """A sentence on how many recordings make a choice sure (`stability.find_needed`)."""
    if times == 1:
        return "So many recordings make this choice in 90 % of samples: no more are needed."
    if math.isinf(times):
        return "Even 100 times as many recordings would not make this choice sure: some layers are too alike."
    groups = "" if n_groups is None else f", of {math.ceil(times * n_groups)} speakers or other groups"
    return (
        f"It takes about {times:.1f} times as many recordings ({math.ceil(times * n_items)}{groups}) to make "
        "this choice in 90 % of samples, if the scores are as measured here."
    )


def _row(*cells: str) -> str:
    return "{:8}{:17}{:17}{:17}{:17}{:>7}".format(*cells).rstrip()


def _below(score: float, error: float) -> str:
    return _number(score, error) if score else "best"


def _number(score: float, error: float) -> str:
    return f"{score:.4f} ± {error:.4f}"
