"""Groups: counted by hand, and by the functions that compare all items."""

from types import SimpleNamespace

import compare_groups as adapter
import numpy as np
import pandas as pd
import pytest
from convexprune.jobs import csv_files
from convexprune.results.groups import compare_groups
from scipy.stats import binom

# label, speaker, right in the full model, in the pruned one; and how many such items
ITEMS = [
    ("no", "ann", True, False, 7),
    ("no", "bob", True, True, 3),
    ("up", "ann", False, True, 1),
    ("up", "bob", True, True, 4),
    ("up", "bob", False, False, 5),
]
CONVEXITY = pd.Series({"up": 0.8, "other": 0.3})


def pairs() -> pd.DataFrame:
    table = pd.DataFrame(ITEMS, columns=["label", "speaker", "full", "pruned", "count"])
    return table.loc[table.index.repeat(table.pop("count"))].sample(frac=1, random_state=0)


def test_every_class_and_speaker_is_compared_on_its_own_items():
    table = compare_groups(pairs(), CONVEXITY).set_index(["kind", "group"])
    assert table.index.tolist() == [("class", "no"), ("class", "up"), ("speaker", "ann"), ("speaker", "bob")]
    assert table["n_items"].tolist() == [10, 10, 8, 12]
    assert table["full"].tolist() == pytest.approx([1, 0.4, 7 / 8, 7 / 12])
    assert table["pruned"].tolist() == pytest.approx([0.3, 0.5, 1 / 8, 7 / 12])
    assert table["change"].tolist() == pytest.approx([-0.7, 0.1, -0.75, 0])
    assert table[["only_full", "only_pruned"]].values.tolist() == [[7, 0], [0, 1], [7, 1], [0, 0]]
    p_values = [2 * 0.5**7, 1, 2 * binom.cdf(1, 8, 0.5), 1]
    assert table["p_value"].tolist() == pytest.approx(p_values)
    assert table["p_holm"].tolist() == pytest.approx([2 * p_values[0], 1, 2 * p_values[2], 1])
    assert table["convexity"].tolist() == pytest.approx([np.nan, 0.8, np.nan, np.nan], nan_ok=True)


def test_speakers_who_are_unknown_or_the_labels_are_no_groups():
    table = compare_groups(pairs().assign(speaker=""), CONVEXITY)
    assert table["kind"].tolist() == ["class", "class"]


def test_adapter_takes_the_convexity_at_the_layers_kept(tmp_path):
    dataset = pd.DataFrame(
        {"item": list("abcd"), "label": ["no", "no", "007", "007"], "speaker": ["1", "2", "1", "2"]}
    )
    paths = {"datasets": [str(tmp_path / "words.csv")]}
    dataset.assign(start=0, end=1, split="test").to_csv(paths["datasets"][0], index=False)
    for name, layers, said in (
        ("full", 9, ["no", "no", "007", "no"]),
        ("pruned", 2, ["no", "no", "no", "no"]),
    ):
        folder = tmp_path / f"NA/words/{layers}/5"
        folder.mkdir(parents=True)
        paths[name] = [str(folder / "predictions.csv")]
        dataset[["item", "label"]].assign(predicted=said).to_csv(paths[name][0], index=False)
    paths["classes"] = [str(tmp_path / "words.classes.csv")]
    scores = [(layers, label, layers / 10) for layers in (1, 2, 3) for label in ("no", "007")]
    pd.DataFrame(scores, columns=["layers", "label", "score"]).to_csv(paths["classes"][0], index=False)
    output = str(tmp_path / "groups.csv")
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(**paths), output=SimpleNamespace(table=output), log=[str(tmp_path / "log")]
        )
    )
    table = csv_files.read(output)
    assert table[["model", "task", "layers", "seed"]].drop_duplicates().values.tolist() == [
        ["NA", "words", 2, 5]
    ]
    assert table["group"].tolist() == ["007", "no", "1", "2"]
    assert table["change"].tolist() == [-0.5, 0, -0.5, 0]
    assert table["convexity"][:2].tolist() == [0.2, 0.2]
