"""`code=`: the library modules that a script imports."""

import pytest
from convexprune.setup.imports import LIBRARY, find_code, find_imports


def names(paths):
    return {str(path.relative_to(LIBRARY).with_suffix("")) for path in paths}


def test_a_script_runs_what_it_imports_through_others_too_but_for_jobs(root):
    found = names(find_code(root / "workflow/scripts/score_convexity.py"))
    assert found == {
        f"convexity/{name}"
        for name in (
            "layers",
            "score",
            "checks",
            "comparison",
            "averages",
            "neighbours",
            "exact",
            "paths",
            "search",
            "kernels",
            "embeddings",
            "uncertainty",
        )
    }


def test_a_module_that_a_script_imports_by_name_is_listed_with_what_it_imports(root):
    module = LIBRARY / "results/figures/tradeoffs.py"
    found = names(find_code(root / "workflow/scripts/draw_figure.py", module))
    assert found == {f"results/figures/{name}" for name in ("tradeoffs", "lettering", "style")} | {
        "convexity/averages"
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from convexprune.data import corpus, datasets", {"data/corpus", "data/datasets"}),
        ("from convexprune.data.corpus import SPLITS", {"data/corpus"}),
        ("import convexprune.data.corpus", {"data/corpus"}),
        ("def late():\n    from convexprune.data import corpus", {"data/corpus"}),
        ("if TYPE_CHECKING:\n    from convexprune.data import corpus", set()),
        ("from convexprune import __version__\nfrom convexprune.data import nothing\nimport numpy", set()),
    ],
)
def test_every_way_to_import_is_read(tmp_path, source, found):
    path = tmp_path / "script.py"
    path.write_text(source, encoding="utf-8")
    assert names(find_imports(path)) == found
