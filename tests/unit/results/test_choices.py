"""The choices of layers, worked out by hand on one small sweep."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import study_choices as adapter
from convexprune.jobs import csv_files
from convexprune.results import choices

FULL = 6
TRAINED = {  # layers -> test accuracy of two seeds, validation accuracy, steps of training
    0: (0.99, 0.99, 0.99, 900),  # no layer: better than all others, yet nobody's choice
    1: (0.60, 0.62, 0.60, 30),
    2: (0.70, 0.74, 0.79, 50),
    4: (0.90, 0.86, 0.85, 20),
    6: (0.80, 0.82, 0.85, 60),
}
STEP = {0: (0.4, 0.1), 1: (0.5, 0.2), 2: (0.9, 0.4), 4: (0.5, 0.75)}  # s of the full model's, and the ratio
CONVEXITY = [0.9, 0.10, 0.47, 0.48, 0.30, 0.50, 0.20]  # highest at 5, which was not trained
FOLDED = [0.99, 0.2, 0.79, 0.85, 0.91, 0.93, 0.94]  # of the first seed; of the second, 0.01 less
PROBE = [0.99, 0.30, 0.687, 0.50, 0.69, 0.70, 0.60]


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
    score = pd.DataFrame(
        {"model": "tiny", "state": "pretrained", "dataset": "words", "layers": range(FULL + 1)}
    )
    score = score.assign(score=CONVEXITY, class_score=CONVEXITY[::-1], n_items=900)
    judged = score[["model", "state", "dataset", "layers"]]
    probe = judged.assign(criterion="linear probe", value=PROBE, seconds=3 / (FULL + 1))
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
        "convexity": pd.concat([score.assign(state="words", score=0.7), score]),
        "plan": pd.DataFrame([common | {"layers": 1, "full_layers": FULL}]),
        "costs": pd.DataFrame(common | {"layers": range(FULL + 1), "multiply_adds": range(100, 107)}),
        "timing": pd.concat([timing, timing.assign(task="speakers", step_full_median=99.0)]),
        "criteria": pd.concat([judged.assign(criterion="logme", value=1.0, seconds=99.0), probe]),
    }


@pytest.fixture
def seconds():
    return pd.DataFrame(
        {"embed": [5.0], "score_convexity": [2.0]},
        index=pd.MultiIndex.from_tuples([("tiny", "words")]),
    )


def study(tables, seconds, average="pair", tolerance=0.04):
    return choices.study_choices(tables, seconds, {"words": ["tiny"]}, average, tolerance)


def test_every_choice_by_hand(sources, seconds):
    found = study(sources, seconds).set_index("choice")
    assert found["layers"].to_dict() == {
        "plan": 1,
        "convexity": 2,  # 0.47 is within 0.04 of 0.50
        "highest convexity": 2,  # 5 has the highest; of those trained, 2
        "linear probe": 2,  # 0.687 is within a standard error, 0.0153, of 0.70, and fewer layers than 0.69
        "folded model": 4,  # 0.905 is within 0.04 of 0.935
        "middle layer": 2,  # 2 and 4 are as near to 3
        "no pruning": 6,
        "whole sweep": 4,  # 0.85 as 6, with fewer layers
        "best on test": 4,
    }
    lost = {1: 0.27, 2: 0.16, 4: 0.0, 6: 0.07}
    for row in found.itertuples():
        assert row.accuracy == pytest.approx(np.mean(TRAINED[row.layers][:2]))
        assert row.spread == pytest.approx(np.std(TRAINED[row.layers][:2], ddof=1))
        assert row.lost == pytest.approx(lost[row.layers])
        assert row.multiply_adds == 100 + row.layers
    # Two seeds; a step of the full model takes 0.5 s, the median of four. Clocks of runs do not count.
    trained = 2 * 0.5 * (0.2 * 30 + 0.4 * 50 + 0.75 * 20 + 60)
    judged = {
        "plan": 7,
        "convexity": 7,
        "highest convexity": 7,
        "linear probe": pytest.approx(8),
        "folded model": 2 * (0.5 * 60 + 3 + 0.5),
        "middle layer": 0,
        "no pruning": 0,
        "whole sweep": pytest.approx(trained),
        "best on test": pytest.approx(trained),
    }
    assert found["seconds"].to_dict() == judged


def test_the_tolerance_and_the_average_are_those_asked_for(sources, seconds):
    assert study(sources, seconds, tolerance=0.5).set_index("choice").loc["convexity", "layers"] == 1
    by_class = study(sources, seconds, average="class").set_index("choice")
    assert by_class.loc[["convexity", "highest convexity"], "layers"].tolist() == [
        6,
        6,
    ]  # 0.9, from the other end


def test_the_folded_model_is_judged_on_validation_by_its_mean_over_seeds(sources, seconds):
    for tolerance, layers in ((0.16, 2), (0.14, 4), (0.0, 6)):  # 3 has 0.09 less than 6, but was not trained
        found = study(sources, seconds, tolerance=tolerance).set_index("choice")
        assert found.loc["folded model", "layers"] == layers


def test_seconds_are_read_from_the_benchmarks_of_the_pretrained_model(tmp_path):
    for path, seconds in (
        ("embed/tiny/pretrained/words.tsv", 5.5),
        ("embed/tiny/words/words.tsv", 1.0),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:05\t-\n", encoding="utf-8")
    found = choices.read_seconds(tmp_path, {"words": ["tiny"]}, {"words": "words"}).loc[("tiny", "words")]
    assert found["embed"] == 5.5
    assert np.isnan(found["score_convexity"])  # was not kept
    shared = choices.read_seconds(tmp_path, {"moods": ["tiny"]}, {"moods": "words"}).loc[("tiny", "moods")]
    assert shared["embed"] == 5.5  # of the dataset whose embeddings it has


def test_markdown_is_aligned_and_says_what_was_lost(sources, seconds):
    found = study(sources, seconds)
    found["multiply_adds"] = 2e9 + 1e8 * (found["layers"] == 2)
    text = choices.markdown(found, 0.04)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({tuple(i for i, c in enumerate(row) if c == "|") for row in rows}) == 1
    cells = {
        row.strip("|").split("|")[0].strip(): [c.strip() for c in row.strip("|").split("|")][1:]
        for row in rows
    }
    assert cells["convexity"] == ["2: 72.00", "16.00", "0:00:07", "2.10"]
    assert cells["whole sweep"] == ["4: 88.00", "0.00", "0:01:41", "2.00"]
    assert "within 0.04 of" in text
    assert list(cells)[2:] == list(choices.CHOICES)


def test_time_that_is_not_known_is_left_empty(sources, seconds):
    seconds["embed"] = np.nan
    text = choices.markdown(study(sources, seconds), 0.04)
    assert "nan" not in text
    row = next(line for line in text.splitlines() if line.startswith("| convexity"))
    assert [cell.strip() for cell in row.strip("|").split("|")][2:4] == ["16.00", ""]


def test_hours_are_told_as_such():
    assert choices._duration(36 * 3600 + 61.4) == "36:01:01"


def test_adapter(sources, seconds, tmp_path):
    paths = {name: str(tmp_path / f"{name}.csv") for name in sources}
    for name, path in paths.items():
        sources[name].replace("tiny", "2024").to_csv(path, index=False)
    settings = {"average": "pair", "tolerance": 0.04, "models": {"words": ["2024"]}}
    outputs = {name: str(tmp_path / name) for name in ("csv", "markdown")}
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**paths),
            output=SimpleNamespace(**outputs),
            params=SimpleNamespace(
                settings=settings | {"benchmarks": str(tmp_path / "none"), "embedded": {"words": "words"}}
            ),
            log=[str(tmp_path / "log")],
        )
    )
    seconds[:] = np.nan
    expected = study(sources, seconds).replace("tiny", "2024")
    pd.testing.assert_frame_equal(csv_files.read(outputs["csv"]), expected, check_dtype=False)
    assert (tmp_path / "markdown").read_text(encoding="utf-8") == choices.markdown(expected, 0.04)
