"""The summary says what the tables say, in Markdown that keeps its columns under each other."""

import pandas as pd
from convexprune.results.summary import Alignment, Experiment, Findings, Origins, shorten, summarise

TABLE1 = """\
# Table 1. Full

## Word classification

| a | b |
| - | - |
| 1 | 2 |

- a note # with a sign
"""


FIGURES = {
    "choices": "What each choice costs. Look left.",
    "curves": "Convexity (the paper's). Look up.",
    "points": "Accuracy.",
}

PLAN = pd.DataFrame(
    [
        ("tiny", "words", 1, 2, "tolerance", "Because."),
        ("tiny", "speakers", 2, 2, "explicit", "As told."),
    ],
    columns=["model", "task", "layers", "full_layers", "rule", "reason"],
)


def summary(**changes):
    """The summary of a small run, but for `changes`."""
    scores = [(0, 0.9, 0.3), (1, 0.5, 0.4), (2, 0.7, 0.2)]
    convexity = pd.DataFrame(
        [
            ("tiny", "pretrained", "words", layers, score, 0.01, 0.3, other, 0.02, 0.25)
            for layers, score, other in scores
        ],
        columns=[
            "model",
            "state",
            "dataset",
            "layers",
            "score",
            "stderr",
            "chance",
            "class_score",
            "class_stderr",
            "class_chance",
        ],
    )
    given = {
        "title": "results/mine",
        "corpus": "table",
        "average": "pair",
        "splits": {"words": "validation"},
        "plan": PLAN,
        "answer": "- use this",
        "table1": TABLE1,
        "convexity": convexity,
        "studies": ["# The data\n\n| dataset |\n"],
        "alignment": None,
        "timing": pd.DataFrame({"disturbed": [False, None], "step_disturbed": False}),
        "took": pd.DataFrame(
            [("finetune", 3, 12.04, 6.0, 11.0, 900.4)],
            columns=["rule", "jobs", "minutes", "longest", "cpu_minutes", "peak_mb"],
        ),
        "models": {
            "tiny": {
                "source": "hub",
                "id": "some/tiny",
                "revision": "0123456789abcdef",
                "licence": None,
                "fingerprint": "fedcba9876543210",
            }
        },
        "runs": [{"versions": {"torch": "2"}, "device": "cpu", "threads": 1}] * 2,
        "versions": {"numba": "5"},
        "figures": FIGURES,
        "not_drawn": {},
    } | changes
    parts = ({name: given[name] for name in kind.__annotations__} for kind in (Experiment, Findings, Origins))
    experiment, findings, origins = parts
    return summarise(Experiment(**experiment), Findings(**findings), Origins(**origins))


def row(text, start):
    line = next(line for line in text.splitlines() if " ".join(line.split()).startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_choice_has_its_number_the_papers_and_its_reason():
    text = summary(corpus="speech_commands")
    assert row(text, "tiny | words") == ["tiny", "words", "1 of 2", "tolerance", "0"]
    assert row(text, "tiny | speakers") == ["tiny", "speakers", "2 of 2", "explicit", "1"]
    own = summary(corpus="table")
    assert row(own, "tiny | words") == ["tiny", "words", "1 of 2", "tolerance"]
    assert "the paper's number" in text and "the paper's number" not in own
    assert "- tiny, words: Because." in text and "- tiny, speakers: As told." in text


def test_the_best_layer_is_of_one_or_more_and_of_the_mean_asked_for():
    cells = ["tiny", "words", "pretrained"]
    by_pair = row(summary(), "tiny | words | pretrained")
    assert by_pair == [*cells, "0.300", "0.900 ± 0.010", "0.700 ± 0.010 (2)", "0.700 ± 0.010"]
    by_class = row(summary(average="class"), "tiny | words | pretrained")
    assert by_class == [*cells, "0.250", "0.300 ± 0.020", "0.400 ± 0.020 (1)", "0.200 ± 0.020"]


def test_what_was_left_out_failed_or_is_doubtful_is_said():
    labels = pd.DataFrame({"label": ["t", "4", "null"], "count": [9, 2, 1], "kept": [True, False, False]})
    text = summary(
        corpus="speech_commands",
        alignment=Alignment(pd.DataFrame({"item": ["a", "b"]}), labels, "2 of 3 failed"),
        splits={"words": "validation", "phonemes": "validation"},
        timing=pd.DataFrame({"disturbed": [True, False, None], "step_disturbed": [True, True, False]}),
        plan=PLAN.query("task == 'speakers'"),
        not_drawn={"choices": "shows a sweep", "points": "compares models"},
    )
    told = text.partition("## Left out")[2].partition("## Made of")[0].replace("\n  ", " ")
    assert [line for line in told.splitlines() if line.startswith("-")] == [
        "- speakers: not in this config",
        "- words: no model was fine-tuned to them",
        "- What each choice costs: the figure shows a sweep",
        "- Accuracy: the figure compares models",
        "- phonemes: 2 of 3 failed",
        "- 2 recordings could not be aligned: see alignment/failures.csv",
        "- 2 rare phonemes (3 segments): 4, null",
        "- 1 of 3 inference times measured beside other work (`disturbed` in timing.csv): "
        "measure again before you quote them",
        "- 2 of 3 training steps measured beside other work (`step_disturbed` in timing.csv): "
        "measure again before you quote them",
    ]
    whole = dict.fromkeys(("words", "speakers", "phonemes"), "validation")
    assert "- nothing\n" in summary(splits=whole)


def test_what_the_run_took_is_told_by_rule():
    assert row(summary(), "finetune") == ["finetune", "3", "12.0", "6.0", "11.0", "900"]


def test_headings_nest_and_models_and_versions_are_named():
    text = summary()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[0] == "# results/mine"
    assert [heading for heading in headings if heading.count("#") == 1] == headings[:1]
    assert "## The data" in headings and "measured on words (validation)" in text
    assert "## Table 1. Full" in headings and "### Word classification" in headings
    assert "- a note # with a sign" in text
    assert row(text, "tiny | hub")[1:] == ["hub", "some/tiny", "0123456789ab", "unknown", "fedcba987654"]
    assert "Trained with torch 2; on cpu, 1 thread. Summed up with numba 5." in text
    pictures = [line for line in text.splitlines() if line.startswith("![")]
    assert pictures == [f"![{caption}](figures/{name}.png)" for name, caption in FIGURES.items()]


def test_a_run_ends_with_tables_without_notes_and_then_the_answer():
    table = "# Does convexity choose well?\n\nIt does.\n\n| choice |\n|:-----|\n| plan |\n\n"
    table += "## Word classification\n\n| choice | tiny |\n|:-----|--:|\n| by task | 2 |\n\n- a note"
    shown = shorten(summary(studies=[table, "# The data\n\n| dataset |\n|:---|\n| corpus |\n"]))
    assert shown.index("## Layers kept") < shown.index("## Table 1") < shown.index("## Does convexity")
    assert "It does." in shown and "plan" in shown and "by task" not in shown
    assert "a note" not in shown and "Because" not in shown and "corpus" not in shown and "|" not in shown
    assert shown.endswith("## What to use\n\n- use this")
    assert max(map(len, shown.splitlines())) <= 98
