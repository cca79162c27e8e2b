"""Rank correlations against scipy's and counting, and where a curve stops rising."""

from itertools import permutations
from types import SimpleNamespace

import correlate_convexity as adapter
import numpy as np
import pandas as pd
import pytest
from convexprune.jobs import csv_files
from convexprune.results import correlation
from scipy.stats import spearmanr


def test_rho_is_spearmans_and_p_the_share_of_orders_as_extreme():
    rng = np.random.default_rng(0)
    x, y = np.round(rng.random(6), 1), rng.random(6)
    y[0] = y[1]
    rho, p = correlation.rank_correlation(x, y)
    assert rho == pytest.approx(spearmanr(x, y).statistic)
    found = np.array([spearmanr(x, order).statistic for order in permutations(y)])
    tail = min((found >= rho - 1e-9).mean(), (found <= rho + 1e-9).mean())
    assert p == pytest.approx(min(1, 2 * tail))


def test_many_points_are_tested_with_random_orders():
    x = np.arange(30)
    rho, p = correlation.rank_correlation(x, x**3)
    assert (rho, p) == (pytest.approx(1), pytest.approx(2 / 10_000))
    assert correlation.rank_correlation(x, x**3) == (rho, p)


@pytest.mark.parametrize("points", [([1, 2], [3, 4]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5])])
def test_too_few_or_constant_points_have_none(points):
    assert np.isnan(correlation.rank_correlation(*points)).all()


MODELS = {"a": 4, "b": 3, "c": 4}
LAST = {"a": 0.9, "b": 0.6, "c": 0.95}
ACCURACY = {"a": 0.97, "b": 0.70, "c": 0.98}


@pytest.fixture
def finetuning():
    rows = []
    for (model, full), task, seed in (
        (m, t, s) for m in MODELS.items() for t in ("words", "speakers") for s in (0, 7)
    ):
        accuracy = ACCURACY[model] - (0.3 if task == "speakers" else 0) - (0.5 if seed == 7 else 0)
        common = {"model": model, "task": task, "full_layers": full, "seed": seed, "sigma": 0.01}
        rows += [
            common | {"layers": layers, "accuracy": accuracy - (full - layers) / 100}
            for layers in (0, 2, full)
        ]
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


@pytest.fixture
def convexity():
    rows = []
    for model, full in MODELS.items():
        for state in ("pretrained", "words", "speakers"):
            for dataset in ("words", "speakers", "phonemes"):
                rising = [0.99, *np.linspace(0.2, 0.8, full - 1), 0.5]
                own = [0.99, 0.2, LAST[model] - 0.01, *[LAST[model] + 0.005] * (full - 3), LAST[model]]
                curve = own if state == dataset else rising
                rows += [
                    {"model": model, "state": state, "dataset": dataset, "layers": layers}
                    | {"score": score, "class_score": 1 - score, "stderr": 0.02, "class_stderr": 0.03}
                    for layers, score in enumerate(curve)
                ]
    return pd.DataFrame(rows)


def test_convergence_is_that_of_the_embedded_full_run_on_its_own_classes(finetuning, convexity):
    table = correlation.study_convergence(finetuning, convexity, "pair", 0.02, seed=0)
    assert table[["task", "model"]].values.tolist() == [[t, m] for t in ("words", "speakers") for m in "abc"]
    words = table[table["task"] == "words"].set_index("model")
    assert words["accuracy"].to_dict() == pytest.approx(ACCURACY)  # of seed 0, all layers
    assert words["convexity"].to_dict() == pytest.approx(LAST)
    assert (words["stderr"] == 0.02).all()
    assert words["stops_rising"].tolist() == [2, 2, 2]
    assert words["convexity_there"].to_dict() == pytest.approx({m: LAST[m] - 0.01 for m in LAST})
    strict = correlation.study_convergence(finetuning, convexity, "pair", 0.0, seed=0)
    assert strict.query("task == 'words'")["stops_rising"].tolist() == [3, 3, 3]
    by_class = correlation.study_convergence(finetuning, convexity, "class", 0.02, seed=0)
    assert by_class.query("task == 'words'")["stderr"].tolist() == [0.03] * 3


@pytest.fixture
def groups():
    """Four classes of each model, one without convexity, and a speaker."""
    rows = [("class", "no", 0.9, 0.5), ("class", "up", 0.7, 0.4), ("class", "yes", 0.8, 0.6)]
    rows += [("class", "one", 0.1, np.nan), ("speaker", "ann", 0.2, np.nan)]
    table = pd.DataFrame(rows, columns=["kind", "group", "pruned", "convexity"])
    return pd.concat([table.assign(task="words", model=model) for model in MODELS])


def test_relations(finetuning, convexity, groups):
    convergence = correlation.study_convergence(finetuning, convexity, "pair", 0.02, seed=0)
    table = correlation.correlate(convergence, groups)
    assert table[["relation", "task", "model", "n"]].values.tolist() == [
        ["last-layer convexity", "words", "all", 3],
        ["last-layer convexity", "speakers", "all", 3],
        ["last-layer convexity", "all", "all", 6],
        *(["class convexity", "words", model, 3] for model in MODELS),
    ]
    rho = table.set_index(["relation", "task", "model"])["rho"]
    assert rho["last-layer convexity", "words", "all"] == pytest.approx(1)
    assert rho["class convexity", "words", "b"] == pytest.approx(spearmanr([9, 7, 8], [5, 4, 6]).statistic)
    # only classes, and models of one task, can be exchanged for each other: of models, 2 of the 6 orders of
    # three are as far apart; of classes, all
    tested = table.set_index(["relation", "task"])["p_value"].dropna()
    assert tested.pop(("class convexity", "words")).tolist() == [1, 1, 1]
    assert tested.to_dict() == {
        ("last-layer convexity", task): pytest.approx(1 / 3) for task in ("words", "speakers")
    }
    both = convergence[["convexity", "accuracy"]]
    over_all = table.set_index(["task", "relation"])["rho"]["all", "last-layer convexity"]
    assert over_all == pytest.approx(spearmanr(both).statistic)


NAMES = {"a": "007", "b": "NA", "c": "1e5"}  # as models may be called


def test_adapter(finetuning, convexity, groups, tmp_path):
    sources = {"finetuning": finetuning, "convexity": convexity, "groups": groups}
    paths = {name: str(tmp_path / f"{name}.csv") for name in sources}
    for name, path in paths.items():
        sources[name].replace(NAMES).to_csv(path, index=False)
    output = {name: str(tmp_path / "out" / name) for name in ("convergence", "correlations")}
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**paths),
            output=SimpleNamespace(**output),
            params=SimpleNamespace(settings={"average": "pair", "seed": 0, "tolerance": 0.02}),
            log=[str(tmp_path / "log")],
        )
    )
    assert set(csv_files.read(output["correlations"])["relation"]) == {
        "last-layer convexity",
        "class convexity",
    }
    convergence = csv_files.read(output["convergence"])
    assert convergence["model"].tolist() == 2 * sorted(NAMES.values())
