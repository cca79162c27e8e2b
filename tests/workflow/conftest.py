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
        self.root, self.directory = root, directory
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(root / name, directory)
        for name in ("workflow", "envs"):
            shutil.copytree(root / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))

    def write_config(self, name: str, config: dict) -> str:
        (self.directory / name).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return name

    def be_quiet(self) -> None:
        """Print what a user's terminal shows from here on: with the default profile, which copies lack."""
        shutil.copytree(self.root / "profiles", self.directory / "profiles", dirs_exist_ok=True)

    def run(
        self, *arguments: str, timeout: float = 1800, tracer=(), **options
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*tracer, sys.executable, "-m", "snakemake", *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            encoding="utf-8",
            **options,
        )


@pytest.fixture(scope="module")
def workflow(request, root, tmp_path_factory):
    """In a folder named as the module's FOLDER, if it has one."""
    return Workflow(root, tmp_path_factory.mktemp(getattr(request.module, "FOLDER", "workflow")))
