"""The choices and the verdict as Markdown."""

import numpy as np
import pandas as pd
import pytest
from convexprune.results import choices, choices_text, verdict

LAYERS = {
    ("graph convexity", "fewest"): (4, 2),
    ("graph convexity", "best"): (4, 6),
    ("cka with the last", "fewest"): (6, 6),
    ("cka with the last", "best"): (6, 6),
    ("whole sweep", ""): (4, 4),
}


@pytest.fixture
def runs():
    rows = [
        {"task": "words", "model": model, "seed": seed, "choice": choice, "rule": rule, "picked": layers}
        | {"layers": layers, "full_layers": 6, "accuracy": 0.9 - layers / 100 + seed / 1000, "sigma": 0.01}
        | {"lost": layers / 100, "rho": np.nan, "seconds": 101.0, "multiply_adds": 1e8 * layers}
        for (choice, rule), picked in LAYERS.items()
        for model, layers in zip(("first", "second"), picked, strict=True)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def cells_of(text) -> list[dict[str, list[str]]]:
    """The tables of a text: their rows by the first cell."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    for block in blocks:
        assert len({tuple(i for i, c in enumerate(row) if c == "|") for row in block}) == 1
    split = [[[c.strip() for c in row.strip("|").split("|")] for row in block] for block in blocks]
    return [{first: rest for first, *rest in block} for block in split]


def write(runs):
    return choices_text.write_markdown(choices.average_seeds(runs), verdict.judge(runs))


def test_the_verdict_then_the_layers_by_task_in_the_same_order(runs):
    text = write(runs)
    judged, words = cells_of(text)
    order = ["graph convexity", "whole sweep", "graph convexity, best", "linear CKA with the last"]
    assert list(judged)[2:] == list(words)[2:] == order
    assert judged["choice"] == ["lost", "kept", "rank", "needs", "time", "cells"]
    assert judged["graph convexity"] == [
        *("3.00 [2.00, 4.00]", "50 %", "", "labels", "0:01:41", "6"),
    ]
    assert judged["linear CKA with the last"][3] == "nothing"
    assert words["graph convexity"] == ["4: 86.10", "2: 88.10", "3.00", "0.30"]
    assert words["graph convexity, best"] == ["4: 86.10", "6: 84.10", "5.00", "0.50"]
    assert " ".join(text.split()).count(verdict.conclude(verdict.judge(runs))) == 1
    assert "within 0.05 of its range" in " ".join(text.split())


def test_a_criterion_that_the_data_of_a_model_cannot_carry_has_an_empty_cell(runs):
    runs = runs[(runs["model"] == "first") | ~runs["choice"].str.startswith("cka")]
    _, words = cells_of(write(runs))
    assert words["linear CKA with the last"][:2] == ["6: 84.10", ""]


def test_what_is_not_known_is_left_empty(runs):
    runs["seconds"] = np.nan
    text = write(runs[runs["seed"] == 0])
    assert "nan" not in text
    assert cells_of(text)[0]["graph convexity"] == ["3.00", "50 %", "", "labels", "", "2"]


def test_hours_are_told_as_such():
    assert choices_text._duration(36 * 3600 + 61.4) == "36:01:01"
