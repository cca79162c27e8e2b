"""The answer of a run: which folder to use, whether it is as accurate, how much faster and smaller it is."""

from math import nan

import pandas as pd
import pytest
from convexprune.results.answer import Tables, answer


def groups(*rows) -> pd.DataFrame:
    """Groups of the model: kind, group, full, pruned, p_holm."""
    table = pd.DataFrame(rows, columns=["kind", "group", "full", "pruned", "p_holm"])
    return table.assign(model="tiny", task="words", change=table["pruned"] - table["full"])


def tables(*, disturbed=False, ratio=0.5, layers=2, seconds=1, payers=(), **compared):
    """A model of four layers, pruned to `layers`, on 500 test items; `compared` as in significance.csv."""
    compared = {"p_value": 0.267, "difference_low": -0.024, "most_frequent": 0.5} | compared
    compared = {"worse_at_most": 0.0213, "worse_at_most_by_speaker": nan, "n_speakers": nan} | compared
    run = {"model": "tiny", "task": "words"}
    return Tables(
        plan=pd.DataFrame([run | {"layers": layers, "full_layers": 4}]),
        finetuning=pd.DataFrame(
            run | {"layers": kept, "seed": seed, "accuracy": accuracy - seed / 10}
            for kept, accuracy in ((4, 0.96), (2, 0.95))
            for seed in (0, 1)
        ),
        timing=pd.DataFrame(
            [
                run
                | {"layers": 2, "full_median": 0.012, "pruned_median": 0.012 * ratio}
                | {"ratio_median": ratio, "disturbed": disturbed, "seconds": seconds}
            ]
        ),
        costs=pd.DataFrame(
            run | {"layers": kept, "bytes": size} for kept, size in ((4, 4_000_000), (2, 2_490_000))
        ),
        significance=pd.DataFrame(
            [
                run
                | {"layers": 2, "seed": 0, "n_items": 500, "only_full": 9, "only_pruned": 4}
                | {"difference_high": 0.0041}
                | compared
            ]
        ),
        groups=groups(("class", "yes", 1, 0.5, 0.06), ("class", "no", 0.5, 1, 0.01), *payers),
    )


def test_it_names_the_folder_and_says_how_accurate_fast_and_small_the_model_is():
    assert answer(tables(), "results/mine", 0).splitlines() == [
        "- **tiny, words**: use `results/mine/exported/tiny/words/` (2 of 4 layers).",
        "  No difference in accuracy was found: 95.0 % against the full model's 96.0 % on 500 test items",
        "  (-1.0 points, 95 % interval -2.4 to +0.4, p = 0.267).",
        "  It is at most 2.1 points worse, at 95 %.",
        "  It is 50 % faster (12.0 → 6.0 ms for a second of audio)",
        "  and 38 % smaller (4 → 2.49 MB).",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"p_value": 0.0004}, "It is less accurate: 95.0 %"),
        ({"p_value": 0.0004}, "`results/mine/exported/tiny/words/` (2 of 4 layers) loses accuracy."),
        ({"p_value": 0.0004}, "use the full model, `results/mine/finetuned/tiny/words/4/0/`."),
        ({"p_value": 0.0004}, "p < 0.001"),
        (
            {"difference_low": -0.1},
            "  The test items are too few to tell whether accuracy differs: 95.0 % against",
        ),
        ({"difference_low": -0.0955}, "  No difference in accuracy was found: 95.0 % against"),
        (
            {"worse_at_most_by_speaker": 0.0301, "n_speakers": 8.0},
            "  It is at most 3.0 points worse, at 95 % (over its 8 speakers).",
        ),
        ({"worse_at_most": -0.0052}, "  It is at least 0.5 points better, at 95 %."),
        (
            {"payers": [("speaker", "ann", 0.96, 0.71, 0.0123)]},
            "  The speaker ann (96 → 71 %, p = 0.012 by Holm) loses accuracy: see `groups.csv`.",
        ),
        (
            {"payers": [("speaker", "ann", 0.96, 0.71, 0.04), ("class", "up", 1, 0.5, 2e-5)]},
            "  The class up (100 → 50 %, p = 2e-05 by Holm) and 1 more lose accuracy: see `groups.csv`.",
        ),
        ({"ratio": 1.02}, "It is not faster (12.0 → 12.2 ms"),
        ({"seconds": 2.5}, "(12.0 → 6.0 ms for 2.5 s of audio)"),
        ({"disturbed": True}, "6.0 ms for a second of audio; other work ran beside it: measure again)"),
        (
            {"most_frequent": 0.94},  # 475 of 500 or more have a chance of 0.20 in 500 tosses
            "  That is not clearly better than always the most frequent class, 94.0 %: do not use it.",
        ),
        ({"layers": 4}, "- **tiny, words**: keep all 4 layers. Nothing was pruned."),
    ],
)
def test_it_says_what_is_not_good(changes, said):
    assert said in answer(tables(**changes), "results/mine", 0)


def test_no_line_is_wider_than_a_terminal():
    assert max(map(len, answer(tables(disturbed=True), "results/mine", 0).splitlines())) <= 100
