"""Figure 8: neighbours stay neighbours, the same items at every layer, and the views are those asked for."""

from itertools import product
from types import SimpleNamespace

import draw_figure8
import h5py
import numpy as np
import pandas as pd
import pytest
from convexprune.figures import figure8
from drawn import BOTH, LONG, PAPER, assert_nothing_is_covered_or_clipped, output_in
from matplotlib.colors import same_color

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


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
        file.attrs["complete"] = True
    return path, [f"class {i}" for i in which[::-1]]


def plan_of(layers, tasks=("words",), kept=1) -> pd.DataFrame:
    rows = [(model, task, kept, full) for (model, full), task in product(layers.items(), tasks)]
    return pd.DataFrame(rows, columns=["model", "task", "layers", "full_layers"])


def convexity_of(layers, tasks=("words",)) -> pd.DataFrame:
    rows = [
        {"model": model, "state": "pretrained", "dataset": task, "layers": k, "score": 0.1 + k / 100}
        for (model, full), task in product(layers.items(), tasks)
        for k in range(full + 1)
    ]
    table = pd.DataFrame(rows).assign(stderr=0.01, chance=0.1, pair_chance=0.1)
    return pd.concat([table, table.assign(state="words", score=0.9)])


def views_of(layers, datasets=("words", "speakers"), classes=30, n=40) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    views = []
    for (model, full), dataset in product(layers.items(), datasets):
        labels = rng.integers(classes, size=n)
        for k in sorted({0, full // 2, full}):
            view = {
                "model": model,
                "dataset": dataset,
                "layers": k,
                "kept": k == full // 2,
                "convexity": 3.0 * k,
            }
            view |= {"label": [f"{dataset}{label:08x}" for label in labels], "coloured": labels < 7}
            views.append(pd.DataFrame(view | {"x": rng.normal(size=n), "y": rng.normal(size=n)}))
    return pd.concat(views)


def test_clusters_stay_apart_and_the_same_points_give_the_same_view():
    points, which = clusters()
    view = figure8.project(points)
    assert view.shape == (60, 2)
    apart = np.linalg.norm(view[:, None] - view, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (which[apart.argmin(axis=1)] == which).all()
    assert np.array_equal(view, figure8.project(points))
    assert figure8.project(points[:3]).shape == (3, 2)  # fewer than the perplexity


def test_of_many_items_some_are_drawn_always_the_same():
    assert figure8.draw_items(5).tolist() == [0, 1, 2, 3, 4]
    items = figure8.draw_items(10_000)
    assert len(set(items)) == len(items) == 2000
    assert items.max() > 9_000 and (np.diff(items) > 0).all()
    assert np.array_equal(items, figure8.draw_items(10_000))


def test_a_view_holds_the_items_of_the_file_and_the_score_of_its_layer(tmp_path):
    layers = {"a": 2, "b": 1}
    paths, labels = {}, {}
    for model, full in layers.items():
        paths[model, "words"], labels[model] = write_embeddings(tmp_path / model / "words.h5", full)
    data = figure8.tabulate(paths, plan_of(layers), convexity_of(layers), "pair", 1)
    views = dict(iter(data.groupby(["model", "layers"])))
    assert list(views) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]  # b keeps all of its layers
    for (model, k), view in views.items():
        assert view["label"].tolist() == labels[model] and view["item"].tolist() == list(range(60))
        assert view["convexity"].unique().tolist() == [pytest.approx(10 + k)]
        assert view["kept"].unique().tolist() == [k == 1]
        assert view["coloured"].all()


def test_the_most_frequent_classes_are_coloured(tmp_path, monkeypatch):
    monkeypatch.setattr(figure8, "LOOKS", figure8.LOOKS[:2])
    path, labels = write_embeddings(tmp_path / "a/words.h5")
    data = figure8.tabulate({("a", "words"): path}, plan_of({"a": 2}), convexity_of({"a": 2}), "pair", 1)
    rarest = min(set(labels), key=labels.count)
    assert set(data["label"][~data["coloured"]]) == {rarest}


def test_views_stand_by_model_dataset_and_depth_with_one_look_a_class():
    layers = {"a": 6, "b": 1}
    data = views_of(layers)
    figure = figure8.draw(data, list(layers))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [
        *("words\n0 layers, 0 %", "▼ 3 layers, 9 %", "6 layers, 18 %"),
        *("speakers\n0 layers, 0 %", "▼ 3 layers, 9 %", "6 layers, 18 %"),
        *("▼ 0 layers, 0 %", "1 layer, 3 %", "") * 2,
    ]
    assert [ax.get_ylabel() for ax in figure.axes[::6]] == ["a", "b"]
    for ax, layers_kept in zip(figure.axes[:3], (0, 3, 6), strict=True):
        view = data[(data["model"] == "a") & (data["dataset"] == "words") & (data["layers"] == layers_kept)]
        others, *classes = ax.get_lines()
        assert others.get_xydata().tolist() == view.loc[~view["coloured"], ["x", "y"]].to_numpy().tolist()
        handles = figure.legends[0].legend_handles
        for line, handle, text in zip(classes, handles, figure.legends[0].get_texts(), strict=True):
            own = view[view["label"] == text.get_text()]
            assert line.get_xydata().tolist() == own[["x", "y"]].to_numpy().tolist()
            assert (
                same_color(line.get_color(), handle.get_color()) and line.get_marker() == handle.get_marker()
            )


@pytest.mark.parametrize(
    ("layers", "datasets"),
    [(PAPER, ("words",)), (LONG, ("speakers",)), ({"a": 3}, BOTH)],
    ids=["paper", "long", "one"],
)
def test_figure8_keeps_everything_apart(layers, datasets):
    figure = figure8.draw(views_of(layers, datasets), list(layers))
    assert figure.get_figwidth() <= 7.2
    assert_nothing_is_covered_or_clipped(figure)


def test_the_adapter_knows_a_file_by_its_path(tmp_path):
    path, _ = write_embeddings(tmp_path / "a/pretrained/words.h5")
    plan_of({"a": 2}).to_csv(tmp_path / "plan.csv", index=False)
    convexity_of({"a": 2}).to_csv(tmp_path / "convexity.csv", index=False)
    draw_figure8.main(
        SimpleNamespace(
            input=SimpleNamespace(
                embeddings=[path], plan=tmp_path / "plan.csv", convexity=tmp_path / "convexity.csv"
            ),
            output=output_in(tmp_path),
            params=SimpleNamespace(settings={"average": "pair", "models": ["a"]}),
            threads=1,
            log=[str(tmp_path / "log")],
        )
    )
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert len(pd.read_csv(tmp_path / "figure.csv")) == 3 * 60
