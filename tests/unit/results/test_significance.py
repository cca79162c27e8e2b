"""McNemar's exact test against the binomial sum, on predictions made to order; and Holm's correction."""

from itertools import combinations
from math import comb, isnan, nan
from types import SimpleNamespace

import compare_predictions as adapter
import numpy as np
import pandas as pd
import pytest
from convexprune.jobs import csv_files
from convexprune.results import noninferiority, significance
from convexprune.results.significance import correct_for_models, holm, pair_predictions, paired_interval
from hypothesis import given
from hypothesis import strategies as st


def predictions(right) -> pd.DataFrame:
    table = pd.DataFrame({"item": [f"{i}.wav" for i in range(len(right))], "label": "yes"})
    return table.assign(predicted=["yes" if correct else "no" for correct in right])


def pair(both, only_full, only_pruned, neither):
    counts = (both, only_full, only_pruned, neither)
    full = [True] * both + [True] * only_full + [False] * (only_pruned + neither)
    pruned = [True] * both + [False] * only_full + [True] * only_pruned + [False] * neither
    assert len(full) == len(pruned) == sum(counts)
    return predictions(full), predictions(pruned)


def dataset_of(run, speakers=()) -> pd.DataFrame:
    """The dataset of a run's items and others, in another order; by default of no known speakers."""
    known = [*speakers] or [""] * len(run)
    table = run[["item", "label"]].assign(speaker=known, start=0, end=1, split="test")
    return pd.concat([table, table.assign(item="other " + table["item"], split="train")])[::-1]


def compare_predictions(full, pruned, speakers=()):
    return significance.compare_predictions(full, pruned, dataset_of(full, speakers))


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


def test_the_bounds_are_of_the_items_and_of_the_speakers_where_they_are_known():
    runs, speakers = pair(6, 5, 2, 7), [f"voice {i % 4}" for i in range(20)]
    lost = np.repeat([0, 1, -1, 0], [6, 5, 2, 7])
    found = compare_predictions(*runs, speakers)
    assert found["worse_at_most"] == noninferiority.exact_bound(20, 5, 2)
    assert found["worse_at_most_by_speaker"] == noninferiority.clustered_bound(lost, speakers)
    assert found["n_speakers"] == 4
    assert compare_predictions(*runs)["worse_at_most"] == found["worse_at_most"]


@pytest.mark.parametrize("speakers", [[], ["ann", *[""] * 19], ["yes"] * 20])
def test_nothing_is_said_of_speakers_who_are_unknown_or_the_labels(speakers):
    found = compare_predictions(*pair(6, 5, 2, 7), speakers)
    assert all(isnan(found[name]) for name in found if "speaker" in name)
    table = pair_predictions(*pair(6, 5, 2, 7), dataset_of(pair(6, 5, 2, 7)[0], speakers))
    assert set(table["speaker"]) == {""}


def test_the_worst_group_is_that_with_the_lowest_accuracy_of_each_run():
    full, pruned = pair(2, 1, 1, 2)  # right: full 1 1 1 0 0 0, pruned 1 1 0 1 0 0
    runs = [
        run.assign(label=list("aabbcc"), predicted=list(p))
        for run, p in ((full, "aabxxx"), (pruned, "aaxbxc"))
    ]
    found = compare_predictions(*runs, ["u", "v", "u", "v", "u", "v"])
    assert (found["full_worst_class"], found["pruned_worst_class"]) == (0, 0.5)
    assert (found["full_worst_speaker"], found["pruned_worst_speaker"]) == pytest.approx((1 / 3, 1 / 3))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    """By definition: one is rejected if Bonferroni rejects every set of hypotheses that has it."""
    every = [
        chosen for size in range(1, len(p_values) + 1) for chosen in combinations(range(len(p_values)), size)
    ]
    expected = [
        max(min(1, len(chosen) * min(p_values[i] for i in chosen)) for chosen in every if one in chosen)
        for one in range(len(p_values))
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_a_missing_p_value_stays_missing_and_does_not_count():
    assert holm([nan, 0.01, 0.04]) == pytest.approx([nan, 0.02, 0.04], nan_ok=True)
    assert isnan(holm([nan])[0])


def test_models_are_corrected_within_their_task_and_seed_and_whole_ones_do_not_count():
    rows = [
        ("a", "words", 2, 0, 0.01),
        ("b", "words", 2, 0, 0.04),
        ("c", "words", 4, 0, 1.0),
        ("a", "speakers", 1, 0, 0.03),
        ("a", "words", 2, 1, 0.2),
    ]
    table = pd.DataFrame(rows, columns=["model", "task", "layers", "seed", "p_value"])
    table = table.assign(full_layers=4, worse_at_most=0.1, worse_at_most_by_speaker=0.2)
    found = correct_for_models(table)
    assert found["p_holm"].tolist() == pytest.approx([0.02, 0.04, nan, 0.03, 0.2], nan_ok=True)
    assert found["worse_at_most"].isna().tolist() == [False, False, True, False, False]
    assert found["worse_at_most_by_speaker"].isna().tolist() == [False, False, True, False, False]


def test_adapter_names_each_pair_by_its_folder(tmp_path):
    paths = {"datasets": [str(tmp_path / "words.csv")]}
    dataset_of(predictions([True, True]), ["ann", "bob"]).assign(label="null").to_csv(
        paths["datasets"][0], index=False
    )
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
    assert table["only_full"].tolist() == [2, 2] and table["n_speakers"].tolist() == [2, 2]
    assert table["full_layers"].tolist() == [12, 12] and table["p_holm"].equals(table["p_value"])


@pytest.mark.parametrize("chances", [(0.03, 0.03), (0.1, 0.02), (0.05, 0.15)])
@pytest.mark.parametrize("n", [50, 500])
def test_the_interval_holds_the_true_difference_nineteen_times_in_twenty(chances, n):
    """Simulated: `chances` that an item is right in the full model alone, and in the pruned one alone."""
    cells = np.random.default_rng(0).multinomial(n, [*chances, 1 - sum(chances)], size=4000)
    intervals = np.array([paired_interval(n, full, pruned) for full, pruned, _ in cells])
    true = chances[1] - chances[0]
    covered = ((intervals[:, 0] <= true) & (true <= intervals[:, 1])).mean()
    assert 0.93 < covered < 0.99
