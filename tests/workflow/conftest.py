"""A private copy of the workflow, so that tests neither see nor touch the results of the checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


class Workflow:
    """One directory with a copy of the workflow; `run` calls Snakemake there as a user would."""

    def __init__(self, root: Path, directory: Path):
        self.directory = directory
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(root / name, directory)
        for name in ("workflow", "envs"):
            shutil.copytree(root / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))

    def write_config(self, name: str, config: dict) -> str:
        (self.directory / name).write_text(yaml.safe_dump(config, sort_keys=False))
        return name

    def run(self, *arguments: str, timeout: float = 1800) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="module")
def workflow(root, tmp_path_factory):
    return Workflow(root, tmp_path_factory.mktemp("workflow"))
