"""Neighbours stay neighbours in two dimensions; the same items at every layer; the views asked for."""

from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import project_embeddings
from convexprune.data import corpus
from convexprune.results import projection


def clusters(n=60, classes=3, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 16) in far clusters, and which cluster each is of."""
    rng = np.random.default_rng(seed)
    which = rng.integers(classes, size=n)
    return (rng.normal(0, 30, (classes, 16))[which] + rng.normal(0, 1, (n, 16))).astype(np.float32), which


def write_embeddings(path, full_layers=2, n=60):
    points, which = clusters(n)
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["hidden_states"] = np.stack([points[::-1] + layer for layer in range(full_layers + 1)])
        file["labels"] = [f"class {i}" for i in which[::-1]]
        file["items"], file["starts"] = [f"{i}.wav" for i in range(n)], [0] * n
        file.attrs.update(complete=True, model=path.parent.name, dataset=path.stem, split="test")
    return path, [f"class {i}" for i in which[::-1]]


def dataset_of(labels) -> pd.DataFrame:
    """The dataset of a file of `write_embeddings`."""
    items = [f"{i}.wav" for i in range(len(labels))]
    return pd.DataFrame({"item": items, "start": 0, "label": labels, "split": "test"})


def plan_of(layers) -> pd.DataFrame:
    """A plan by which every model keeps one layer for words."""
    rows = [(model, "words", 1, full) for model, full in layers.items()]
    return pd.DataFrame(rows, columns=["model", "task", "layers", "full_layers"])


def test_clusters_stay_apart_and_the_same_points_give_the_same_view():
    points, which = clusters()
    view = projection.project(points)
    assert view.shape == (60, 2)
    apart = np.linalg.norm(view[:, None] - view, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (which[apart.argmin(axis=1)] == which).all()
    assert np.array_equal(view, projection.project(points))
    assert projection.project(points[:3]).shape == (3, 2)  # fewer than the perplexity


def test_of_many_items_some_are_drawn_always_the_same():
    assert projection.draw_items(5).tolist() == [0, 1, 2, 3, 4]
    items = projection.draw_items(10_000)
    assert len(set(items)) == len(items) == 2000
    assert items.max() > 9_000 and (np.diff(items) > 0).all()
    assert np.array_equal(items, projection.draw_items(10_000))


def test_a_view_holds_the_items_of_the_file(tmp_path):
    layers = {"a": 2, "b": 1}
    paths, labels = [], {}
    for model, full in layers.items():
        path, labels[model] = write_embeddings(tmp_path / model / "words.h5", full)
        paths.append(path)
    datasets = [("words", dataset_of(labels[model])) for model in layers]
    data = projection.project_embeddings(paths, datasets, plan_of(layers), 1)
    views = dict(iter(data.groupby(["model", "layers"])))
    assert list(views) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]  # b keeps all of its layers
    for (model, k), view in views.items():
        assert view["label"].tolist() == labels[model] and view["item"].tolist() == list(range(60))
        assert view["kept"].unique().tolist() == [k == 1]
        assert view["coloured"].all()


def test_the_most_frequent_classes_are_coloured(tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "COLOURS", 2)
    path, labels = write_embeddings(tmp_path / "a/words.h5")
    data = projection.project_embeddings([path], [("words", dataset_of(labels))], plan_of({"a": 2}), 1)
    rarest = min(set(labels), key=labels.count)
    assert set(data["label"][~data["coloured"]]) == {rarest}


def test_the_adapter_knows_the_model_by_its_file_and_the_dataset_by_its_name(tmp_path):
    path, labels = write_embeddings(tmp_path / "a/words.h5")
    path = path.rename(tmp_path / "any.h5")
    table = dataset_of(labels).assign(end=1, speaker="")
    table[corpus.ITEM_COLUMNS].to_csv(tmp_path / "words.csv", index=False)
    plan_of({"a": 2}).to_csv(tmp_path / "plan.csv", index=False)
    project_embeddings.main(
        SimpleNamespace(
            input=SimpleNamespace(
                embeddings=[path], datasets=[tmp_path / "words.csv"], plan=tmp_path / "plan.csv"
            ),
            output=SimpleNamespace(table=tmp_path / "projections.csv"),
            threads=1,
            log=[str(tmp_path / "log")],
        )
    )
    table = pd.read_csv(tmp_path / "projections.csv")
    assert table.groupby(["model", "dataset", "layers"]).size().tolist() == [60, 60, 60]
