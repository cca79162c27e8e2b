"""Names that look like numbers or missing values, in every table and through every stage that reads one."""

import re

import numpy as np
import pandas as pd
import pytest
from convexprune.jobs import csv_files

NAMES = ["2024", "007", "1e5", "0x10", "inf", "NA", "N/A", "null", "nan", "None", "none", "true", "False"]
NAMES += ["-", "", " led by a space", "a,b", 'a"b', "two\nlines", "#", "日本", "_silence_"]


@pytest.mark.parametrize("column", sorted(csv_files.TEXT))
def test_text_is_read_as_it_was_written(tmp_path, column):
    table = pd.DataFrame({column: NAMES, "score": np.arange(len(NAMES)) / 3})
    csv_files.write(tmp_path / "table.csv", table)
    found = csv_files.read(tmp_path / "table.csv")
    assert found[column].tolist() == NAMES
    assert (found["score"] == table["score"]).all()  # to the last digit


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_one_name_only_is_text(tmp_path, name):
    csv_files.write(tmp_path / "table.csv", pd.DataFrame({"model": [name] * 3, "layers": range(3)}))
    assert csv_files.read(tmp_path / "table.csv")["model"].tolist() == [name] * 3


def test_what_is_no_text_is_numbers_or_truth(tmp_path):
    table = pd.DataFrame(
        {
            "layers": [1, 2, 3],
            "score": [0.1 + 0.2, np.nan, np.inf],
            "kept": [True, False, True],
            "disturbed": [True, None, False],
            "paper": [np.nan] * 3,
        }
    )
    csv_files.write(tmp_path / "table.csv", table)
    found = csv_files.read(tmp_path / "table.csv")
    assert [str(kind) for kind in found.dtypes] == ["int64", "float64", "bool", "object", "float64"]
    assert found["score"].equals(table["score"])
    assert found["disturbed"].eq(True).tolist() == [True, False, False] and found["disturbed"].isna()[1]
    csv_files.write(tmp_path / "table.csv", table[:0])
    assert csv_files.read(tmp_path / "table.csv").columns.tolist() == table.columns.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a CSV file .it is empty"),
        (b"model,layers\na,1\nb\n", "is damaged: rows differ in their number of fields; delete it"),
        (b"model,layers\na,1,2\n", "is damaged: rows differ in their number of fields; delete it"),
        (b"model,layers\na,one\n", "its column layers holds text, not numbers"),
        (b'model,layers\n"a,1\n', "line 2.*is a quote not closed"),
        (b"model,layers\n\xff,1\n", "is not a CSV file in UTF-8"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, content, message):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"table\.csv.* {message}"):
        csv_files.read(tmp_path / "table.csv")


def test_no_table_is_read_another_way(root):
    """In library, scripts, rules and benchmarks: to pandas' own reader the name NA is a missing value."""
    for folder in ("workflow", "benchmarks"):
        for path in [*(root / folder).rglob("*.py"), *(root / folder).rglob("*.smk")]:
            text = re.sub(r'"[^"\n]*"', '""', path.read_text(encoding="utf-8"))  # without what it tells users
            assert not re.search(r"\bpd\.read_|pandas\.read_|import csv\b|csv\.DictReader", text) or (
                "def read(path" in text
            ), path
