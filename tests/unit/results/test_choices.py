"""The choices of layers and their costs, worked out by hand on one small sweep."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import study_choices as adapter
from convexprune.jobs import csv_files
from convexprune.results import choices, choices_text, verdict
from scipy.stats import spearmanr

FULL = 6
TRAINED = {  # layers -> test accuracy of two seeds, validation accuracy, steps of training
    0: (0.99, 0.99, 0.99, 900),  # no layer: better than all others, yet nobody's choice
    1: (0.60, 0.62, 0.60, 30),
    2: (0.70, 0.74, 0.79, 50),
    4: (0.90, 0.86, 0.85, 20),
    6: (0.80, 0.82, 0.85, 60),
}
STEP = {0: (0.4, 0.1), 1: (0.5, 0.2), 2: (0.9, 0.4), 4: (0.5, 0.75)}  # s of the full model's, and the ratio
CRITERIA = {  # by layers; highest at 5, which was not trained; at 0 a value that is nobody's choice
    "graph convexity": [0.9, 0.10, 0.47, 0.485, 0.30, 0.50, 0.20],
    "block influence": [0.0, 0.90, 0.12, 0.30, 0.60, 0.10, np.nan],  # the lower the better, 0.8 from 1 to 5
    "convexity across speakers": [np.nan] * 7,
}
FOLDED = [0.99, 0.2, 0.79, 0.85, 0.91, 0.93, 0.94]  # of the first seed; of the second, 0.01 less


@pytest.fixture
def sources():
    common = {"model": "tiny", "task": "words"}
    runs = [
        common
        | {
            "layers": layers,
            "full_layers": FULL,
            "seed": seed,
            "sigma": 0.01,
            "accuracy": (first, second)[seed],
        }
        | {
            "validation_accuracy": validation,
            "steps": steps,
            "training_time": 1e6 * (seed + 1) / (layers + 1),
        }
        for layers, (first, second, validation, steps) in TRAINED.items()
        for seed in (0, 1)
    ]
    other = pd.DataFrame(runs).assign(model="other", accuracy=0.1)
    criteria = [
        {"model": "tiny", "state": "pretrained", "dataset": "words", "layers": layers, "criterion": name}
        | {"value": value, "seconds": 0.5}
        for name, values in CRITERIA.items()
        for layers, value in enumerate(values)
    ]
    criteria = pd.DataFrame(criteria)
    timing = pd.DataFrame(
        [
            common
            | {"layers": layers, "full_layers": FULL, "step_full_median": step, "step_ratio_median": ratio}
            for layers, (step, ratio) in STEP.items()
        ]
    )
    folding = [
        pd.DataFrame(
            common | {"layers": range(FULL + 1), "validation_accuracy": np.array(FOLDED) - 0.01 * seed}
        )
        for seed in (0, 1)
    ]
    folding = pd.concat(folding).assign(pass_seconds=3.0, fold_seconds=0.5)
    return {
        "folding": folding.sample(frac=1, random_state=0),
        "finetuning": pd.concat([other, pd.DataFrame(runs)]).sample(frac=1, random_state=0),
        "criteria": pd.concat([criteria.assign(state="words", value=0.7), criteria]),
        "plan": pd.DataFrame([common | {"layers": 1, "full_layers": FULL}]),
        "costs": pd.DataFrame(common | {"layers": range(FULL + 1), "multiply_adds": range(100, 107)}),
        "timing": pd.concat([timing, timing.assign(task="speakers", step_full_median=99.0)]),
    }


@pytest.fixture
def seconds():
    return pd.DataFrame(
        {"embed": [5.0], "score_convexity": [2.0]}, index=pd.MultiIndex.from_tuples([("tiny", "words")])
    )


def study(tables, seconds):
    return choices.study_runs(tables, seconds, {"words": ["tiny"]})


def averaged(tables, seconds):
    table = choices.average_seeds(study(tables, seconds))
    return table.set_index(table["choice"] + table["rule"].map(lambda rule: rule and f", {rule}"))


def test_every_choice_by_hand(sources, seconds):
    found = averaged(sources, seconds)
    assert found["picked"].to_dict() == {
        "plan": 1,
        "graph convexity, fewest": 3,  # 0.485 is within 0.05 * 0.4 of 0.50
        "graph convexity, best": 5,
        "block influence, fewest": 2,  # 0.12 is within 0.05 * 0.8 of 0.10
        "block influence, best": 5,
        "folded model, fewest": 4,  # 0.905 is within 0.05 * 0.74 of 0.935
        "folded model, best": 6,
        "middle layer": 2,  # 2 and 4 are as near to 3
        "no pruning": 6,
        "whole sweep": 4,  # 0.85 as 6, with fewer layers
        "best on test": 4,
    }
    judged = found["picked"].replace({3: 4, 5: 6})  # the next deeper trained one
    assert found["layers"].to_dict() == judged.to_dict()
    lost = {1: 0.27, 2: 0.16, 4: 0.0, 6: 0.07}
    for row in found.itertuples():
        assert row.accuracy == pytest.approx(np.mean(TRAINED[row.layers][:2]))
        assert row.spread == pytest.approx(np.std(TRAINED[row.layers][:2], ddof=1))
        assert row.lost == pytest.approx(lost[row.layers])
        assert row.multiply_adds == 100 + row.layers
    # Two seeds; a step of the full model takes 0.5 s, the median of four. Clocks of runs do not count.
    trained = 2 * 0.5 * (0.2 * 30 + 0.4 * 50 + 0.75 * 20 + 60)
    folded = 2 * (0.5 * 60 + 3 + 0.5)
    assert found["seconds"].to_dict() == {
        **dict.fromkeys(["plan", "graph convexity, fewest", "graph convexity, best"], 7),
        **dict.fromkeys(["block influence, fewest", "block influence, best"], 5 + 7 * 0.5),
        **dict.fromkeys(["folded model, fewest", "folded model, best"], folded),
        **dict.fromkeys(["middle layer", "no pruning"], 0),
        **dict.fromkeys(["whole sweep", "best on test"], pytest.approx(trained)),
    }


def test_a_seed_loses_against_the_depth_that_is_best_over_seeds(sources, seconds):
    runs = study(sources, seconds).query("choice == 'no pruning'").set_index("seed")
    assert runs["lost"].to_dict() == pytest.approx({0: 0.90 - 0.80, 1: 0.86 - 0.82})
    first = study(sources, seconds).query("choice == 'plan' and seed == 0")
    assert first["accuracy"].item() == 0.60 and first["sigma"].item() == 0.01


def test_rank_correlations_are_those_of_scipy_over_trained_depths_with_values(sources, seconds):
    runs = study(sources, seconds).set_index(["choice", "rule", "seed"])["rho"]
    for name, sign in (("graph convexity", 1), ("block influence", -1)):
        depths = [k for k in (1, 2, 4, 6) if not np.isnan(CRITERIA[name][k])]
        for seed in (0, 1):
            expected = spearmanr(
                [sign * CRITERIA[name][k] for k in depths], [TRAINED[k][seed] for k in depths]
            )
            assert runs[name, "fewest", seed] == runs[name, "best", seed] == pytest.approx(expected.statistic)
    assert runs.loc[["plan", "middle layer", "no pruning"]].isna().all()
    sources["criteria"].loc[sources["criteria"]["layers"] > 3, "value"] = np.nan
    few = study(sources, seconds).set_index(["choice", "rule", "seed"])["rho"]
    assert few["graph convexity"].isna().all()  # two depths have no order


def test_seconds_are_read_from_the_benchmarks_of_the_pretrained_model(tmp_path):
    for path, seconds in (("embed/tiny/pretrained/words.tsv", 5.5), ("embed/tiny/words/words.tsv", 1.0)):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:05\t-\n", encoding="utf-8")
    found = choices.read_seconds(tmp_path, {"words": ["tiny"]}, {"words": "words"}).loc[("tiny", "words")]
    assert found["embed"] == 5.5
    assert np.isnan(found["score_convexity"])  # was not kept
    shared = choices.read_seconds(tmp_path, {"moods": ["tiny"]}, {"moods": "words"}).loc[("tiny", "moods")]
    assert shared["embed"] == 5.5  # of the dataset whose embeddings it has


def test_adapter(sources, seconds, tmp_path):
    paths = {name: str(tmp_path / f"{name}.csv") for name in sources}
    for name, path in paths.items():
        sources[name].replace("tiny", "2024").to_csv(path, index=False)
    settings = {"models": {"words": ["2024"]}, "benchmarks": str(tmp_path), "embedded": {"words": "words"}}
    outputs = {name: str(tmp_path / name) for name in ("csv", "verdict", "markdown")}
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**paths),
            output=SimpleNamespace(**outputs),
            params=SimpleNamespace(settings=settings),
            log=[str(tmp_path / "log")],
        )
    )
    seconds[:] = np.nan
    runs = study(sources, seconds).replace("tiny", "2024")
    expected, judged = choices.average_seeds(runs), verdict.judge(runs)
    pd.testing.assert_frame_equal(csv_files.read(outputs["csv"]), expected, check_dtype=False)
    pd.testing.assert_frame_equal(csv_files.read(outputs["verdict"]), judged, check_dtype=False)
    text = (tmp_path / "markdown").read_text(encoding="utf-8")
    assert text == choices_text.write_markdown(expected, judged)
