"""The recipes of CONTRIBUTING, followed as they are written in a copy of the repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from convexprune.setup import configuration

# What a recipe says to do with a block of lines.
NEW = "A new file, `(?P<new>[^`]+)`"
END = "At the end of `(?P<end>[^`]+)`"
BESIDE = "In `(?P<path>[^`]+)`, (?P<where>above|below|instead of) `(?P<line>[^`]+)`"
STEP = rf"^(?:{NEW}|{END}|{BESIDE}):\n\n```\w+\n(?P<text>.*?)^```$"
SHELL = r"^```bash\n(.*?)^```$"


def read_recipe(root, title):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [recipe] = re.findall(rf"^### {title}\n(.*?)(?=^##)", text, re.DOTALL | re.MULTILINE)
    return recipe


class Cook:
    """Somebody who follows a recipe in a private copy of the repository."""

    def __init__(self, workflow, root):
        self.workflow, self.root, self.folder = workflow, root, workflow.directory
        for name in ("tests", "docs", "resources"):
            shutil.copytree(root / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(root / "pyproject.toml", self.folder)
        self.environment = os.environ | {"PYTHONPATH": str(self.folder / "workflow/scripts")}

    def follow(self, title):
        """Do what the recipe of this `title` says; return what its shell printed, and the changed files."""
        recipe = read_recipe(self.root, title)
        steps = list(re.finditer(STEP, recipe, re.DOTALL | re.MULTILINE))
        blocks = re.findall(SHELL, recipe, re.DOTALL | re.MULTILINE)
        assert len(steps) + len(blocks) == recipe.count("\n```") / 2, "a block that is no step"
        changed = {self.apply(step.groupdict()) for step in steps}
        return "".join(map(self.run, "".join(blocks).splitlines())), changed

    def apply(self, step):
        path = self.folder / (name := step["new"] or step["end"] or step["path"])
        assert path.exists() == (not step["new"])
        text, added = "" if step["new"] else path.read_text(encoding="utf-8"), step["text"]
        if step["line"]:
            lines = text.splitlines(keepends=True)
            whole = [line for line in lines if line == f"{step['line']}\n"]
            [line] = whole or [line for line in lines if step["line"] in line]
            new = {"above": added + line, "below": line + added, "instead of": added}[step["where"]]
            lines[lines.index(line)] = new
            text = "".join(lines)
        path.write_text(text if step["line"] else text + added, encoding="utf-8")
        return name

    def run(self, command):
        program, *arguments = shlex.split(command)
        if program == ".venv/bin/snakemake":
            arguments = ["-m", "snakemake", *arguments]
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        return result.stdout

    def lint(self, names):
        """Have `make format` set blank lines, and check what was written as `make lint` does."""
        python = [name for name in names if name.endswith(".py")]
        for task in ("format", "check"):
            self.run(shlex.join([".venv/bin/python", "-m", "ruff", task, "--no-cache", *python]))


@pytest.fixture(scope="module")
def cook(workflow, root):
    return Cook(workflow, root)


def test_a_model_is_five_lines(cook, root):
    printed, changed = cook.follow("A model")
    assert changed == {"config.yaml"}
    assert re.search(r"^download_model +8$", printed, re.MULTILINE)
    before, after = (configuration.read_config(path / "config.yaml") for path in (root, cook.folder))
    assert len(after["models"]) == len(before["models"]) + 1
    shutil.copy(root / "config.yaml", cook.folder)


def test_a_criterion_is_a_function_and_a_value_of_the_schema(cook):
    printed, changed = cook.follow("A criterion for choosing layers")
    assert len(changed) == 4
    assert " passed" in printed and "failed" not in printed
    assert re.search(r"^plan_layers +1$", printed, re.MULTILINE)
    cook.lint(changed)


def test_a_figure_is_three_files_and_a_test(cook, root):
    printed, changed = cook.follow("A figure")
    assert len(changed) == 4
    assert "1 passed" in printed and re.search(r"^draw_gains +1$", printed, re.MULTILINE)
    cook.lint(changed)
    table = pd.DataFrame({"model": "tiny", "layers": range(3), "score": 0.5, "stderr": 0.1, "chance": 0.2})
    shutil.copy(root / "tests/workflow/small.yaml", cook.folder)
    (cook.folder / "results/small").mkdir(parents=True)
    table.to_csv(cook.folder / "results/small/convexity.csv", index=False)
    wanted = [f"results/small/figures/gains.{kind}" for kind in ("csv", "pdf", "png")]
    config = "--configfile small.yaml --allowed-rules draw_gains"
    cook.run(f".venv/bin/snakemake --cores 1 {config} -- {' '.join(wanted)}")
    assert pd.read_csv(cook.folder / wanted[0])["score"].tolist() == [50, 50]
    assert all((cook.folder / name).stat().st_size for name in wanted)
