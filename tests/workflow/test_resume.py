"""`make resume` after a kill: what the kill left running is found, what was cut off goes on."""

import os
import shutil
import subprocess
import sys
import time

import pytest

LEFT = {
    "Snakemake": [".venv/bin/snakemake"],
    "Snakemake as a module": ["-m", "snakemake"],
    "a job": [".snakemake/scripts/tmp0.finetune.py"],
}


@pytest.fixture
def folder(root, tmp_path):
    """A folder with the Makefile, and programs that do nothing for a minute or, as Snakemake's, nothing."""
    shutil.copy(root / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    for name in ("snakemake.py", ".snakemake/scripts/tmp0.finetune.py", ".venv/bin/snakemake"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/true\nimport time\ntime.sleep(60)\n")
    (tmp_path / ".venv/bin/snakemake").chmod(0o755)
    (tmp_path / ".venv/installed").touch()
    return tmp_path


def resume(folder):
    return subprocess.run(["make", "resume"], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(not (shutil.which("pgrep") and os.path.exists("/proc")), reason="needs pgrep and /proc")
@pytest.mark.parametrize("left", LEFT)
def test_what_a_kill_left_running_is_found(folder, tmp_path_factory, left):
    process = subprocess.Popen([sys.executable, *LEFT[left]], cwd=folder)
    elsewhere = shutil.copytree(folder, tmp_path_factory.mktemp("elsewhere") / "copy")
    try:
        time.sleep(0.2)
        refused = resume(folder)
        assert refused.returncode != 0
        assert f"process {process.pid}" in refused.stdout
        assert resume(elsewhere).returncode == 0
    finally:
        process.kill()
        process.wait()
    assert resume(folder).returncode == 0
