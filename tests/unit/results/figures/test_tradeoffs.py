"""Tradeoffs: points are the accuracies and costs of the tables, and the front is what nothing beats."""

import numpy as np
import pandas as pd
import pytest
from convexprune.results.figures import tradeoffs
from drawn import MANY, PAPER, assert_nothing_is_covered_or_clipped
from figure_tables import BOTH, costs_of
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


TWO = {"small": 6, "tiny": 3}


def test_costs_are_those_of_the_tables_and_times_relate_to_one_full_model():
    tables = costs_of(TWO, seeds=(0, 1), swept=["small"])
    whole = tradeoffs.tabulate(**tables)
    data = whole[whole["kind"] != "folded"]
    means = 100 * tables["finetuning"].groupby(["task", "model", "layers"])["accuracy"].mean()
    assert len(data) == 3 * len(means)
    costs = tables["costs"].set_index(["task", "model", "layers"]).sort_index()
    timing = tables["timing"].set_index(["task", "model", "layers"]).sort_index()
    for row in data.itertuples():
        key = (row.task, row.model, row.layers)
        assert row.accuracy == pytest.approx(means[key])
        if row.cost == "latency":
            full = timing.loc[(row.task, row.model), "full_median"].median()
            ratio = 1 if row.layers == TWO[row.model] else timing.loc[key, "ratio_median"]
            assert row.value == pytest.approx(1000 * full * ratio)
        else:
            assert row.value == pytest.approx(costs.loc[key, row.cost] / {"bytes": 1e6}.get(row.cost, 1e9))
    kinds = data.drop_duplicates(["task", "model", "layers"]).set_index(["task", "model", "layers"])["kind"]
    assert kinds["words", "small"].to_dict() == {0: "sweep", 2: "pruned", 4: "sweep", 6: "full"}
    assert kinds["speakers", "tiny"].to_dict() == {1: "pruned", 3: "full"}
    disturbed = data[data["disturbed"]]
    assert set(zip(disturbed["cost"], disturbed["model"], disturbed["task"], strict=True)) == {
        ("latency", "small", "words")
    }
    assert set(disturbed["layers"]) == {0, 6}  # the full model's time is a median of several, this among them


def test_folded_models_cost_what_models_of_their_depth_do_and_are_never_on_the_front():
    tables = costs_of(TWO, seeds=(0, 1), swept=["small"])
    data = tradeoffs.tabulate(**tables)
    folded = data[data["kind"] == "folded"]
    means = 100 * tables["folding"].groupby(["task", "model", "layers"])["accuracy"].mean()
    costs = tables["costs"].set_index(["task", "model", "layers"])["bytes"] / 1e6
    sizes = folded[folded["cost"] == "bytes"]
    assert len(sizes) == len(means) == 2 * (7 + 4)
    for row in sizes.itertuples():
        key = (row.task, row.model, row.layers)
        assert (row.value, row.accuracy) == pytest.approx((costs[key], means[key]))
    assert not folded["front"].any()
    timed = set(tables["timing"][["task", "model", "layers"]].itertuples(index=False, name=None))
    full = {(task, model, layers) for task in BOTH for model, layers in TWO.items()}
    times = folded[folded["cost"] == "latency"]
    assert {(row.task, row.model, row.layers) for row in times.itertuples()} == timed | full


def test_a_plan_that_keeps_all_layers_is_the_full_model():
    tables = costs_of({"a": 3})
    tables["plan"]["layers"] = 3
    for name in ("finetuning", "timing"):
        tables[name]["layers"] = 3
    data = tradeoffs.tabulate(**tables).query("kind != 'folded'")
    assert set(data["kind"]) == {"full"}
    assert len(data) == 2 * 3 and data["value"].notna().all()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_the_front_is_what_no_other_model_beats(points):
    table = pd.DataFrame(points, columns=["value", "accuracy"])
    front = tradeoffs.find_front(table)

    def beats(one, other):
        as_good = one[0] <= other[0] and one[1] >= other[1]
        return as_good and one != other

    kept = {point for point, on_front in zip(points, front, strict=True) if on_front}
    assert kept == {point for point in points if not any(beats(other, point) for other in points)}
    assert front.sum() == len(kept)  # of equal models one


def test_every_model_is_drawn_as_what_it_is_and_the_front_through_the_best():
    figure, data = tradeoffs.draw(**costs_of(TWO, swept=["small"]), models=list(TWO))
    axes = iter(figure.axes)
    for task in ("words", "speakers"):
        for cost in tradeoffs.COSTS:
            ax = next(axes)
            points = data[(data["task"] == task) & (data["cost"] == cost)]
            lines = ax.get_lines()
            dotted = [
                line for line in lines if line.get_marker() == "None" and line.get_drawstyle() == "default"
            ]
            for line, model in zip([line for line in dotted if line.is_dashed()], TWO, strict=True):
                of_kind = points[(points["model"] == model) & (points["kind"] == "folded")]
                assert np.allclose(line.get_xydata(), of_kind[["value", "accuracy"]])
            for model, marker in (("small", "o"), ("tiny", "s")):
                own = [line for line in lines if line.get_marker() == marker]
                for line, kind in zip(own, ("full", "pruned", "sweep"), strict=True):
                    of_kind = points[(points["model"] == model) & (points["kind"] == kind)]
                    assert np.allclose(line.get_xydata(), of_kind[["value", "accuracy"]])
            front = points[points["front"]].sort_values("value")
            [drawn] = [line for line in lines if line.get_drawstyle() == "steps-post"]
            assert np.allclose(drawn.get_xydata(), front[["value", "accuracy"]])
            assert {(text.get_text(), *text.xy) for text in ax.texts} == {
                (str(row.layers), row.value, row.accuracy) for row in front.itertuples()
            }
    assert next(axes, None) is None


@pytest.mark.parametrize(
    ("layers", "tasks"),
    [(PAPER, BOTH), (MANY, ("words",))],
    ids=["paper", "many"],
)
def test_nothing_is_covered_or_clipped(layers, tasks):
    tables = costs_of(layers, tasks, swept=list(layers)[:4])
    figure, _ = tradeoffs.draw(**tables, models=list(layers))
    assert_nothing_is_covered_or_clipped(figure)
    for ax in figure.axes[-3:]:
        low, high = ax.get_xlim()
        assert sum(low <= tick <= high for tick in ax.get_xticks()) >= 2
    for ax in figure.axes:
        frame = ax.get_window_extent().padded(1)
        boxes = [text.get_window_extent() for text in ax.texts]
        assert all(frame.x0 <= box.x0 < box.x1 <= frame.x1 for box in boxes)
