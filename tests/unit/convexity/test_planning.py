"""The choice of layers, and the adapters of convexity and plan from embeddings file to CSV."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import merge_tables
import numpy as np
import pandas as pd
import plan_layers
import pytest
import score_convexity
from convexprune.convexity import planning
from convexprune.convexity.comparison import compare_convexity, find_covariances
from convexprune.convexity.layers import find_speakers
from convexprune.convexity.score import graph_convexity
from convexprune.jobs import csv_files, progress, provenance
from convexprune.setup import schema

SCORES = [0.9, 0.30, 0.46, 0.50, 0.49, 0.50]  # of 0..5 layers: 0 is the highest, but is no layer to keep


def convexity(scores=SCORES, **columns):
    table = {"model": "tiny", "state": "pretrained", "dataset": "words", "layers": range(len(scores))}
    measured = {"score": scores, "class_score": scores[::-1], "n_groups": np.nan}
    return pd.DataFrame(table | measured | columns)


def covariances(n=6, error=0.01, **columns):
    """Those of layers with errors of their own."""
    cells = [(a, b, error**2 * (a == b), np.nan) for a in range(n) for b in range(n)]
    table = pd.DataFrame(cells, columns=["layers", "other_layers", "covariance", "freedom"])
    known = {"model": "tiny", "state": "pretrained", "dataset": "words"}
    return pd.concat([table.assign(**known, average=average, **columns) for average in ("pair", "class")])


def plan(rule, table=None, average="pair", layers=5, **choice):
    error = choice.pop("error", 0.01)
    choice = {"layers": layers, "rule": rule, "keep": None, "split": "test"} | choice
    squares, table = covariances(error=error), convexity([]) if table is None else table
    return planning.plan_layers({"tiny": {"words": choice}}, table, squares, average).iloc[0]


@pytest.mark.parametrize(
    ("tolerance", "layers"), [(0, 3), (0.0399, 3), (0.0401, 2), (0.19, 2), (0.2001, 1), (1, 1)]
)
def test_tolerance_keeps_the_fewest_layers_within_it(tolerance, layers):
    row = plan("tolerance", convexity(), tolerance=tolerance)
    assert row["layers"] == layers
    assert "3 layers (0.5000)" in row["reason"]
    assert f"({SCORES[layers]:.4f})" in row["reason"]


def test_highest_keeps_the_fewest_of_the_best():
    row = plan("highest", convexity())
    assert (row["layers"], row["full_layers"], row["rule"]) == (3, 5, "highest")


def test_the_config_takes_each_rule_and_no_other():
    allowed = schema.validator().schema["properties"]["plan"]["properties"]["rule"]
    assert allowed["enum"] == list(planning.RULES)
    assert all(f"{rule}: " in allowed["description"] for rule in planning.RULES)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_reason_says_where_a_choice_has_seen_what_it_is_judged_by(split):
    reason = plan("highest", convexity(), split=split)["reason"]
    assert f"Measured on the {split} split" in reason
    assert ("the accuracy is reported" in reason) == (split == "test")


def test_explicit_needs_no_scores_and_may_keep_none():
    assert plan("explicit", keep=0)["layers"] == 0


def test_average_by_class_reads_its_own_column():
    assert plan("highest", convexity(), average="class")["layers"] == 5


def test_only_the_pretrained_model_on_its_own_dataset_counts():
    others = [convexity([0.0, 0.1, 0.1, 0.1, 0.1, 0.99], **{name: "other"}) for name in ("state", "dataset")]
    table = pd.concat([*others, convexity()])
    assert plan("highest", table)["layers"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "explicit", "keep": 6}, "cannot keep 6 layers of tiny for words: it has 5"),
        ({"rule": "highest"}, r"no convexity of tiny on words for layers \[1, 2, 3, 4, 5\]"),
        ({"rule": "highest", "table": convexity([0.1, 0.2, 0.3])}, r"layers \[3, 4, 5\]"),
        ({"rule": "best", "table": convexity()}, "unknown rule 'best'"),
    ],
)
def test_bad_plans_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan(**arguments)


def test_from_embeddings_to_plan(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    rng = np.random.default_rng(0)
    labels = np.repeat(["yes", "no"], [12, 9])
    layers = rng.normal(size=(3, 21, 4)).astype(np.float32)
    layers[2, :12] += 10  # the last layer separates the words
    inputs = {"fingerprint": tmp_path / "corpus.sha256", "dataset": tmp_path / "items.csv"}
    inputs["fingerprint"].write_text("content\n", encoding="utf-8")
    items = pd.DataFrame({"item": [f"{i}.wav" for i in range(21)], "start": 0, "end": 1, "label": labels})
    items.assign(speaker="", split="validation").to_csv(inputs["dataset"], index=False)
    with h5py.File(tmp_path / "words.h5", "w") as file:
        file["hidden_states"] = layers
        file["labels"] = labels.astype(object)
        file["items"], file["starts"] = items["item"].tolist(), items["start"]
        origin = {"model": "2024", "state": "pretrained", "dataset": "words", "split": "validation"}
        file.attrs.update(
            origin | {"complete": True, "fingerprint": provenance.fingerprint(*inputs.values())}
        )

    log = [str(tmp_path / "log")]
    scored = SimpleNamespace(
        input=SimpleNamespace(embeddings=tmp_path / "words.h5", embedded=inputs["dataset"], **inputs),
        output=SimpleNamespace(
            scores=tmp_path / "words.csv",
            classes=tmp_path / "words.classes.csv",
            covariances=tmp_path / "words.covariances.csv",
        ),
        params=SimpleNamespace(settings={"n_neighbors": 3}),
        wildcards=SimpleNamespace(model="2024", state="pretrained", dataset="words"),
        threads=1,
        log=log,
    )
    written = set()
    for scored.threads in (1, 2, 4):
        score_convexity.main(scored)
        written.add(tuple(path.read_bytes() for path in vars(scored.output).values()))
    assert len(written) == 1
    assert ": 0 of 3, " in Path(log[0]).read_text(encoding="utf-8")  # how far it is
    scores = csv_files.read(tmp_path / "words.csv")
    assert scores.columns.tolist() == [
        *("model", "state", "dataset", "layers", "score", "stderr", "chance"),
        *("class_score", "class_stderr", "class_chance", "across_score", "class_across_score", "n_items"),
        *("n_groups", "n_classes", "n_pairs", "n_unreachable"),
        *("below_best", "below_best_stderr", "class_below_best", "class_below_best_stderr"),
    ]
    squares = csv_files.read(tmp_path / "words.covariances.csv")
    results = [graph_convexity(layer, labels, 3) for layer in layers]
    for row in squares.itertuples():
        expected = find_covariances(results)[["pair", "class"].index(row.average)]
        assert row.covariance == pytest.approx(expected[row.layers, row.other_layers], rel=1e-12)
        assert np.isnan(row.freedom) == (row.layers == row.other_layers) and not row.freedom > 20
    assert len(squares) == 2 * 3 * 3
    best = int(scores["score"].idxmax())
    for row in scores.itertuples():
        expected = compare_convexity(results[best], results[row.layers])
        assert (row.below_best, row.below_best_stderr) == (expected.score, expected.stderr)
    for row in scores.itertuples():
        expected = graph_convexity(layers[row.layers], labels, 3)
        assert (row.score, row.stderr, row.n_pairs) == (expected.score, expected.stderr, expected.n_pairs)
    assert scores.layers.tolist() == [0, 1, 2]

    classes = csv_files.read(tmp_path / "words.classes.csv")
    assert classes.columns.tolist() == [
        *("model", "state", "dataset", "layers", "label", "score", "stderr"),
        *("n_items", "n_pairs", "n_unreachable"),
    ]
    assert classes.label.tolist() == ["no", "yes"] * 3
    assert classes.n_items.tolist() == [9, 12] * 3

    merged = SimpleNamespace(
        input=SimpleNamespace(tables=[tmp_path / "words.csv"] * 2),
        output=SimpleNamespace(table=tmp_path / "convexity.csv"),
        log=log,
    )
    merge_tables.main(merged)
    assert len(csv_files.read(tmp_path / "convexity.csv")) == 2 * len(scores)

    planned = SimpleNamespace(
        input=SimpleNamespace(
            scores=[tmp_path / "words.csv"], covariances=[tmp_path / "words.covariances.csv"]
        ),
        output=SimpleNamespace(plan=tmp_path / "plan.csv"),
        params=SimpleNamespace(
            settings={
                "models": {"2024": {"words": {"layers": 2, "rule": "highest", "split": "validation"}}},
                "average": "pair",
            }
        ),
        log=log,
    )
    plan_layers.main(planned)
    table = csv_files.read(tmp_path / "plan.csv")
    assert table.columns.tolist() == planning.COLUMNS
    assert table[["model", "layers"]].values.tolist() == [["2024", 2]]


def test_significant_keeps_the_fewest_that_are_not_significantly_lower():
    """Errors of differences are 1.41 times those of scores; the critical value of five is about 2.2."""
    rule = {"rule": "significant", "alpha": 0.05, "margin": 0}
    assert plan(table=convexity(), error=0.001, **rule)["layers"] == 3
    row = plan(table=convexity(), error=0.02, **rule)
    assert row["layers"] == 2  # 0.04 below is 1.4 errors
    assert "After 2 layers, and no fewer, it is not significantly below that" in row["reason"]
    assert plan(table=convexity(), error=0.2, **rule)["layers"] == 1
    strict = plan(table=convexity(), error=0.001, **rule)
    assert "No fewer layers are as good" in strict["reason"]


def test_crumbs_within_the_margin_do_not_count():
    rule = {"rule": "significant", "alpha": 0.05, "table": convexity(), "error": 1e-6}
    assert plan(margin=0.039, **rule)["layers"] == 3
    assert plan(margin=0.041, **rule)["layers"] == 2


def test_a_plan_says_how_sure_it_is():
    row = plan("highest", convexity([0, 0.3, 0.5, 0.49, 0.1, 0.1]), error=0.01)
    assert 0.7 < row["stability"] < 0.82  # two layers 0.01 apart: 0.76
    assert (row["fewest"], row["most"]) == (2, 3)
    assert f"Of simulated samples, {100 * row['stability']:.0f} % choose 2 layers too" in row["reason"]
    assert "and 95 % choose 2 to 3." in row["reason"]
    assert pd.isna(plan("explicit", keep=0)["stability"])


@pytest.mark.parametrize(("n_groups", "told"), [(9, True), (10, False), (np.nan, False)])
def test_a_plan_says_where_speakers_are_few(n_groups, told):
    reason = plan("highest", convexity(n_groups=n_groups))["reason"]
    assert ("The recordings are of 9 speakers, which is few" in reason) == told


@pytest.mark.parametrize(
    ("labels", "speakers", "known"),
    [
        (["a", "a", "b", "b"], ["x", "y", "x", "y"], True),
        (["a", "a", "b", "b"], ["x", "y", "x", ""], False),  # one is unknown
        (["a", "a", "b", "b"], ["x", "x", "y", "y"], False),  # the speakers are the labels
        (["a", "a", "b", "b"], ["x", "y", "x", "x"], False),  # nothing tells how b varies over speakers
        (["a", "a", "b"], ["x", "y", "x"], True),  # b has no pairs
    ],
)
def test_speakers_are_groups_where_each_class_has_several(labels, speakers, known):
    items = pd.DataFrame({"label": labels, "speaker": speakers})
    found = find_speakers(items)
    assert (found is not None and found.tolist() == speakers) if known else found is None
