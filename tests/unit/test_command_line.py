"""Every command explains itself."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import pytest
from convexprune.__main__ import main


def help_of(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_the_package_has_a_command_of_its_own(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [(name, value)] = project["scripts"].items()
    assert name == "convexprune"
    assert EntryPoint(name, value, "console_scripts").load() is main


def test_every_command_and_every_argument_has_help(capsys):
    commands = re.findall(r"^    ([\w-]+)\s+(\S.*)$", help_of(capsys), flags=re.MULTILINE)
    assert {"convexity", "init", "prune", "estimate", "summary", "compare-alignments", "discard"} <= {
        name for name, _ in commands
    }
    for name, _ in commands:
        text = help_of(capsys, name)
        assert f"convexprune {name}" in text
        # argparse starts an argument at column 2; its help begins on that line or the next, at column 24.
        entries = re.split(r"^  (?=\S)", text.partition("\n\n")[2], flags=re.MULTILINE)[1:]
        assert all(re.search(r"\s{2,}\S", entry.rstrip()) for entry in entries), text


def test_a_bad_argument_is_one_line_not_a_trace(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["init", "nowhere"])
    assert (
        str(caught.value)
        == "convexprune: nowhere does not exist: give a folder of recordings or a CSV that lists them"
    )


def test_a_reader_that_has_read_enough_causes_no_error(root):
    """As `| head` does."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "convexprune", "estimate", "config.yaml"]
    result = subprocess.run(command, cwd=root, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert (result.returncode, result.stderr) == (1, b"")
