"""The figures: what is drawn is what the tables say, and nothing covers anything."""

from itertools import combinations, product
from types import SimpleNamespace

import draw_figure1
import draw_figure2
import draw_figure3
import draw_figure4
import numpy as np
import pandas as pd
import pytest
from convexprune.figures import figure1, figure2, figure3, figure4, style
from drawn import PAPER, assert_nothing_is_covered_or_clipped, output_in
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from PIL import Image

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

STATES = ("pretrained", "words", "speakers", "untrained")


def convexity_of(layers, states=STATES, datasets=("words", "speakers", "phonemes")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [
            {
                "model": model,
                "state": state,
                "dataset": dataset,
                "layers": k,
                "chance": 0.2,
                "pair_chance": 0.2,
            }
            for (model, full), state, dataset in product(layers.items(), states, datasets)
            for k in range(full + 1)
        ]
    )
    for column, top in (("score", 1), ("class_score", 1), ("stderr", 0.05), ("class_stderr", 0.05)):
        table[column] = top * rng.random(len(table))
    return table.sample(frac=1, random_state=0)


def plan_of(layers, tasks=("words", "speakers")) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "task": task, "layers": full // divisor, "full_layers": full}
            for model, full in layers.items()
            for task, divisor in zip(tasks, (2, 4), strict=False)
        ]
    )


def finetuning_of(layers, task="words", step=2, seeds=(0,)) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"model": model, "task": task, "layers": k, "full_layers": full, "seed": seed}
        for model, full in layers.items()
        for k in sorted({*range(0, full, step), full})
        for seed in seeds
    ]
    return pd.DataFrame(rows).assign(accuracy=rng.uniform(0.7, 0.99, len(rows)), sigma=0.002)


def draw1(layers, average="pair", **kwargs):
    table = convexity_of(layers, **kwargs)
    sizes = {model: "large" if "large" in model else "base" for model in layers}
    data = figure1.tabulate(table, plan_of(layers), list(layers), average)
    return table, figure1.draw(data, list(layers), sizes)


def draw2(table, runs, models, task, average="pair"):
    return figure2.draw(figure2.tabulate(table, runs, models, task, average), models, task)


def choices_of(models, tasks=("words",), seconds=1e5) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    names = ("plan", "convexity", "highest convexity", "linear probe", "middle layer", "no pruning")
    rows = [
        {"task": task, "model": model, "choice": choice}
        for task, model, choice in product(tasks, models, (*names, "whole sweep", "best on test"))
    ]
    table = pd.DataFrame(rows).assign(lost=rng.uniform(0, 0.02, len(rows)))
    times = {"middle layer": 0, "no pruning": 0, "whole sweep": seconds, "best on test": seconds}
    return table.assign(
        seconds=table["choice"].map(times).fillna(seconds / 100) * rng.uniform(1, 2, len(rows))
    )


def convergence_of(layers, tasks=("words", "speakers")) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = [
        {"task": task, "model": model, "full_layers": full, "stops_rising": full // 2}
        for task, (model, full) in product(tasks, layers.items())
    ]
    table = pd.DataFrame(rows).assign(stderr=0.004, sigma=0.002, convexity=rng.uniform(0.9, 0.99, len(rows)))
    table.loc[len(rows) - 1, "convexity"] = 0.5  # far from the others, at the edge
    return table.assign(accuracy=table["convexity"] - rng.uniform(0, 0.01, len(rows)))


def correlations_of(tasks=("words", "speakers"), rho=0.875) -> pd.DataFrame:
    last = pd.DataFrame(
        {"relation": "last-layer convexity", "task": [*tasks, "all"], "model": "all", "rho": rho}
    )
    return pd.concat([last, last.assign(relation="linear probe", rho=-1)])


def grid_of(figure) -> list[list[str]]:
    """Titles of the panels, as they stand; empty where there is none."""
    places = {}
    for ax in figure.axes:
        spec = ax.get_subplotspec()
        places[spec.rowspan.start, spec.colspan.start] = (
            (ax.get_title(loc="left") or "axes without a title") if ax.axison else ""
        )
    rows, columns = (1 + max(place[i] for place in places) for i in (0, 1))
    return [[places[row, column] for column in range(columns)] for row in range(rows)]


def panel_of(figure, model):
    return next(ax for ax in figure.axes if ax.get_title(loc="left") == model)


def line_through(ax, x, y):
    """The one line of `ax` that goes through exactly these points."""
    (found,) = (
        line
        for line in ax.get_lines()
        if len(line.get_xdata()) == len(x) and np.allclose([line.get_xdata(), line.get_ydata()], [x, y])
    )
    return found


def test_base_models_above_large_ones():
    _, figure = draw1(PAPER)
    assert grid_of(figure) == [
        ["wav2vec2-base", "wavlm-base", "hubert-base", "ccc-wav2vec2-base"],
        ["wav2vec2-large", "wavlm-large", "hubert-large", ""],
    ]


def test_one_row_without_large_models_and_more_rows_for_many():
    assert grid_of(draw1({"a": 6, "b": 4})[1]) == [["a", "b"]]
    assert grid_of(draw1(dict.fromkeys("abcde", 2))[1]) == [[*"abcd"], ["e", "", "", ""]]


@pytest.mark.parametrize("average", ["pair", "class"])
def test_every_curve_is_drawn_as_its_dataset_and_state(average):
    layers = {"small": 6, "tiny": 4}
    table, figure = draw1(layers, average)
    columns = {"pair": ("score", "stderr"), "class": ("class_score", "class_stderr")}
    score, stderr = columns[average]
    dashes = {}
    for model, full in layers.items():
        ax = panel_of(figure, model)
        for state, dataset in product(STATES, ("words", "speakers", "phonemes")):
            rows = table.query("model == @model and state == @state and dataset == @dataset")
            rows = rows.sort_values("layers")
            line = line_through(ax, np.arange(full + 1), 100 * rows[score])
            if state != "untrained":
                assert same_color(line.get_color(), style.DATASETS[dataset])
            dashes.setdefault(state, set()).add(str(line._unscaled_dash_pattern))
            low, high = 100 * (rows[score] - rows[stderr]), 100 * (rows[score] + rows[stderr])
            bands = (band.get_datalim(ax.transData) for band in ax.collections)
            assert any(np.allclose([band.y0, band.y1], [low.min(), high.max()]) for band in bands)
        flat = [line for line in ax.get_lines() if np.allclose([*line.get_ydata(), 20], 20)]
        assert len([line for line in flat if len(line.get_ydata())]) == 3
        assert ax.get_xlim()[0] < 0 < full < ax.get_xlim()[1]
    assert all(len(found) == 1 for found in dashes.values())
    assert len(set.union(*dashes.values())) == len(STATES)


def test_the_plan_is_marked_on_the_pretrained_curve_of_its_task():
    layers = {"small": 6, "tiny": 4}
    table, figure = draw1(layers)
    pretrained = table[table["state"] == "pretrained"].set_index(["model", "dataset", "layers"])["score"]
    for model, full in layers.items():
        marks = [line for line in panel_of(figure, model).get_lines() if line.get_marker() == "o"]
        found = {
            (line.get_color(), *line.get_xdata(), *np.round(line.get_ydata(), 9))
            for line in marks
            if len(line.get_xdata())
        }
        assert found == {
            (style.DATASETS[task], k, round(100 * pretrained[model, task, k], 9))
            for task, k in (("words", full // 2), ("speakers", full // 4))
        }


def test_the_legend_names_only_what_is_there():
    _, figure = draw1({"a": 2}, states=("pretrained", "words"), datasets=("words",))
    texts = {text.get_text() for text in figure.legends[0].get_texts()} - {" "}
    assert texts == {
        *("words", "pretrained", "fine-tuned to words"),
        *("kept by the plan", "chance", "± standard error"),
    }


def test_an_unknown_average_is_named():
    with pytest.raises(ValueError, match="median"):
        draw1({"a": 2}, average="median")


@pytest.mark.parametrize("layers", [PAPER, {"small": 6, "tiny": 4}, {"a": 2}], ids=["paper", "two", "one"])
def test_figure1_keeps_everything_apart(layers):
    _, figure = draw1(layers)
    assert figure.get_figwidth() <= 7.2
    assert_nothing_is_covered_or_clipped(figure)


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
    ax = draw2(table, pd.concat([runs, other]), list(layers), "words", "class").axes[0]
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


def test_every_model_looks_different():
    layers = dict.fromkeys("abcdefghijkl", 2)
    figure = draw2(convexity_of(layers), finetuning_of(layers, step=1), list(layers), "words")
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
    figure = draw2(table, runs, list(layers), "words")
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
    figure = draw2(convexity_of({"a": 2}), runs, ["a"], "words")
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
        draw2(convexity_of({"a": 2}), finetuning_of({"a": 2}), ["a"], "speakers")


@pytest.mark.parametrize(("seeds", "error"), [((0,), "sigma"), ((0, 1, 2), "spread")])
def test_accuracy_bars_are_the_spread_over_seeds_or_sigma_for_one(seeds, error):
    runs = finetuning_of({"a": 2}, step=1, seeds=seeds)
    data = figure2.tabulate(convexity_of({"a": 2}), runs, ["a"], "words", "pair")
    accuracies = runs.groupby("layers")["accuracy"]
    expected = 100 * (accuracies.std() if error == "spread" else accuracies.size() * 0.002)
    assert data[error].tolist() == pytest.approx(expected.tolist())
    assert (data["seeds"] == len(seeds)).all()
    (ax,) = figure2.draw(data, ["a"], "words").axes
    vertical = max(ax.collections, key=lambda bars: np.ptp(bars.get_segments()[0][:, 1]))
    heights = [np.ptp(segment[:, 1]) for segment in vertical.get_segments()]
    assert heights == pytest.approx(2 * expected.to_numpy())


def handles_of(figure) -> dict[str, tuple]:
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    lines = figure.legends[0].legend_handles
    return {text: (line.get_color(), line.get_marker()) for text, line in zip(texts, lines, strict=True)}


def test_a_model_looks_alike_in_every_figure():
    some = ["wavlm-base", "hubert-large"]
    data = figure2.tabulate(convexity_of(PAPER), finetuning_of(PAPER), some, "words", "pair")
    drawn = [
        figure2.draw(data, list(PAPER), "words"),
        figure3.draw(choices_of(some), list(PAPER)),
        figure4.draw(convergence_of({model: PAPER[model] for model in some}), correlations_of(), list(PAPER)),
        figure4.draw(convergence_of(PAPER), correlations_of(), list(PAPER)),
    ]
    for model in some:
        assert len({handles_of(figure)[model] for figure in drawn}) == 1
    assert all("wav2vec2-base" not in handles_of(figure) for figure in drawn[:3])


def drawn_points(ax, marker) -> set[tuple[float, float]]:
    lines = (line for line in ax.get_lines() if line.get_marker() == marker)
    return {tuple(point) for line in lines for point in np.round(line.get_xydata(), 9)}


def test_choices_are_drawn_with_their_loss_and_their_time():
    table = choices_of(["a", "b"], tasks=("words", "speakers"))
    axes = figure3.draw(table, ["a", "b"]).axes
    assert [ax.get_title(loc="left") for ax in axes] == (
        ["accuracy lost, words", "time to choose", "accuracy lost, speakers", "time to choose"]
    )
    shown = table[table["choice"] != "best on test"]  # it loses nothing by definition
    for i, task in enumerate(("words", "speakers")):
        of_task = shown[shown["task"] == task]
        assert [label.get_text() for label in axes[2 * i].get_yticklabels()] == list(
            of_task["choice"].unique()
        )
        for ax, values in ((axes[2 * i], 100 * of_task["lost"]), (axes[2 * i + 1], of_task["seconds"])):
            for model, marker in (("a", "o"), ("b", "s")):
                found = sorted(drawn_points(ax, marker), key=lambda point: point[1])
                assert [x for x, _ in found] == pytest.approx(
                    values[of_task["model"] == model].tolist(), abs=1e-8
                )
                assert [round(y) for _, y in found] == list(range(7))
            means = sorted(drawn_points(ax, "|"), key=lambda point: point[1])
            expected = values.groupby(of_task["choice"], sort=False).mean()
            assert [x for x, _ in means] == pytest.approx(expected.tolist(), abs=1e-8)


def test_unknown_times_are_left_out():
    table = choices_of(["a"]).assign(seconds=np.nan)
    figure = figure3.draw(table, ["a"])
    assert_nothing_is_covered_or_clipped(figure)


@pytest.mark.parametrize("seconds", [1, 50, 1e3, 1e6])
@pytest.mark.parametrize("models", [list(PAPER), ["a"]], ids=["seven", "one"])
def test_figure3_keeps_everything_apart(models, seconds):
    figure = figure3.draw(choices_of(models, ("words", "speakers"), seconds), models)
    assert_nothing_is_covered_or_clipped(figure)
    for ax in figure.axes:
        low, high = ax.get_xlim()
        ticks = [t for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high and t.get_text()]
        assert len(ticks) >= 2
        boxes = [tick.get_window_extent() for tick in ticks]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_last_layer_convexity_is_drawn_against_accuracy_with_the_layers_written():
    table = convergence_of(PAPER)
    figure = figure4.draw(table, correlations_of(), list(PAPER))
    for ax, task in zip(figure.axes, ("words", "speakers"), strict=True):
        assert ax.get_title(loc="left") == f"{task}, ρ = 0.88"
        of_task = table[table["task"] == task]
        points = {
            (round(100 * row.convexity, 9), round(100 * row.accuracy, 9), str(row.stops_rising))
            for row in of_task.itertuples()
        }
        assert {(*np.round(text.xy, 9), text.get_text()) for text in ax.texts} == points
        drawn = np.concatenate([line.get_xydata() for line in ax.get_lines()])
        assert {tuple(point) for point in np.round(drawn, 9)} == {point[:2] for point in points}
    unknown = figure4.draw(table, correlations_of(rho=np.nan), list(PAPER))
    assert [ax.get_title(loc="left") for ax in unknown.axes] == ["words", "speakers"]


@pytest.mark.parametrize("tasks", [("words",), ("words", "speakers")])
@pytest.mark.parametrize("layers", [PAPER, {"tiny": 4}], ids=["seven", "one"])
def test_figure4_keeps_everything_apart(layers, tasks):
    figure = figure4.draw(convergence_of(layers, tasks), correlations_of(tasks), list(layers))
    assert_nothing_is_covered_or_clipped(figure)
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in ax.texts]
        assert all(ax.get_window_extent().containsx(box.x0) for box in boxes)
        assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("adapter", [draw_figure1, draw_figure2, draw_figure3, draw_figure4])
def test_adapters_write_pdf_png_and_what_they_show(adapter, tmp_path):
    layers = {"small": 3}
    inputs = {
        **{"convexity": convexity_of(layers), "plan": plan_of(layers), "finetuning": finetuning_of(layers)},
        **{"choices": choices_of(layers), "convergence": convergence_of(layers)},
        "correlations": correlations_of(),
    }
    for name, table in inputs.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    settings = {
        draw_figure1: {"average": "pair", "sizes": {"small": "base"}},
        draw_figure2: {"average": "pair", "swept": ["small"], "task": "words"},
    }
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**{name: str(tmp_path / f"{name}.csv") for name in inputs}),
            output=output_in(tmp_path / "out"),
            params=SimpleNamespace(settings={"models": ["small"], **settings.get(adapter, {})}),
            log=[str(tmp_path / "log")],
        )
    )
    assert (tmp_path / "out/figure.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "out/figure.png") as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.width == 200 * style.WIDTH
    rows = {draw_figure1: 4 * 3 * 4, draw_figure2: 3, draw_figure3: 8, draw_figure4: 2}
    assert len(pd.read_csv(tmp_path / "out/figure.csv")) == rows[adapter]


def test_a_figure_saved_later_has_the_same_bytes(tmp_path, monkeypatch):
    written = []
    for day in ("0", "86400"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", day)  # the date that matplotlib would write
        figure = Figure()
        figure.text(0.5, 0.5, "text")
        style.save(figure, pd.DataFrame(), output_in(tmp_path))
        written.append([(tmp_path / f"figure.{kind}").read_bytes() for kind in ("pdf", "png")])
    assert written[0] == written[1]
