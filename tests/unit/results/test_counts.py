"""The summary: counts by hand, and the differences from the paper's."""

from types import SimpleNamespace

import pandas as pd
import pytest
import summarise_datasets
from convexprune.data import corpus
from convexprune.jobs import csv_files
from convexprune.results import counts

ITEMS = pd.DataFrame(
    [
        ("yes/a.wav", 0, 16_000, "yes", "a", "train"),
        ("yes/b.wav", 16_000, 24_000, "yes", "b", "train"),
        ("no/a.wav", 24_000, 40_000, "no", "a", "train"),
        ("_silence_/0.wav", 40_000, 56_000, "", "", "test"),
        ("no/c.wav", 56_000, 60_000, "no", "c", "test"),
    ],
    columns=corpus.ITEM_COLUMNS,
)
COUNTED = {
    "train": (3, 2, 2, 2.5, 0.5, 1.0),
    "test": (2, 1, 1, 1.25, 0.25, 1.0),  # a recording without a word is of no class
    "all": (5, 2, 3, 3.75, 0.25, 1.0),
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
    text = counts.markdown(table, [])
    assert "9 of 13 counts are those of the paper's data." in text
    listed = text.partition("These differ:")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in listed.strip().splitlines()]
    assert rows[2][:6] == ["words", "test", "files", "4,482", "4,890", "-408"]
    assert len(rows) == 2 + 4


def test_the_standard_test_split_is_not_compared_with_the_papers():
    tables = {
        "words": repeat({"train": 84_843, "validation": 9_981, "test": 11_005}, 35),
        "speakers": repeat({"train": 35_213, "validation": 3_913, "test": 4_348}, 388),
        "corpus": repeat({"train": 84_843, "validation": 9_981, "test": 11_005}, 35),
    }
    table = counts.summarise(tables, compare=True, test="standard")
    compared = table[table["paper"].notna()].set_index(["dataset", "split", "quantity"])["difference"]
    assert compared.to_dict() == {
        ("words", "train", "files"): 0,
        ("words", "validation", "files"): 0,
        ("words", "all", "classes"): 0,
        ("speakers", "train", "files"): -3_913,
        ("speakers", "test", "files"): 0,
        ("speakers", "all", "files"): 0,
        ("speakers", "all", "classes"): 0,
    }
    told = "The test split is the standard one, not the paper's, so it is not compared."
    assert told in counts.markdown(table, [], "standard").splitlines()
    assert told not in counts.markdown(counts.summarise(tables, compare=True), [])


def test_where_nothing_differs_nothing_is_listed():
    table = counts.summarise({"words": ITEMS}, compare=True)
    table["difference"] = table["difference"].where(table["difference"].isna(), 0)
    text = counts.markdown(table, [])
    assert "3 of 3 counts are those of the paper's data." in text and "differ" not in text


def test_the_markdown_is_a_row_a_split_and_aligned():
    text = counts.markdown(counts.summarise({"words": ITEMS, "few": ITEMS[:1]}, compare=False), [])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells[0] == ["dataset", "split", *counts.QUANTITIES]
    assert cells[2:5] == [
        ["words", "train", "3", "2", "2", "2.50", "0.50", "1.00"],
        ["words", "test", "2", "1", "1", "1.25", "0.25", "1.00"],
        ["words", "all", "5", "2", "3", "3.75", "0.25", "1.00"],
    ]
    assert [row[:2] for row in cells[5:]] == [["few", "train"], ["few", "all"]]
    assert "paper" not in text


@pytest.mark.parametrize("compare", [True, False])
def test_adapter_reads_the_corpus_and_its_datasets(tmp_path, compare):
    table = ITEMS.assign(path=ITEMS["item"], word=ITEMS["label"], offset=ITEMS["start"])
    table["n_samples"] = ITEMS["end"] - ITEMS["start"]
    table["digest"] = ["a", "b", "c", "c", "a"]
    table["remarks"] = ["clipped converted", "clipped", *[""] * (len(ITEMS) - 2)]
    csv_files.write(tmp_path / "corpus.csv", table[corpus.COLUMNS])
    csv_files.write(tmp_path / "words.csv", ITEMS[ITEMS["label"] != ""])
    output = SimpleNamespace(csv=tmp_path / "summary.csv", markdown=tmp_path / "summary.md")
    summarise_datasets.main(
        SimpleNamespace(
            input=SimpleNamespace(corpus=tmp_path / "corpus.csv", datasets=[tmp_path / "words.csv"]),
            output=output,
            params=SimpleNamespace(settings={"compare": compare, "datasets": ["words"], "seconds": 1}),
            log=[tmp_path / "log"],
        )
    )
    found = pd.read_csv(output.csv)
    values = found.set_index(["dataset", "split", "quantity"])["value"]
    assert (values["corpus", "test", "files"], values["words", "test", "files"]) == (2, 1)
    assert values["corpus", "all", "seconds"] == 3.75
    assert found["paper"].notna().any() == compare
    assert ",train,files,3," in output.csv.read_text(encoding="utf-8")  # counts stay whole numbers
    assert output.markdown.read_text(encoding="utf-8").startswith("# The data")
    text = output.markdown.read_text(encoding="utf-8")
    assert "- words: 1 recordings without a word (`_silence_`) are left out\n" in text
    assert (
        "- corpus: 4 recordings have the samples of one in another split, such as yes/a.wav (train, yes) and "
        "no/c.wav (test, no)\n" in text
    )
    odd = [[cell.strip() for cell in line.split("|")[1:6]] for line in text.splitlines() if "| clip" in line]
    splits = ITEMS["split"][:2].tolist()
    assert odd == [["clipped", *(str(splits.count(name)) for name in corpus.SPLITS), "2"]]
    assert values["corpus", "all", "clipped"] == 2 and values["corpus", "all", "converted"] == 1
    assert ("corpus", "all", "silent") not in values


def test_copies_among_the_speakers_recordings_are_told_by_their_own_splits():
    """All are of the corpus' training split, which is split anew for them."""
    names = [f"{number}.wav" for number in range(4)]
    columns = {"item": names, "label": ["yes"] * 4, "speaker": ["a", "a", "b", "b"], "split": ["train"] * 4}
    items = pd.DataFrame(columns | {"start": 0, "end": 16_000})
    speakers = items.assign(label=items["speaker"], split=["train", "test", "train", "validation"])
    digests = pd.Series(["x", "x", "y", "z"], index=names)
    tables = {"corpus": items, "words": items, "speakers": speakers}
    told = counts.describe_recordings(tables, digests, 1)
    assert told == [
        "words: 1 of 1 classes are not in every split, such as yes (train)",
        "corpus: 2 recordings have the samples of another one of their split and label, such as "
        "0.wav (train, yes) and 1.wav (train, yes)",
        "speakers: 2 recordings have the samples of one in another split, such as 0.wav (train, a) and "
        "1.wav (test, a)",
    ]
    told = counts.describe_recordings({"corpus": items}, pd.Series(list("abcd"), index=names), 1)
    assert told == ["no two recordings have the same samples"]


@pytest.mark.parametrize(("seconds", "warned"), [(10, False), (10.1, True)])
def test_recordings_that_are_all_shorter_than_a_tenth_of_a_clip_are_told(caplog, seconds, warned):
    """The longest recording has a second."""
    told = counts.describe_recordings(
        {"corpus": ITEMS}, pd.Series(ITEMS["item"], index=ITEMS["item"]), seconds
    )
    expected = (
        f"all 5 recordings are shorter than a tenth of clips.seconds, {seconds} s (the longest has 1.00 s), "
        "so models are given padding above all: lower clips.seconds"
    )
    assert (told[0] == expected) == warned == (expected in caplog.messages) and len(told) == 1


def test_a_corpus_without_odd_recordings_says_nothing_of_them():
    table = counts.summarise({"words": ITEMS}, compare=False)
    assert counts.count_remarks(ITEMS.assign(remarks="")).empty
    assert "Odd" not in counts.markdown(table, [])
