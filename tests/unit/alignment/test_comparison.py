"""Two alignments of the same recordings, compared."""

import numpy as np
import pandas as pd
import pytest
from convexprune import __main__ as command_line
from convexprune.alignment import comparison


def table(*words):
    """(item, labels, bounds in ms) of each word, phones without gaps."""
    rows = [
        (item, 16 * start, 16 * end, label)
        for item, labels, bounds in words
        for label, start, end in zip(labels.split(), bounds[:-1], bounds[1:], strict=True)
    ]
    return pd.DataFrame(rows, columns=["item", "start", "end", "label"])


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        ("s E v V n", "s E v V n", [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]),
        ("s E v V n", "s E v @ n", [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]),  # another name of the same
        ("s E v V n", "s E v n=", [(0, 0), (1, 1), (2, 2)]),  # two phones for one
        ("s t Q p", "s Q p", [(0, 0), (2, 1), (3, 2)]),
        ("f O: r", "f r", [(0, 0), (2, 1)]),
    ],
)
def test_phones_are_matched(first, second, pairs):
    assert comparison.match_phones(first.split(), second.split()) == pairs


def test_boundaries_of_matched_phones_are_compared():
    first = table(
        ("a", "n oU", (100, 200, 400)), ("b", "s t Q p", (0, 50, 100, 300, 350)), ("c", "@", (0, 9))
    )
    second = table(("b", "s Q p", (10, 100, 320, 410)), ("a", "n @U", (130, 180, 500)), ("d", "@", (0, 9)))
    result = comparison.compare_alignments(first, second)
    assert (result.n_items, result.n_only_first, result.n_only_second) == (2, 1, 1)
    assert (result.n_phones, result.n_matched, result.n_same_label) == ((6, 5), 5, 4)
    assert result.renamed == [("oU", "@U", 1)]
    # Start of words: 30 and 10 ms. Inside: 20 (n|oU) and 20 (Q|p): what borders on t has no counterpart.
    # End: 100 and 60.
    rows = result.boundaries
    assert rows["count"].to_dict() == {"start of word": 2, "inside": 2, "end of word": 2, "all": 6}
    assert rows["median"].to_dict() == {"start of word": 20, "inside": 20, "end of word": 80, "all": 25}
    assert rows.loc["all", "p90"] == pytest.approx(np.percentile([30, 10, 20, 20, 100, 60], 90))
    assert rows["within_20"].to_dict() == {"start of word": 0.5, "inside": 1, "end of word": 0, "all": 0.5}
    assert rows.loc["all", "within_50"] == pytest.approx(4 / 6)


def test_the_command_prints_the_table(tmp_path, capsys):
    rng = np.random.default_rng(0)
    bounds = [np.sort(rng.choice(900, 4, replace=False)) for _ in range(50)]
    first = table(*((f"{i}.wav", "n aI n", tuple(b)) for i, b in enumerate(bounds)))
    second = first.assign(start=first["start"] + 16 * 30, end=first["end"] + 16 * 30)
    first.to_csv(tmp_path / "a.csv", index=False)
    second.to_csv(tmp_path / "b.csv", index=False)
    command_line.main(["compare-alignments", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "50 recordings in both, 0 only in the first, 0 only in the second"
    assert lines[-1].split() == ["all", "200", "30.0", "ms", "30.0", "ms", "0.0", "%", "100.0", "%"]
    (tmp_path / "c.csv").write_text("item,start,label\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"c\.csv has no column end"):
        command_line.main(["compare-alignments", str(tmp_path / "a.csv"), str(tmp_path / "c.csv")])
    first.assign(label=np.where(first["label"] == "aI", "A", first["label"])).to_csv(tmp_path / "b.csv")
    command_line.main(["compare-alignments", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert capsys.readouterr().out.splitlines()[2] == "other labels: aI is A (50)"
    first.assign(item="x").to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(SystemExit, match="no recording in common"):
        command_line.main(["compare-alignments", str(tmp_path / "a.csv"), str(tmp_path / "c.csv")])
