"""Accuracy by convexity: every point stands where the tables say, with its number of layers beside it."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from convexprune.results.figures import accuracy_by_convexity
from drawn import PAPER, assert_nothing_is_covered_or_clipped
from figure_tables import convexity_of, finetuning_of, folding_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit


def draw(table, runs, models, task, average="pair", folding=None):
    """By default, folded models are as accurate as those trained."""
    folding = runs if folding is None else folding
    tables = {"convexity": table, "finetuning": runs, "folding": folding}
    return accuracy_by_convexity.draw(**tables, models=models, swept=models, task=task, average=average)


def starred(ax) -> list[tuple[float, float]]:
    return [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in ax.get_lines()
        if line.get_marker() == "*" and len(line.get_xdata())
    ]


def test_points_are_pretrained_convexity_against_mean_accuracy_with_layers_written():
    layers = {"small": 6, "tiny": 4}
    table, runs = convexity_of(layers), finetuning_of(layers, step=1, seeds=(0, 1))
    other = finetuning_of(layers, task="speakers", step=1)
    ax = draw(table, pd.concat([runs, other]), list(layers), "words", "class")[0].axes[0]
    scores = table.query("state == 'pretrained' and dataset == 'words'").set_index(["model", "layers"])
    means = 100 * runs.groupby(["model", "layers"])["accuracy"].mean()
    expected = {
        (str(k), round(100 * scores.loc[(model, k), "class_score"], 9), round(accuracy, 9))
        for (model, k), accuracy in means.items()
    }
    assert {(text.get_text(), *np.round(text.xy, 9)) for text in ax.texts} == expected
    drawn = np.concatenate([line.get_xydata() for line in ax.get_lines() if line.get_linestyle() == "None"])
    assert {tuple(point) for point in np.round(drawn, 9)} >= {point[1:] for point in expected}
    # the star: the best of the pruned; hollow: the full model
    pruned = means[[k < layers[model] for model, k in means.index]]
    best = [pruned[model].idxmax() for model in layers]
    assert np.allclose(
        sorted(starred(ax)),
        sorted(
            (100 * scores.loc[(model, k), "class_score"], means[model, k])
            for model, k in zip(layers, best, strict=True)
        ),
    )
    hollow = [line.get_xydata()[0] for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    assert np.allclose(
        hollow, [(100 * scores.loc[(m, full), "class_score"], means[m, full]) for m, full in layers.items()]
    )


def test_a_dotted_curve_shows_the_full_model_folded_to_every_depth():
    layers = {"small": 6, "tiny": 4}
    table, runs, folds = convexity_of(layers), finetuning_of(layers), folding_of(layers, seeds=(0, 1))
    other = folding_of(layers, tasks=["speakers"])
    figure, data = draw(table, runs, list(layers), "words", folding=pd.concat([folds, other]))
    scores = table.query("state == 'pretrained' and dataset == 'words'").set_index(["model", "layers"])[
        "score"
    ]
    means = 100 * folds.groupby(["model", "layers"])["accuracy"].mean()
    [ax] = figure.axes
    curves = [line for line in ax.get_lines() if line.is_dashed()]
    for line, (model, full) in zip(curves, layers.items(), strict=True):
        expected = [(100 * scores[model, k], means[model, k]) for k in range(full + 1)]
        assert np.allclose(line.get_xydata(), expected)
    assert data["kind"].value_counts().to_dict() == {"folded": 7 + 5, "trained": 4 + 3}
    assert "folded, not trained" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_every_model_looks_different():
    layers = dict.fromkeys("abcdefghijkl", 2)
    figure, _ = draw(convexity_of(layers), finetuning_of(layers, step=1), list(layers), "words")
    handles = figure.legends[0].legend_handles[: len(layers)]
    assert len({(line.get_color(), line.get_marker()) for line in handles}) == len(layers)


@pytest.mark.parametrize("step", [2, 6, 12], ids=["sweep", "few points", "no and all layers"])
def test_labels_of_like_models_keep_apart_and_inside(step):
    layers = {model: full for model, full in PAPER.items() if full == 12}
    rng = np.random.default_rng(2)
    table, runs = convexity_of(layers), finetuning_of(layers, step=step)
    table["score"] = 0.2 + 0.03 * table["layers"] + rng.normal(0, 0.003, len(table))
    table["stderr"] = 0.001
    runs["accuracy"] = 0.9 + 0.007 * runs["layers"] + rng.normal(0, 0.001, len(runs))
    figure, _ = draw(table, runs, list(layers), "words")
    assert_nothing_is_covered_or_clipped(figure)
    (ax,) = figure.axes
    frame = ax.get_window_extent().padded(1)
    assert frame.height > figure.bbox.height / 2
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 4 * (12 // step + 1)
    for box in boxes:
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
    assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("accuracies", [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (0.971, 0.973), (0.1, 0.4)])
def test_any_accuracy_can_be_drawn_with_readable_ticks(accuracies):
    runs = finetuning_of({"a": 2}, step=1).assign(accuracy=[*accuracies, accuracies[0]])
    figure, _ = draw(convexity_of({"a": 2}), runs, ["a"], "words")
    (ax,) = figure.axes
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    assert low < 100 * min(accuracies) <= 100 * max(accuracies) < high
    ticks = sorted(tick for tick in ax.get_yticks() if low <= tick <= high)
    assert len(ticks) >= 3
    heights = [ax.transData.transform((0, tick))[1] for tick in ticks]
    assert np.diff(heights).min() > 0.07 * ax.get_window_extent().height


def test_no_runs_of_the_task_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="fine-tuned to speakers"):
        draw(convexity_of({"a": 2}), finetuning_of({"a": 2}), ["a"], "speakers")


@pytest.mark.parametrize(("seeds", "error"), [((0,), "sigma"), ((0, 1, 2), "spread")])
def test_accuracy_bars_are_the_spread_over_seeds_or_sigma_for_one(seeds, error):
    runs = finetuning_of({"a": 2}, step=1, seeds=seeds)
    figure, data = draw(convexity_of({"a": 2}), runs, ["a"], "words")
    accuracies = runs.groupby("layers")["accuracy"]
    expected = 100 * (accuracies.std() if error == "spread" else accuracies.size() * 0.002)
    data = data[data["kind"] == "trained"]
    assert data[error].tolist() == pytest.approx(expected.tolist())
    assert (data["seeds"] == len(seeds)).all()
    (ax,) = figure.axes
    vertical = max(ax.collections, key=lambda bars: np.ptp(bars.get_segments()[0][:, 1]))
    heights = [np.ptp(segment[:, 1]) for segment in vertical.get_segments()]
    assert heights == pytest.approx(2 * expected.to_numpy())
