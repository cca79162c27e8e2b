"""The lock and envs/ are made from pyproject.toml, and each environment holds what its stage imports."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from convexprune.setup.imports import find_code, find_modules
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Import names that differ from the package's name.
PACKAGES = {"sklearn": "scikit-learn", "espeakng_loader": "espeakng-loader", "yaml": "pyyaml"}


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


@pytest.fixture(scope="module")
def writer(root):
    """envs/write.py, which `make lock` runs."""
    spec = importlib.util.spec_from_file_location("write", root / "envs/write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_environments_are_what_make_lock_writes(root, writer):
    files = {path.stem: path.read_text(encoding="utf-8") for path in (root / "envs").glob("*.yaml")}
    assert files == {name: writer.write(name, writer.read_pins()) for name in writer.ENVIRONMENTS}
    assert environment(root / "envs/models.yaml").items() >= {"torch": "2.14.1", "numpy": "2.4.6"}.items()


def test_the_lock_pins_what_the_project_asks_for(root, writer):
    """Every extra, in a version that pyproject.toml admits, with hashes."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = writer.read_pins()
    for need in writer.find_needs({*project["optional-dependencies"]}):
        requirement = Requirement(need)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), need
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.findall(r"^[a-z0-9-]+==.*\n(?:    --hash=.*\n)+", lock, flags=re.MULTILINE)
    assert len(blocks) == len(re.findall("^[^ #]", lock, flags=re.MULTILINE)) >= len(pins) > 150


def test_needs_of_an_extra_are_those_of_the_extras_that_it_names(writer, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "own"\ndependencies = ["a>=2"]\n'
        '[project.optional-dependencies]\nb = ["b"]\nc = ["own[b]", "c"]\nd = ["d"]\n',
        encoding="utf-8",
    )
    assert writer.find_needs({"c"}, tmp_path) == {"a>=2", "b", "c"}


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
