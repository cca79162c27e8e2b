"""The plan of the library: which package may import which, and how large a file and a function may be."""

import ast
from graphlib import TopologicalSorter

import pytest
from convexprune.setup import imports

# From the ground up: each imports its own modules and those of packages that stand before it.
FLOORS = ["jobs", "data", "convexity", "criteria", "setup", "models", "alignment", "finetuning", "results"]
WITH_TORCH = {"models", "finetuning"}
LINES = {"*.py": 350, "common.smk": 150, "results.smk": 330}
PARAMETERS = 8


@pytest.fixture(scope="module")
def library(root):
    return root / "workflow/scripts/convexprune"


@pytest.fixture(scope="module")
def modules(library):
    """Every module of a package, and what it imports of ours."""
    files = [path for path in library.rglob("*.py") if path.parent != library and path.stem != "__init__"]
    return {
        path: {found for found in imports.find_imports(path) if found.stem != "__init__"} for path in files
    }


def test_every_package_has_its_floor(library):
    assert {path.parent.name for path in library.glob("*/__init__.py")} == set(FLOORS)


def test_no_module_imports_a_package_above_its_own(library, modules):
    upward = [
        f"{path.relative_to(library)} imports {found.relative_to(library)}"
        for path, of_path in modules.items()
        for found in of_path
        if FLOORS.index(floor(library, found)) > FLOORS.index(floor(library, path))
    ]
    assert upward == []


def floor(library, path):
    return path.relative_to(library).parts[0]


def test_no_modules_import_each_other_in_a_circle(modules):
    assert len([*TopologicalSorter(modules).static_order()]) == len(modules)  # CycleError names one


def test_torch_is_imported_by_models_and_finetuning_alone(library, modules):
    found = set()
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            if any(name.partition(".")[0] in ("torch", "torchaudio", "transformers") for name in names):
                found.add(floor(library, path))
    assert found <= WITH_TORCH


def test_no_file_is_too_long(root):
    long = {}
    for pattern, most in LINES.items():
        for path in (root / "workflow").rglob(pattern):
            if (count := len(path.read_text(encoding="utf-8").splitlines())) > most:
                long[path.name] = count
    assert long == {}


def test_no_public_function_takes_too_many_parameters(library):
    found = {}
    for path in library.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if len(given) > PARAMETERS:
                    found[node.name] = len(given)
                settings = [it for it in given if it.arg == "settings" and it.annotation]
                assert not any("Any" in ast.unparse(it.annotation) for it in settings), (path, node.name)
    assert found == {}
