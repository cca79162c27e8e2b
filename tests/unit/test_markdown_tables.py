"""Markdown tables that also read well in a terminal."""

from convexprune import markdown_tables


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
