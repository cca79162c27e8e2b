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
from convexprune.convexity.score import graph_convexity
from convexprune.jobs import csv_files, progress, provenance
from convexprune.setup import schema

SCORES = [0.9, 0.30, 0.46, 0.50, 0.49, 0.50]  # of 0..5 layers: 0 is the highest, but is no layer to keep


def convexity(scores=SCORES, **columns):
    table = {"model": "tiny", "state": "pretrained", "dataset": "words", "layers": range(len(scores))}
    return pd.DataFrame(table | {"score": scores, "class_score": scores[::-1]} | columns)


def plan(rule, table=None, average="pair", layers=5, **choice):
    choice = {"layers": layers, "rule": rule, "keep": None, "tolerance": None, "split": "test"} | choice
    return planning.plan_layers({"tiny": {"words": choice}}, table, average).iloc[0]


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
        output=SimpleNamespace(scores=tmp_path / "words.csv", classes=tmp_path / "words.classes.csv"),
        params=SimpleNamespace(settings={"n_neighbors": 3}),
        wildcards=SimpleNamespace(model="2024", state="pretrained", dataset="words"),
        threads=1,
        log=log,
    )
    written = set()
    for scored.threads in (1, 2, 4):
        score_convexity.main(scored)
        written.add((scored.output.scores.read_bytes(), scored.output.classes.read_bytes()))
    assert len(written) == 1
    assert ": 0 of 3, " in Path(log[0]).read_text(encoding="utf-8")  # how far it is
    scores = csv_files.read(tmp_path / "words.csv")
    assert scores.columns.tolist() == [
        *("model", "state", "dataset", "layers", "score", "stderr", "chance"),
        *("class_score", "class_stderr", "class_chance", "n_items", "n_classes", "n_pairs", "n_unreachable"),
    ]
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
        input=SimpleNamespace(scores=[tmp_path / "words.csv"]),
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
    assert table.columns.tolist() == ["model", "task", "layers", "full_layers", "rule", "reason"]
    assert table[["model", "layers"]].values.tolist() == [["2024", 2]]
