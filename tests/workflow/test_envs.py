"""Environments: the pins of envs/ are those of the lock, and each holds what its stage imports."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from convexprune.setup.imports import find_code, find_modules

# Import names that differ from the package's name.
PACKAGES = {"sklearn": "scikit-learn", "espeakng_loader": "espeakng-loader", "yaml": "pyyaml"}


def lock(root) -> dict[str, str]:
    lines = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split(" ;")[0].strip().split("==") for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): version for name, version in pins.items()}


def environment(path: Path) -> dict[str, str]:
    pip = next(
        item["pip"]
        for item in yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
        if isinstance(item, dict)
    )
    return {name.lower().replace("_", "-"): version for name, version in (pin.split("==") for pin in pip)}


def rules(root):
    """(rule, body) of every rule and checkpoint."""
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        parts = re.split(
            r"^\s*(?:rule|checkpoint) (\w+):$", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        yield from zip(parts[1::2], parts[2::2], strict=True)


def third_party(path: Path, depth: int, seen: set[Path]) -> set[str]:
    """Packages that `path` imports, through the library's modules too.

    Imports inside functions count for the script and the modules it names itself: there they are late, not
    optional. Deeper modules may import more for other stages.
    """
    if path in seen:
        return set()
    seen.add(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if depth < 2 else tree.body
    found = set()
    modules = ast.Module([node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)], [])
    for module in find_modules(modules):
        found |= third_party(module, depth + 1, seen)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("name", ["corpus", "alignment", "models", "convexity", "results"])
def test_pins_equal_the_lock(root, name):
    pins = environment(root / f"envs/{name}.yaml")
    assert pins.items() <= lock(root).items()


def test_every_scripted_rule_has_an_environment_that_holds_its_imports(root):
    import sys

    checked = 0
    for rule, body in rules(root):
        script = re.search(r'"\.\./scripts/(\w+\.py)"', body)
        if script is None:
            continue
        conda = re.search(r'"\.\./\.\./envs/(\w+)\.yaml"', body)
        assert conda, f"rule {rule} has no conda environment"
        available = environment(root / f"envs/{conda[1]}.yaml")
        imported = third_party(root / "workflow/scripts" / script[1], 0, set())
        needed = {
            PACKAGES.get(name, name).replace("_", "-")
            for name in imported
            if name not in sys.stdlib_module_names and name != "convexprune"
        }
        assert needed <= set(available), f"rule {rule}: {needed - set(available)} missing in {conda[0]}"
        checked += 1
    assert checked >= 20


def test_every_rule_with_a_script_runs_again_after_an_edit_of_what_it_imports(root):
    """All but those whose scripts import no result's code."""
    for rule, body in rules(root):
        script = re.search(r'"\.\./scripts/(\w+)\.py"', body)
        if script and find_code(root / f"workflow/scripts/{script[1]}.py"):
            assert re.search(rf'code=(?:ancient\()?library\("{script[1]}"\)', body), f"rule {rule}"
