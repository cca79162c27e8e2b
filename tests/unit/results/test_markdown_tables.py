"""Markdown tables that also read well in a terminal."""

import html
import re

import pytest
from convexprune.results import markdown_tables, pages
from drawn import HOSTILE


def test_columns_stand_under_each_other_and_cells_stay_as_they_are():
    table = markdown_tables.render(("a", "long heading"), [("longer cell", "1.50"), ("é", "")], "lr")
    assert table.splitlines() == [
        "| a           |   long heading |",
        "|:------------|---------------:|",
        "| longer cell |           1.50 |",
        "| é           |                |",
    ]


def test_a_table_may_have_no_rows():
    assert markdown_tables.render(("a", "b"), [], "lr").splitlines()[0].split() == ["|", "a", "|", "b", "|"]


@pytest.mark.parametrize(
    "name", [*HOSTILE, "a|b|c", "[a](b)", "![a](b)", "1. a", "# a", "- a", "+2.75*", "&lt;", "<script>"]
)
def test_any_name_is_one_cell_and_shown_as_it_is(tmp_path, name):
    table = markdown_tables.render(("a", "b", "c"), [(name, "*", name)], "lll")
    page = pages.text_page(f"# Title\n\n{table}\n", tmp_path)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page, flags=re.DOTALL)
    assert [html.unescape(cell) for cell in cells] == [" ".join(name.split()), "*", " ".join(name.split())]
    assert not re.search(r"<td[^>]*>[^<]*<(?!/td)", page)  # no element of its own


@pytest.mark.parametrize(
    "name", ["wav2vec2-base", "my_model_2.0", "78.98 ± 1.03", "+2.75*", "a → b (-3 %)", "<0.001", ""]
)
def test_usual_cells_have_no_escapes(name):
    assert markdown_tables.literal(name) == name
