"""The choices of layers, worked out by hand on one small sweep."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import study_choices as adapter
from convexprune import selection

FULL = 6
TRAINED = {  # layers -> test accuracy of two seeds, validation accuracy, seconds
    0: (0.99, 0.99, 0.99, 900.0),  # no layer: better than all others, yet nobody's choice
    1: (0.60, 0.62, 0.60, 10.0),
    2: (0.70, 0.74, 0.79, 20.0),
    4: (0.90, 0.86, 0.85, 40.0),
    6: (0.80, 0.82, 0.85, 60.0),
}
CONVEXITY = [0.9, 0.10, 0.47, 0.48, 0.30, 0.50, 0.20]  # highest at 5, which was not trained
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
        | {"validation_accuracy": validation, "training_time": seconds}
        for layers, (first, second, validation, seconds) in TRAINED.items()
        for seed in (0, 1)
    ]
    other = pd.DataFrame(runs).assign(model="other", accuracy=0.1)
    score = pd.DataFrame(
        {"model": "tiny", "state": "pretrained", "dataset": "words", "layers": range(FULL + 1)}
    )
    score = score.assign(score=CONVEXITY, class_score=CONVEXITY[::-1])
    probe = pd.DataFrame(common | {"layers": range(FULL + 1), "accuracy": PROBE, "stderr": 0.015})
    return {
        "finetuning": pd.concat([other, pd.DataFrame(runs)]).sample(frac=1, random_state=0),
        "convexity": pd.concat([score.assign(state="words", score=0.7), score]),
        "plan": pd.DataFrame([common | {"layers": 1, "full_layers": FULL}]),
        "costs": pd.DataFrame(common | {"layers": range(FULL + 1), "multiply_adds": range(100, 107)}),
        "probes": probe,
        "seconds": pd.DataFrame(
            {"embed": [5.0], "score_convexity": [2.0], "probe_layers": [3.0]},
            index=pd.MultiIndex.from_tuples([("tiny", "words")]),
        ),
    }


def study(sources, average="pair", tolerance=0.04):
    models = {"words": ["tiny"]}
    return selection.study_choices(**sources, models=models, average=average, tolerance=tolerance)


def test_every_choice_by_hand(sources):
    found = study(sources).set_index("choice")
    assert found["layers"].to_dict() == {
        "plan": 1,
        "convexity": 2,  # 0.47 is within 0.04 of 0.50
        "highest convexity": 2,  # 5 has the highest; of those trained, 2
        "linear probe": 2,  # 0.687 is within 0.015 of 0.70, and fewer layers than 0.69
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
    judged = {
        "plan": 7,
        "convexity": 7,
        "highest convexity": 7,
        "linear probe": 8,
        "middle layer": 0,
        "no pruning": 0,
        "whole sweep": 260,
        "best on test": 260,
    }
    assert found["seconds"].to_dict() == judged


def test_the_tolerance_and_the_average_are_those_asked_for(sources):
    assert study(sources, tolerance=0.5).set_index("choice").loc["convexity", "layers"] == 1
    by_class = study(sources, average="class").set_index("choice")
    assert by_class.loc[["convexity", "highest convexity"], "layers"].tolist() == [
        6,
        6,
    ]  # 0.9, from the other end


def test_seconds_are_read_from_the_benchmarks_of_the_pretrained_model(tmp_path):
    for path, seconds in (
        ("embed/tiny/pretrained/words.tsv", 5.5),
        ("embed/tiny/words/words.tsv", 1.0),
        ("probe_layers/tiny/words.tsv", 3.25),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:05\t-\n")
    found = selection.read_seconds(tmp_path, {"words": ["tiny"]}).loc[("tiny", "words")]
    assert found[["embed", "probe_layers"]].tolist() == [5.5, 3.25]
    assert np.isnan(found["score_convexity"])  # was not kept


def test_markdown_is_aligned_and_says_what_was_lost(sources):
    choices = study(sources)
    choices["multiply_adds"] = 2e9 + 1e8 * (choices["layers"] == 2)
    text = selection.markdown(choices, 0.04)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({tuple(i for i, c in enumerate(row) if c == "|") for row in rows}) == 1
    cells = {
        row.strip("|").split("|")[0].strip(): [c.strip() for c in row.strip("|").split("|")][1:]
        for row in rows
    }
    assert cells["convexity"] == ["2: 72.00", "16.00", "0:00:07", "2.10"]
    assert cells["whole sweep"] == ["4: 88.00", "0.00", "0:04:20", "2.00"]
    assert "within 0.04 of" in text
    assert list(cells)[2:] == list(selection.CHOICES)


def test_time_that_is_not_known_is_left_empty(sources):
    sources["seconds"]["embed"] = np.nan
    text = selection.markdown(study(sources), 0.04)
    assert "nan" not in text
    row = next(line for line in text.splitlines() if line.startswith("| convexity"))
    assert [cell.strip() for cell in row.strip("|").split("|")][2:4] == ["16.00", ""]


def test_hours_are_told_as_such():
    assert selection._duration(36 * 3600 + 61.4) == "36:01:01"


def test_adapter(sources, tmp_path):
    paths = {name: str(tmp_path / f"{name}.csv") for name in sources if name not in ("probes", "seconds")}
    for name, path in paths.items():
        sources[name].to_csv(path, index=False)
    sources["probes"].to_csv(tmp_path / "probe.csv", index=False)
    settings = {"average": "pair", "tolerance": 0.04, "models": {"words": ["tiny"]}}
    outputs = {name: str(tmp_path / name) for name in ("csv", "markdown")}
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**paths, probes=[str(tmp_path / "probe.csv")]),
            output=SimpleNamespace(**outputs),
            params=SimpleNamespace(settings=settings | {"benchmarks": str(tmp_path / "none")}),
            log=[str(tmp_path / "log")],
        )
    )
    sources["seconds"][:] = np.nan
    expected = study(sources)
    pd.testing.assert_frame_equal(pd.read_csv(outputs["csv"]), expected, check_dtype=False)
    assert (tmp_path / "markdown").read_text() == selection.markdown(expected, 0.04)
