"""The public names of the package: typed, and imported late."""

import json
import subprocess
import sys
import tomllib
from typing import get_type_hints

import convexprune
import numpy as np
import pytest
from convexprune.convexity import comparison, score
from convexprune.models import pruning


def test_public_names_are_those_of_their_modules():
    assert convexprune.graph_convexity is score.graph_convexity
    assert convexprune.Convexity is score.Convexity
    assert convexprune.compare_convexity is comparison.compare_convexity
    assert convexprune.prune is pruning.prune
    assert set(convexprune.__all__) <= set(dir(convexprune))
    assert get_type_hints(convexprune.graph_convexity)["return"] is convexprune.Convexity


def test_other_names_are_missing_as_everywhere():
    with pytest.raises(AttributeError, match="module 'convexprune' has no attribute 'prunes'"):
        _ = convexprune.prunes


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import convexprune", {"torch", "numba", "numpy", "pandas", "transformers"}),
        ("from convexprune import graph_convexity", {"torch", "transformers", "pandas"}),
    ],
)
def test_importing_loads_little(root, code, absent):
    code += "; import sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root / "workflow/scripts",
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert not absent & set(loaded.stdout.split())


# Refuses to import what is not of Python's own, ours, or in the list of names.
LIGHT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "convexprune", *ALLOWED}:
            raise ModuleNotFoundError(name, name=name.partition(".")[0])
sys.meta_path.insert(0, Refuse())
from convexprune.__main__ import main
main(ARGUMENTS)
"""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["convexity", "x.npz", "--json", "--n-neighbors", "2"], 0, ""),
        (
            ["estimate", "config.yaml"],
            1,
            'convexprune: yaml is not installed: `pip install "convexprune[workflow]"`, or `make',
        ),
    ],
)
def test_what_pip_installs_is_enough_for_the_score(root, tmp_path, arguments, code, message):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = [name.partition(">")[0] for name in project["dependencies"]]
    np.savez(tmp_path / "x.npz", representations=np.arange(12).reshape(2, 6, 1), labels=[*"aaabbb"])
    program = LIGHT.replace("ALLOWED", repr(allowed)).replace("ARGUMENTS", repr(arguments))
    options = {"cwd": tmp_path, "env": {"PYTHONPATH": str(root / "workflow/scripts"), "PATH": ""}}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", **options)
    assert (result.returncode, result.stderr[: len(message)]) == (code, message), result.stderr
    assert code or len(json.loads(result.stdout)["layers"]) == 2
