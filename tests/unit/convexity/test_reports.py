"""Scores of layers as a table and as JSON."""

import json
import re

import numpy as np
import pytest
from convexprune import compare_convexity, graph_convexity
from convexprune.convexity import reports

LABELS = np.array(["yes", "no", "up", "alone"])[[*np.repeat([0, 1, 2], [8, 12, 20]), 3]]


@pytest.fixture(scope="module")
def scores():
    points = np.random.default_rng(0).normal(size=(41, 3))
    apart = np.unique(LABELS, return_inverse=True)[1][:, None]
    return {layer: graph_convexity(points + layer * apart / 4, LABELS, 4) for layer in (0, 2, 5)}


def test_the_table_has_every_layer_with_its_errors_and_chance(scores):
    lines = reports.as_text(scores).splitlines()
    assert lines[0] == "41 points, 3 classes, 568 pairs"
    best = max(scores.values(), key=lambda result: result.score)
    for layer, result in scores.items():
        [line] = [line for line in lines if line.startswith(f"{layer} ")]
        numbers = re.findall(r"(best|[\d.]+ ± [\d.]+)", line)
        below = compare_convexity(best, result)
        assert numbers[0] == f"{result.score:.4f} ± {result.stderr:.4f}"
        assert numbers[1] == ("best" if result is best else f"{below.score:.4f} ± {below.stderr:.4f}")
        assert numbers[2] == f"{result.class_score:.4f} ± {result.class_stderr:.4f}"
        assert len(numbers) == 4
    assert lines[-1].split() == ["chance", f"{best.chance:.4f}", f"{best.class_chance:.4f}"]
    assert best.chance != best.class_chance


def test_the_table_of_classes_has_their_errors(scores):
    lines = [line.split(maxsplit=3) for line in reports.classes_as_text(scores).splitlines()[1:]]
    expected = [
        [str(layer), label, str(entry.n_items), f"{entry.score:.4f} ± {entry.stderr:.4f}"]
        for layer, result in scores.items()
        for label, entry in result.per_class.items()
    ]
    assert lines == expected
    assert ["0", "alone", "1", "nan ± nan"] in lines


def test_json_has_every_number(scores):
    layers = json.loads(reports.as_json(scores), parse_constant=pytest.fail)["layers"]
    assert [entry["layer"] for entry in layers] == [0, 2, 5]
    best = max(scores.values(), key=lambda result: result.score)
    for entry, result in zip(layers, scores.values(), strict=True):
        numbers = ["score", "stderr", "chance", "class_score", "class_stderr", "class_chance", "n_pairs"]
        assert [entry[name] for name in numbers] == [getattr(result, name) for name in numbers]
        assert entry["below_best"]["stderr"] == compare_convexity(best, result).stderr
        classes = {of_class.pop("label"): of_class for of_class in entry["per_class"]}
        assert classes["alone"]["score"] is classes["alone"]["stderr"] is None
        assert classes["no"] == vars(result.per_class["no"])
