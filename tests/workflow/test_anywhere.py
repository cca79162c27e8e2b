"""The workflow runs from any folder, as a module of another workflow, and from a clone with an odd name."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pandas as pd
import pytest
import yaml

CONFIG = "tests/workflow/small.yaml"
COUNTS = "results/small/datasets/summary.csv"
ODD = 'a clone\'s "folder" (é)'
CALLER = """
configfile: "mine.yaml"


module convexprune:
    snakefile: "{clone}/Snakefile"
    config: config


use rule * from convexprune


use rule finetune from convexprune with:
    resources:
        mem_mb=1234,


rule count_models:
    default_target: True
    input:
        "results/small/table1.csv",
    output:
        "results/models.txt",
    shell:
        "tail -n +2 {{input}} | wc -l > {{output}}"
"""


@pytest.fixture
def places(root, tmp_path):
    """A clone, and another folder with a config."""
    clone, away = tmp_path / "clone", tmp_path / "away"
    for name in ("workflow", "envs"):
        shutil.copytree(root / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(root / name, clone)
    away.mkdir()
    shutil.copy(root / CONFIG, away / "mine.yaml")
    return clone, away


def run(folder: Path, *arguments: str, python: str | Path = sys.executable) -> str:
    ended = subprocess.run(
        [python, "-m", "snakemake", *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=1800,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout + ended.stderr


def counted(folder: Path) -> int:
    return len(pd.read_csv(folder / COUNTS))


def test_from_another_folder(places):
    clone, away = places
    run(away, COUNTS, "--cores", "2", "--snakefile", str(clone / "Snakefile"), "--configfile", "mine.yaml")
    assert counted(away) > 3


def test_without_a_config_it_plans_the_papers_experiment(places):
    clone, away = places
    assert "wavlm-large" in run(away, "--snakefile", str(clone / "Snakefile"), "--dry-run")


def test_a_read_only_clone_with_a_directory(places):
    clone, away = places
    sources = {path: path.stat().st_mtime_ns for path in clone.rglob("*")}
    for path in sources:  # root may write all the same, so what is there is compared too
        path.chmod(0o555 if path.is_dir() else 0o444)
    run(clone, COUNTS, "--cores", "2", "--directory", str(away), "--configfile", str(away / "mine.yaml"))
    left = {path for path in clone.rglob("*") if "__pycache__" not in path.parts}
    assert left == sources.keys() and counted(away) > 3


def test_a_clone_and_an_interpreter_with_spaces_and_quotes_in_their_path(places):
    clone, away = places
    odd = clone.rename(clone.with_name(ODD))
    shutil.copy(away / "mine.yaml", odd)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", odd / ".venv"], check=True)
    [packages] = (odd / ".venv").glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    run(odd, COUNTS, "--cores", "2", "--configfile", "mine.yaml", python=odd / ".venv/bin/python")
    assert counted(odd) > 3


def test_as_a_module_of_another_workflow(places):
    """The caller's config is used, its rules stand beside ours, and one rule asks for other resources."""
    clone, away = places
    (away / "Snakefile").write_text(CALLER.format(clone=clone), encoding="utf-8")
    planned = run(away, "--dry-run", "--cores", "2")
    assert "mem_mb=1234" in planned and "wavlm" not in planned
    run(away, "--cores", "2")
    rows = (away / "results/models.txt").read_text(encoding="utf-8").strip()
    assert rows == "3"  # two models and their average
    config = yaml.safe_load((away / "mine.yaml").read_text(encoding="utf-8"))
    table = pd.read_csv(away / "results/small/table1.csv")
    assert set(config["models"]) <= set(table["model"])
    assert "Nothing to be done" in run(away, "--dry-run", "--cores", "2")
