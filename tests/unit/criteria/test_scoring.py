"""All criteria of an embeddings file, and what becomes of data that cannot carry one."""

from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import score_criteria as adapter
from convexprune.convexity.neighbours import nearest_of_other_groups
from convexprune.criteria import classes, probes, registry, scoring, similarity
from convexprune.jobs import csv_files, provenance

N, D, L = 90, 6, 2
IDENTITY = {"model": "tiny", "state": "pretrained", "dataset": "words"}
NEXT = ["block influence", "cka with the next", "mutual neighbours with the next"]


def states(n=N, layers=L):
    rng = np.random.default_rng(0)
    return rng.normal(size=(layers + 1, n, D)).astype(np.float32) + 1


def scored(folder, hidden, labels, speakers, n_neighbors=5):
    n = hidden.shape[1]
    names = [f"{i}.wav" for i in range(n)]
    with h5py.File(folder / "embeddings.h5", "w") as file:
        file["hidden_states"], file["labels"] = hidden, np.asarray(labels, object)
        file["items"], file["starts"] = names[::-1], [0] * n  # in another order than the dataset
        file["hidden_states"][...] = hidden[:, ::-1]
        file.attrs.update({"split": "test", "complete": True})
    dataset = {"item": names, "start": 0, "label": labels, "speaker": speakers, "split": "test"}
    convexity = pd.DataFrame(
        {"graph convexity": np.linspace(0.5, 0.7, len(hidden)), "convexity across speakers": 0.25}
    )
    return scoring.score_layers(
        folder / "embeddings.h5",
        pd.DataFrame(dataset),
        convexity,
        identity=IDENTITY,
        n_neighbors=n_neighbors,
        threads=1,
    )


def test_every_criterion_has_its_row_at_every_layer(tmp_path):
    hidden, labels, speakers = states(), [f"w{i % 3}" for i in range(N)], [f"s{i % 7}" for i in range(N)]
    criteria, similarities = scored(tmp_path, hidden, labels, speakers)
    assert list(criteria) == ["model", "state", "dataset", *scoring.COLUMNS]
    assert list(similarities) == ["model", "state", "dataset", *scoring.SIMILARITIES]
    measured = set(registry.CRITERIA)
    assert {*map(tuple, criteria[["layers", "criterion"]].to_numpy())} == {
        (layers, name) for layers in range(L + 1) for name in measured
    }
    empty = criteria[criteria["value"].isna()]
    assert empty["criterion"].tolist() == NEXT and set(empty["layers"]) == {L}
    assert set(empty["reason"]) == {"there is no next layer"}
    assert set(criteria["reason"]) == {"", "there is no next layer"}
    own = criteria[~criteria["criterion"].isin(scoring.CONVEXITIES)]
    assert (own["seconds"] >= 0).all() and own["value"].notna().sum() == len(own) - len(NEXT)
    assert (criteria[["model", "state", "dataset"]] == list(IDENTITY.values())).all(axis=None)


def test_the_values_are_those_of_the_functions_on_the_right_layers(tmp_path):
    hidden, labels, speakers = states(), [f"w{i % 3}" for i in range(N)], [f"s{i % 7}" for i in range(N)]
    criteria, similarities = scored(tmp_path, hidden, labels, speakers)
    value = criteria.set_index(["layers", "criterion"])["value"]
    first, following, last = hidden.astype(np.float64)
    number = np.arange(N) % 3
    assert value[1, "graph convexity"] == 0.6 and value[1, "convexity across speakers"] == 0.25
    assert value[0, "cosine similarity"] == pytest.approx(similarity.cosines(first, last).mean())
    assert value[0, "block influence"] == pytest.approx(1 - similarity.cosines(first, following).mean())
    assert value[L, "angular distance"] == pytest.approx(0, abs=1e-6)
    [(strangers, _)] = nearest_of_other_groups(hidden[0], 5, [np.arange(N) % 7])
    assert value[0, "k-nearest neighbours"] == classes.neighbour_accuracy(strangers, number, 3)
    moments = probes.find_moments(first - first.mean(0), number, 3)
    assert value[0, "fisher ratio"] == pytest.approx(classes.fisher_ratio(moments), rel=1e-5)
    singular = np.linalg.svd(first, compute_uv=False)
    shares = singular / singular.sum()
    assert value[0, "effective rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)
    pairs = similarities.set_index(["layers", "other_layers", "measure"])["value"]
    assert len(pairs) == 2 * 3
    for measure, name in (("linear cka", "cka"), ("mutual neighbours", "mutual neighbours")):
        assert pairs[0, 1, measure] == pytest.approx(value[0, f"{name} with the next"])
        assert pairs[0, 2, measure] == pytest.approx(value[0, f"{name} with the last"])
        assert value[L, f"{name} with the last"] == pytest.approx(1)


def test_adapter(tmp_path):
    hidden, labels, speakers = states(), [f"w{i % 3}" for i in range(N)], [f"s{i % 7}" for i in range(N)]
    expected, similarities = scored(tmp_path, hidden, labels, speakers)
    dataset = {"item": [f"{i}.wav" for i in range(N)], "start": 0, "end": 1, "label": labels}
    csv_files.write(tmp_path / "words.csv", pd.DataFrame(dataset).assign(speaker=speakers, split="test"))
    (tmp_path / "corpus.sha256").write_text("f00d\n", encoding="utf-8")
    origin = IDENTITY | {
        "fingerprint": provenance.fingerprint(tmp_path / "corpus.sha256", tmp_path / "words.csv")
    }
    with h5py.File(tmp_path / "embeddings.h5", "a") as file:
        file.attrs.update(origin)
    (tmp_path / "embeddings.h5").rename(tmp_path / "words.h5")
    scores = pd.DataFrame({"layers": range(L + 1), "score": 0.0, "class_score": np.linspace(0.5, 0.7, L + 1)})
    scores = scores.assign(across_score=0.0, class_across_score=0.25)
    csv_files.write(tmp_path / "convexity.csv", scores)
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(
                embeddings=str(tmp_path / "words.h5"),
                embedded=str(tmp_path / "words.csv"),
                fingerprint=str(tmp_path / "corpus.sha256"),
                dataset=str(tmp_path / "words.csv"),
                convexity=str(tmp_path / "convexity.csv"),
            ),
            output=SimpleNamespace(
                criteria=str(tmp_path / "out.csv"), similarities=str(tmp_path / "similarities.csv")
            ),
            wildcards=SimpleNamespace(model="tiny", dataset="words"),
            params=SimpleNamespace(settings={"average": "class", "n_neighbors": 5}),
            threads=1,
            log=[str(tmp_path / "log")],
        )
    )
    found = csv_files.read(tmp_path / "out.csv")
    pd.testing.assert_frame_equal(found.drop(columns="seconds"), expected.drop(columns="seconds"))
    pd.testing.assert_frame_equal(csv_files.read(tmp_path / "similarities.csv"), similarities)


def reasons(criteria):
    empty = criteria[criteria["value"].isna() & (criteria["reason"] != "there is no next layer")]
    return dict(zip(empty["criterion"], empty["reason"], strict=True))


@pytest.mark.parametrize(
    "n, labels, speakers, expected",
    [
        # one recording of a class: what needs pairs, folds or a spread within classes
        (20, range(20), [0] * 20, {"euclidean convexity", "linear probe", "fisher ratio"}),
        (20, [0] * 20, range(20), {"silhouette", "logme"}),
        # fewer items than neighbours
        (
            5,
            [0, 0, 0, 1, 1],
            [0] * 5,
            {"intrinsic dimension", "k-nearest neighbours", "euclidean convexity"}
            | {f"mutual neighbours with the {which}" for which in ("last", "next")},
        ),
        (20, [0, 1] * 10, [0] * 16 + [1] * 4, {"k-nearest neighbours"}),
    ],
)
def test_what_the_data_cannot_carry_is_left_empty_and_the_others_go_on(
    tmp_path, n, labels, speakers, expected
):
    criteria, _ = scored(tmp_path, states(n, 1), list(map(str, labels)), list(map(str, speakers)))
    found = reasons(criteria)
    assert set(found) == expected and all(found.values())


def test_a_model_without_layers_is_its_own_last_layer(tmp_path):
    criteria, similarities = scored(tmp_path, states(layers=0), ["a", "b"] * (N // 2), ["s"] * N)
    assert criteria.loc[criteria["value"].isna(), "criterion"].tolist() == NEXT
    assert similarities.empty


@pytest.mark.filterwarnings("error")
def test_equal_states_give_reasons_and_no_warning(tmp_path):
    criteria, similarities = scored(tmp_path, np.ones((2, 20, D), np.float32), ["a", "b"] * 10, ["s"] * 20)
    found = reasons(criteria)
    assert {"fisher ratio", "intrinsic dimension", "cka with the last"} <= set(found)
    assert set(similarities["measure"]) == {"mutual neighbours"}
