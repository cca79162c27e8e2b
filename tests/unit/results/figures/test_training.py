"""Training: a line is a run, as its training log says."""

from itertools import pairwise, product

import numpy as np
import pytest
from convexprune.results.figures import training
from drawn import LONG, PAPER, assert_nothing_is_covered_or_clipped
from figure_tables import BOTH, STEPS, logs_of, plan_of

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

TWO = {"small": 6, "tiny": 4}


def draw(logs, layers, tasks=BOTH):
    """The figure of models that keep half of their `layers`."""
    plan = plan_of(layers, tasks, divisors=(2, 2))
    return training.draw(logs=logs, plan=plan, models=list(layers))


def test_the_step_that_is_kept_is_the_first_of_the_best():
    logs = logs_of({"a": 2}, ("words",))
    logs.loc[(logs["layers"] == 1) & logs["step"].isin([1200, 3000]), "eval_accuracy"] = 0.99
    _, data = draw(logs, {"a": 2})
    kept = data[data["kept"]].set_index("layers")["step"]
    assert kept[1] == 1200
    assert kept[2] == logs[logs["layers"] == 2].set_index("step")["eval_accuracy"].idxmax()


def test_every_run_is_a_line_of_its_kind():
    logs = logs_of(TWO, seeds=(0, 1), swept=["small"])
    figure, _ = draw(logs, TWO)
    axes = iter(figure.axes)
    for task, column, model in product(("words", "speakers"), ("loss", "eval_accuracy"), TWO):
        lines = [line for line in next(axes).get_lines() if line.get_linestyle() != "None"]
        runs = logs[(logs["task"] == task) & (logs["model"] == model)].sort_values("step")
        assert len(lines) == len(runs.groupby(["layers", "seed"]))
        for (layers, _), run in runs.groupby(["layers", "seed"]):
            y = run["loss"] if column == "loss" else 100 * run["eval_accuracy"]
            [line] = [line for line in lines if np.allclose(line.get_ydata(), y)]
            assert line.get_xdata().tolist() == STEPS.tolist()
            assert line.get_color() == training.DEPTHS(layers / TWO[model])
            dashed = layers == TWO[model] // 2
            assert (line.get_linestyle() == "--") == dashed
            assert (line.get_linewidth() > 1) == (dashed or layers == TWO[model])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["sweep", "kept by the plan", "full model", "weights kept"]


@pytest.mark.parametrize(
    ("layers", "tasks"),
    [(PAPER, ("words",)), (LONG, ("speakers",)), ({"a": 3}, BOTH)],
    ids=["paper", "long", "one"],
)
def test_nothing_is_covered_or_clipped(layers, tasks):
    figure, _ = draw(logs_of(layers, tasks, swept=list(layers)[:4]), layers, tasks)
    assert_nothing_is_covered_or_clipped(figure)
    assert figure.get_figwidth() <= 7.7
    for ax in figure.axes[-1 - len(layers) : -1]:
        low, high = ax.get_xlim()
        ticks = [t for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high]
        assert len(ticks) >= 2
        boxes = [tick.get_window_extent() for tick in ticks]
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_a_loss_that_hardly_falls_has_plain_ticks():
    logs = logs_of({"a": 2}, ("words",)).assign(loss=1.38 + 0.01 * np.arange(60) / 60)
    figure, _ = draw(logs, {"a": 2}, ("words",))
    figure.draw_without_rendering()
    texts = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(texts) >= 2 and [float(text) for text in texts] == pytest.approx(figure.axes[0].get_yticks())
