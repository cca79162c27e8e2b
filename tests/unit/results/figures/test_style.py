"""What the figures have in common: one look a model, reading, writing, and one way to draw them all."""

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace

import draw_figure
import pandas as pd
import pytest
from convexprune.jobs import csv_files
from convexprune.results import figures
from convexprune.results.figures import accuracy_by_convexity, choices, last_layer, style
from drawn import HOSTILE, PAPER, output_in
from figure_tables import (
    choices_of,
    classes_of,
    convergence_of,
    convexity_of,
    correlations_of,
    costs_of,
    criteria_of,
    finetuning_of,
    folding_of,
    groups_of,
    logs_of,
    similarities_of,
    views_of,
)
from matplotlib.figure import Figure
from PIL import Image

pytestmark = pytest.mark.filterwarnings("error")  # Matplotlib warns where a layout does not fit

COMMON = {"__init__", "lettering", "style"}
FIGURES = sorted({path.stem for path in Path(figures.__path__[0]).glob("*.py")} - COMMON)


def handles_of(figure) -> dict[str, tuple]:
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    lines = figure.legends[0].legend_handles
    return {text: (line.get_color(), line.get_marker()) for text, line in zip(texts, lines, strict=True)}


def test_a_model_looks_alike_in_every_figure():
    some = ["wavlm-base", "hubert-large"]
    of_some = convergence_of({model: PAPER[model] for model in some})
    tables = {"convexity": convexity_of(PAPER), "finetuning": finetuning_of(PAPER)}
    tables["folding"] = folding_of(PAPER)
    settings = {"average": "pair", "swept": some, "task": "words"}
    drawn = [
        accuracy_by_convexity.draw(**tables, **settings, models=list(PAPER))[0],
        choices.draw(choices=choices_of(some), models=list(PAPER))[0],
        last_layer.draw(convergence=of_some, correlations=correlations_of(), models=list(PAPER))[0],
        last_layer.draw(
            convergence=convergence_of(PAPER), correlations=correlations_of(), models=list(PAPER)
        )[0],
    ]
    for model in some:
        assert len({handles_of(figure)[model] for figure in drawn}) == 1
    assert all("wav2vec2-base" not in handles_of(figure) for figure in drawn[:3])


def test_any_model_is_named_as_it_is_spelled(tmp_path):
    layers = dict.fromkeys(HOSTILE, 2)
    tables = {"convexity": convexity_of(layers), "finetuning": finetuning_of(layers)}
    tables["folding"] = folding_of(layers)
    settings = {"average": "pair", "swept": HOSTILE, "task": "words"}
    drawn = [
        accuracy_by_convexity.draw(**tables, **settings, models=HOSTILE)[0],
        choices.draw(choices=choices_of(HOSTILE), models=HOSTILE)[0],
        last_layer.draw(convergence=convergence_of(layers), correlations=correlations_of(), models=HOSTILE)[
            0
        ],
    ]
    for figure in drawn:
        assert {" ".join(name.split()) for name in HOSTILE} <= set(handles_of(figure))
        style.save(figure, pd.DataFrame(), output_in(tmp_path, "figure"))


def some_tables(layers) -> dict[str, pd.DataFrame]:
    """One of every table that a figure may take."""
    return {
        **costs_of(layers, swept=list(layers)),
        "choices": choices_of(layers),
        "classes": classes_of(layers),
        "convergence": convergence_of(layers),
        "convexity": convexity_of(layers),
        "correlations": correlations_of(),
        "groups": groups_of(layers),
        "criteria": criteria_of(layers),
        "logs": logs_of(layers),
        "projections": views_of(layers),
        "similarities": similarities_of(layers),
    }


@pytest.mark.parametrize("name", FIGURES)
def test_the_adapter_draws_every_figure_and_writes_what_it_shows(name, tmp_path):
    layers = {"2024": 3}
    settings = {"average": "pair", "models": ["2024"], "sizes": {"2024": "base"}}
    settings |= {"swept": ["2024"], "task": "words"}
    takes = inspect.signature(importlib.import_module(f"convexprune.results.figures.{name}").draw).parameters
    inputs = {"code": ["a.py"]}
    for table, rows in some_tables(layers).items():
        if table in takes:
            rows.to_csv(tmp_path / f"{table}.csv", index=False)
            inputs[table] = str(tmp_path / f"{table}.csv")
    draw_figure.main(
        SimpleNamespace(
            input=inputs,
            output=output_in(tmp_path / "out", name),
            params=SimpleNamespace(settings={key: value for key, value in settings.items() if key in takes}),
            log=[str(tmp_path / "log")],
        )
    )
    assert (tmp_path / f"out/{name}.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / f"out/{name}.png") as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.width >= 200 * style.WIDTH
    assert set(csv_files.read(tmp_path / f"out/{name}.csv")["model"]) == {"2024"}


def test_a_table_may_come_in_parts_and_keeps_labels_as_they_are(tmp_path):
    labels = (["null", "007"], ["NA", "1.50"])
    paths = [str(tmp_path / f"{i}.csv") for i in range(2)]
    for path, some in zip(paths, labels, strict=True):
        pd.DataFrame({"label": some, "score": [0.5, None]}).to_csv(path, index=False)
    assert style.read(paths)["label"].tolist() == [*labels[0], *labels[1]]
    assert style.read(paths[0])["label"].tolist() == labels[0]
    assert style.read(paths)["score"].isna().sum() == 2


def test_a_figure_saved_later_has_the_same_bytes(tmp_path, monkeypatch):
    written = []
    for day in ("0", "86400"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", day)  # the date that matplotlib would write
        figure = Figure()
        figure.text(0.5, 0.5, "text")
        style.save(figure, pd.DataFrame(), output_in(tmp_path, "figure"))
        written.append([(tmp_path / f"figure.{kind}").read_bytes() for kind in ("pdf", "png")])
    assert written[0] == written[1]
