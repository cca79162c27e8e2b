"""Figure 7: a line is a run, as its training log says."""

from itertools import pairwise, product
from types import SimpleNamespace

import draw_figure7
import numpy as np
import pandas as pd
import pytest
from convexprune.figures import figure7
from drawn import BOTH, LONG, PAPER, assert_nothing_is_covered_or_clipped, output_in

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

TWO = {"small": 6, "tiny": 4}
STEPS = np.arange(600, 18_001, 600)


def logs_of(layers, tasks=("words", "speakers"), seeds=(0,), swept=()) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    logs = []
    for (model, full), task, seed in product(layers.items(), tasks, seeds):
        sweep = range(0, full, 2) if model in swept and task == "words" else ()
        for k in sorted({*sweep, full // 2, full}):
            log = {"step": STEPS, "loss": 3 * np.exp(-STEPS / 3000) + 0.01 + 0.01 * rng.random(len(STEPS))}
            log |= {"eval_accuracy": 0.95 - np.exp(-STEPS / 2000) + 0.01 * rng.random(len(STEPS))}
            logs.append(pd.DataFrame(log).assign(model=model, task=task, layers=k, seed=seed))
    return pd.concat(logs).sample(frac=1, random_state=0)


def plan_of(layers, tasks=("words", "speakers")) -> pd.DataFrame:
    rows = [(model, task, full // 2, full) for (model, full), task in product(layers.items(), tasks)]
    return pd.DataFrame(rows, columns=["model", "task", "layers", "full_layers"])


def test_the_step_that_is_kept_is_the_first_of_the_best():
    logs = logs_of({"a": 2}, ("words",))
    logs.loc[(logs["layers"] == 1) & logs["step"].isin([1200, 3000]), "eval_accuracy"] = 0.99
    data = figure7.tabulate(logs, plan_of({"a": 2}))
    kept = data[data["kept"]].set_index("layers")["step"]
    assert kept[1] == 1200
    assert kept[2] == logs[logs["layers"] == 2].set_index("step")["eval_accuracy"].idxmax()


def test_every_run_is_a_line_of_its_kind():
    logs = logs_of(TWO, seeds=(0, 1), swept=["small"])
    figure = figure7.draw(figure7.tabulate(logs, plan_of(TWO)), list(TWO))
    axes = iter(figure.axes)
    for task, column, model in product(("words", "speakers"), ("loss", "eval_accuracy"), TWO):
        lines = [line for line in next(axes).get_lines() if line.get_linestyle() != "None"]
        runs = logs[(logs["task"] == task) & (logs["model"] == model)].sort_values("step")
        assert len(lines) == len(runs.groupby(["layers", "seed"]))
        for (layers, _), run in runs.groupby(["layers", "seed"]):
            y = run["loss"] if column == "loss" else 100 * run["eval_accuracy"]
            [line] = [line for line in lines if np.allclose(line.get_ydata(), y)]
            assert line.get_xdata().tolist() == STEPS.tolist()
            assert line.get_color() == figure7.DEPTHS(layers / TWO[model])
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
def test_figure7_keeps_everything_apart(layers, tasks):
    data = figure7.tabulate(logs_of(layers, tasks, swept=list(layers)[:4]), plan_of(layers, tasks))
    figure = figure7.draw(data, list(layers))
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
    figure = figure7.draw(figure7.tabulate(logs, plan_of({"a": 2}, ("words",))), ["a"])
    figure.draw_without_rendering()
    texts = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(texts) >= 2 and [float(text) for text in texts] == pytest.approx(figure.axes[0].get_yticks())


def test_the_adapter_knows_a_run_by_its_folder(tmp_path):
    logs = []
    for layers, log in logs_of({"a": 2}, ("words",)).groupby("layers"):
        logs.append(tmp_path / f"a/words/{layers}/0/training_log.csv")
        logs[-1].parent.mkdir(parents=True)
        log[["step", "loss", "eval_accuracy"]].to_csv(logs[-1], index=False)
    plan_of({"a": 2}, ("words",)).to_csv(tmp_path / "plan.csv", index=False)
    draw_figure7.main(
        SimpleNamespace(
            input=SimpleNamespace(logs=logs, plan=tmp_path / "plan.csv"),
            output=output_in(tmp_path),
            params=SimpleNamespace(settings={"models": ["a"]}),
            log=[str(tmp_path / "log")],
        )
    )
    shown = pd.read_csv(tmp_path / "figure.csv")
    assert shown.groupby(["layers", "kind"]).size().to_dict() == {(1, "pruned"): 30, (2, "full"): 30}
