"""Each figure has an entry in figures.smk, a module and a caption."""

import re


def test_every_figure_has_a_module_and_a_caption(root):
    entries = (root / "workflow/rules/figures.smk").read_text(encoding="utf-8").partition("FIGURES = {")[2]
    names = set(re.findall(r'^    "(\w+)": \(', entries.partition("\n}\n")[0], re.MULTILINE))
    folder = root / "workflow/scripts/convexprune/results/figures"
    assert {path.stem for path in folder.glob("*.py")} == names | {"__init__", "lettering", "style"}
    assert {path.stem for path in (root / "workflow/report/figures").glob("*.rst")} == names
