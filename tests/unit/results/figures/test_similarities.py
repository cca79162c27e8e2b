"""The figure of similarities: one measure in each half of a map, 1 on the diagonal."""

import numpy as np
import pandas as pd
import pytest
from convexprune.results.figures import similarities
from drawn import LONG, PAPER, assert_nothing_is_covered_or_clipped
from figure_tables import BOTH, FIVE, plan_of, similarities_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


def test_each_half_of_a_map_is_a_measure_and_the_plan_is_marked():
    layers = {"a": 4, "b": 2}
    table = similarities_of(layers).sample(frac=1, random_state=0)
    table.loc[table["measure"] == "mutual neighbours", "value"] /= 2
    table = pd.concat([table.assign(state="words", value=0), table], ignore_index=True)
    figure, data = similarities.draw(similarities=table, plan=plan_of(layers), models=["a", "b"])
    assert len(data) == 2 * 2 * (4 * 5 // 2 + 2 * 3 // 2)
    kept = data[data["kept"] & (data["task"] == "words") & (data["model"] == "a")]
    assert len(kept) == 2 * 4 and (kept[["layers", "other_layers"]] == 2).any(axis=1).all()
    maps = figure.axes[:4]
    assert [ax.get_ylabel() for ax in maps[::2]] == list(BOTH)
    for i, ax in enumerate(maps):
        full = (4, 2)[i % 2]
        similar = 1 - np.abs(np.subtract.outer(range(full + 1), range(full + 1))) / (full + 1)
        values = np.tril(similar) + np.triu(similar, 1) / 2  # rows from the bottom up: linear CKA is above
        np.testing.assert_allclose(ax.get_images()[0].get_array(), values)
        assert ax.get_images()[0].origin == "lower"
        [mark] = ax.get_lines()
        assert list(mark.get_xdata()) == [full // (2 if i < 2 else 4)]


@pytest.mark.parametrize("tasks", [BOTH, FIVE], ids=len)
@pytest.mark.parametrize("layers", [{"tiny": 3}, LONG, PAPER], ids=len)
def test_nothing_is_covered_or_clipped(layers, tasks):
    table = similarities_of(layers, tasks)
    figure, _ = similarities.draw(similarities=table, plan=plan_of(layers), models=list(layers))
    assert_nothing_is_covered_or_clipped(figure)


def test_what_the_data_cannot_carry_is_grey():
    table = similarities_of({"a": 3, "b": 3}).query("model == 'a' or dataset == 'words'")
    table = table[(table["model"] == "a") | (table["measure"] == "linear cka")]
    figure, data = similarities.draw(similarities=table, plan=plan_of({"a": 3}), models=["a", "b"])
    assert set(data["model"][data["task"] == "speakers"]) == {"a"}
    masks = [np.ma.getmaskarray(ax.get_images()[0].get_array()) for ax in figure.axes[:4]]
    assert not masks[0].any() and not masks[2].any() and masks[3].all()
    assert np.array_equal(masks[1], np.triu(np.ones((4, 4), bool), 1))
    assert_nothing_is_covered_or_clipped(figure)
