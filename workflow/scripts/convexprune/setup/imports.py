"""The library modules that a script runs, read from its source, for the `code=` of its rule."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
NO_RESULT = "jobs"  # logs, files and other helpers: editing them changes no result


@cache
def find_code(script: Path, *modules: Path) -> tuple[Path, ...]:
    """The library `modules`, and those that `script` or they import, directly or through others; sorted.

    Modules of `jobs` are left out. Imports within functions count; imports for type checkers alone do not.
    """
    found = set(modules)
    waiting = [script, *modules]
    while waiting:
        for module in find_imports(waiting.pop()):
            if module not in found and module.relative_to(LIBRARY).parts[0] != NO_RESULT:
                found.add(module)
                waiting.append(module)
    return tuple(sorted(found))


@cache
def find_imports(path: Path) -> tuple[Path, ...]:
    """The library modules that a Python file imports. Cached, because most scripts share most modules."""
    return tuple(find_modules(ast.parse(path.read_text(encoding="utf-8"))))


def find_modules(tree: ast.AST) -> list[Path]:
    """The library modules that the imports in `tree` name."""
    names = []
    for node in walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    parts = [name.split(".") for name in names]
    files = [
        LIBRARY.joinpath(*rest).with_suffix(".py") for package, *rest in parts if package == "convexprune"
    ]
    return [file for file in files if file.is_file()]


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node`, except in `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from walk(child)


def lead_jobs_here() -> None:
    """Let jobs import the library beside their scripts, even if another version of it is installed."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    here = str(LIBRARY.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *(path for path in known if path not in ("", here))])
