"""The summary: counts by hand, and the differences from the paper's."""

from types import SimpleNamespace

import pandas as pd
import pytest
import summarise_datasets
from convexprune import corpus, counts, provenance

ITEMS = pd.DataFrame(
    [
        ("yes/a.wav", 0, 16_000, "yes", "a", "train"),
        ("yes/b.wav", 16_000, 24_000, "yes", "b", "train"),
        ("no/a.wav", 24_000, 40_000, "no", "a", "train"),
        ("_silence_/0.wav", 40_000, 56_000, "_silence_", "", "test"),
        ("no/c.wav", 56_000, 60_000, "no", "c", "test"),
    ],
    columns=corpus.ITEM_COLUMNS,
)
COUNTED = {
    "train": (3, 2, 2, 2.5, 0.5, 1.0),
    "test": (2, 2, 1, 1.25, 0.25, 1.0),
    "all": (5, 3, 3, 3.75, 0.25, 1.0),
}


def test_every_split_is_counted():
    table = counts.summarise({"words": ITEMS}, compare=False)
    found = table.set_index(["dataset", "split", "quantity"])["value"].to_dict()
    assert found == {
        ("words", split, quantity): value
        for split, values in COUNTED.items()
        for quantity, value in zip(counts.QUANTITIES, values, strict=True)
    }
    assert table[["paper", "difference"]].isna().all(axis=None) and (table["remark"] == "").all()


def repeat(counts, classes):
    """A dataset with so many items in each split, of so many labels."""
    splits = [split for split, count in counts.items() for _ in range(count)]
    labels = [str(number % classes) for number in range(len(splits))]
    return pd.DataFrame({"start": 0, "end": 16_000, "label": labels, "speaker": labels, "split": splits})


def test_the_papers_counts_come_first_with_what_differs():
    tables = {
        "words": repeat({"train": 84_843, "validation": 9_981, "test": 4_482}, 35),
        "speakers": repeat({"train": 35_213, "validation": 3_913, "test": 4_348}, 388),
        "phonemes": repeat({"validation": 25_460}, 17),
        "phones": repeat({"validation": 33_317}, 36),
        "corpus": repeat({"train": 84_843, "validation": 9_981, "test": 4_890}, 36),
    }
    table = counts.summarise(tables, compare=True)
    compared = table[: len(counts.PAPER)].set_index(["dataset", "split", "quantity"])
    assert compared["paper"].to_dict() == counts.PAPER and table["paper"][len(counts.PAPER) :].isna().all()
    assert (compared["value"] - compared["paper"] == compared["difference"]).all()
    differs = compared[compared["difference"] != 0]
    assert differs["difference"].to_dict() == {
        ("words", "test", "files"): -408,
        ("speakers", "train", "files"): -3_913,
        ("phonemes", "all", "files"): -3,
        ("phones", "all", "classes"): 1,
    }
    assert ((compared["remark"] != "") == (compared["difference"] != 0)).all()
    text = counts.markdown(table)
    assert "9 of 13 counts are those of the paper's data." in text
    listed = text.partition("These differ:")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in listed.strip().splitlines()]
    assert rows[2][:6] == ["words", "test", "files", "4,482", "4,890", "-408"]
    assert len(rows) == 2 + 4


def test_where_nothing_differs_nothing_is_listed():
    table = counts.summarise({"words": ITEMS}, compare=True)
    table["difference"] = table["difference"].where(table["difference"].isna(), 0)
    text = counts.markdown(table)
    assert "3 of 3 counts are those of the paper's data." in text and "differ" not in text


def test_the_markdown_is_a_row_a_split_and_aligned():
    text = counts.markdown(counts.summarise({"words": ITEMS, "few": ITEMS[:1]}, compare=False))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells[0] == ["dataset", "split", *counts.QUANTITIES]
    assert cells[2:5] == [
        ["words", "train", "3", "2", "2", "2.50", "0.50", "1.00"],
        ["words", "test", "2", "2", "1", "1.25", "0.25", "1.00"],
        ["words", "all", "5", "3", "3", "3.75", "0.25", "1.00"],
    ]
    assert [row[:2] for row in cells[5:]] == [["few", "train"], ["few", "all"]]
    assert "paper" not in text


@pytest.mark.parametrize("compare", [True, False])
def test_adapter_reads_the_corpus_and_its_datasets(tmp_path, compare):
    table = ITEMS.assign(path=ITEMS["item"], word=ITEMS["label"], offset=ITEMS["start"])
    table["n_samples"] = ITEMS["end"] - ITEMS["start"]
    provenance.write_csv(tmp_path / "corpus.csv", table[corpus.COLUMNS])
    provenance.write_csv(tmp_path / "words.csv", ITEMS[ITEMS["label"] != "_silence_"])
    output = SimpleNamespace(csv=tmp_path / "summary.csv", markdown=tmp_path / "summary.md")
    summarise_datasets.main(
        SimpleNamespace(
            input=SimpleNamespace(corpus=tmp_path / "corpus.csv", datasets=[tmp_path / "words.csv"]),
            output=output,
            params=SimpleNamespace(settings={"compare": compare, "datasets": ["words"]}),
            log=[tmp_path / "log"],
        )
    )
    found = pd.read_csv(output.csv)
    values = found.set_index(["dataset", "split", "quantity"])["value"]
    assert (values["corpus", "test", "files"], values["words", "test", "files"]) == (2, 1)
    assert values["corpus", "all", "seconds"] == 3.75
    assert found["paper"].notna().any() == compare
    assert ",train,files,3," in output.csv.read_text()  # counts stay whole numbers
    assert output.markdown.read_text().startswith("# The data")
