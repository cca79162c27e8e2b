"""Crates of runs, by the validator of the profiles and by the library that reads crates."""

import json
import subprocess
import sys
from pathlib import Path

import finished
import pytest

TOOLS = ["--with", "roc-validator==0.13.0", "--with", "rocrate==0.16.0"]


def validate(folder):
    """The validator's exit status, and the requirements that it says are not met."""
    uv, program = Path(sys.prefix) / "bin/uv", Path(__file__).with_name("validate_crate.py")
    command = [uv, "run", "--quiet", "--no-project", "--python", sys.executable, *TOOLS, "python", program]
    done = subprocess.run([*command, folder], capture_output=True, encoding="utf-8", check=False)
    lines = done.stdout.splitlines()
    assert lines and "of workflow-run-crate-0.5 are not met" in lines[-1], done.stderr[-2000:]
    return done.returncode, [line for line in lines if line.startswith("REQUIRED")]


@pytest.mark.parametrize("config", ["resources/demo.yaml", "config.yaml"])
def test_a_crate_is_valid(root, tmp_path, config):
    assert validate(finished.write(tmp_path, root / config)) == (0, [])


def test_the_validator_sees_what_is_wrong(root, tmp_path):
    folder = finished.write(tmp_path, root / "resources/demo.yaml")
    path = folder / "ro-crate-metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    [run] = [entity for entity in metadata["@graph"] if entity["@id"] == "#run"]
    del run["instrument"]
    path.write_text(json.dumps(metadata), encoding="utf-8")
    (folder / "table1.csv").unlink()
    code, problems = validate(folder)
    assert code == 1 and any("instrument" in problem for problem in problems)
    assert any("table1.csv" in problem for problem in problems)
