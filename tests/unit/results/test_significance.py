"""McNemar's exact test against the binomial sum, on predictions made to order."""

from math import comb
from types import SimpleNamespace

import compare_predictions as adapter
import numpy as np
import pandas as pd
import pytest
from convexprune.jobs import csv_files
from convexprune.results.significance import compare_predictions, paired_interval


def predictions(right) -> pd.DataFrame:
    table = pd.DataFrame({"item": [f"{i}.wav" for i in range(len(right))], "label": "yes"})
    return table.assign(predicted=["yes" if correct else "no" for correct in right])


def pair(both, only_full, only_pruned, neither):
    counts = (both, only_full, only_pruned, neither)
    full = [True] * both + [True] * only_full + [False] * (only_pruned + neither)
    pruned = [True] * both + [False] * only_full + [True] * only_pruned + [False] * neither
    assert len(full) == len(pruned) == sum(counts)
    return predictions(full), predictions(pruned)


@pytest.mark.parametrize("counts", [(5, 7, 2, 1), (0, 2, 7, 3), (100, 1, 9, 0), (3, 30, 12, 5)])
def test_p_value_is_twice_the_smaller_tail_of_fair_coins(counts):
    _, only_full, only_pruned, _ = counts
    n, fewer = only_full + only_pruned, min(only_full, only_pruned)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    found = compare_predictions(*pair(*counts))
    assert found["p_value"] == pytest.approx(2 * tail)
    assert (found["n_items"], found["only_full"], found["only_pruned"]) == (sum(counts), *counts[1:3])


@pytest.mark.parametrize("counts", [(4, 0, 0, 2), (4, 3, 3, 1)])
def test_as_many_on_either_side_tell_nothing_apart(counts):
    assert compare_predictions(*pair(*counts))["p_value"] == 1


def test_the_most_frequent_class_is_what_a_guess_gets():
    full, pruned = (run.assign(label=["yes", "no", "no", "up", "no"]) for run in pair(3, 1, 1, 0))
    assert compare_predictions(full, pruned)["most_frequent"] == 0.6


def test_other_items_are_an_error():
    full, pruned = pair(3, 1, 1, 0)
    for changed in (pruned.iloc[1:], pruned.iloc[::-1], pruned.assign(label="no")):
        with pytest.raises(ValueError, match="not tested on the same items"):
            compare_predictions(full, changed)


def test_adapter_names_each_pair_by_its_folder(tmp_path):
    paths = {}
    for kind, layers, right in (("full", 12, [True, True]), ("pruned", 3, [False, False])):
        paths[kind] = []
        for seed in (0, 5):
            folder = tmp_path / f"NA/words/{layers}/{seed}"
            folder.mkdir(parents=True)
            # a word that pandas would take for a missing value
            predictions(right).assign(label="null").replace("yes", "null").to_csv(
                folder / "predictions.csv", index=False
            )
            paths[kind].append(str(folder / "predictions.csv"))
    output = tmp_path / "significance.csv"
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**paths),
            output=SimpleNamespace(table=str(output)),
            log=[str(tmp_path / "log")],
        )
    )
    table = csv_files.read(output)
    assert table[["model", "task", "layers", "seed"]].values.tolist() == [
        ["NA", "words", 3, 0],
        ["NA", "words", 3, 5],
    ]
    assert table["only_full"].tolist() == [2, 2]


@pytest.mark.parametrize("chances", [(0.03, 0.03), (0.1, 0.02), (0.05, 0.15)])
@pytest.mark.parametrize("n", [50, 500])
def test_the_interval_holds_the_true_difference_nineteen_times_in_twenty(chances, n):
    """Simulated: `chances` that an item is right in the full model alone, and in the pruned one alone."""
    cells = np.random.default_rng(0).multinomial(n, [*chances, 1 - sum(chances)], size=4000)
    intervals = np.array([paired_interval(n, full, pruned) for full, pruned, _ in cells])
    true = chances[1] - chances[0]
    covered = ((intervals[:, 0] <= true) & (true <= intervals[:, 1])).mean()
    assert 0.93 < covered < 0.99
