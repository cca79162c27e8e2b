"""`make resume` after a kill: what the kill left running is found, what was cut off goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from convexprune import leftovers
from snakemake.persistence.file import FilePersistence
from tones import SETTINGS, measured, train, write_tones

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
    for name in (
        *("snakemake.py", ".snakemake/scripts/tmp0.finetune.py"),
        *(".venv/bin/snakemake", ".venv/bin/python"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/true\nimport time\ntime.sleep(60)\n")
    for program in (tmp_path / ".venv/bin").iterdir():
        program.chmod(0o755)
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


def test_what_jobs_left_unfinished_is_discarded(tmp_path):
    """By Snakemake's own marks. One whose name would be too long for a file is in folders."""
    names = ["results/table1.csv", f"results/{'m' * 100}/{'n' * 100}/ä.json", "missing.csv", "kept.csv"]
    for name in (*names[:2], names[3]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    persistence = FilePersistence(path=tmp_path / ".snakemake", nolock=True)
    for name in names[:3]:
        persistence._io_write(persistence._incomplete_path, {"external_jobid": None}, name)
    assert leftovers.discard(tmp_path) == sorted(map(Path, names[:2]))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept.csv"]
    assert leftovers.discard(tmp_path) == []


RUN = "results/small/finetuned/tiny/words/2/0"


@pytest.fixture(scope="module")
def prepared(workflow, root):
    """All that a fine-tuning job reads, a config that trains for some seconds, and Snakemake's arguments."""
    results = workflow.directory / "results/small"
    results.mkdir(parents=True)
    write_tones(results)
    for source, target in {
        "corpus.h5": "corpus/corpus.h5",
        "corpus.sha256": "corpus/corpus.sha256",
        "words.csv": "datasets/words.csv",
        "tiny": "models/tiny",
    }.items():
        (results / target).parent.mkdir(exist_ok=True)
        (results / target).symlink_to(results / source)
    config = yaml.safe_load((root / "tests/workflow/small.yaml").read_text())
    for section in ("sweep", "convexity"):
        del config[section]
    config |= {
        "tasks": ["words"],
        "models": {
            "tiny": {
                "source": "path",
                "path": str(results / "tiny"),
                "layers": SETTINGS["full_layers"],
                "keep": {"words": 2},
            }
        },
        "finetuning": {key: value for key, value in SETTINGS.items() if key != "full_layers"}
        | {"max_steps": 120, "patience": 120, "learning_rate": {"words": {"full": 1e-2, "pruned": 1e-2}}},
    }
    name = workflow.write_config("killed.yaml", config)
    return ["--cores", "1", "--configfile", name, "--allowed-rules", "finetune"]


def test_snakemake_and_its_job_killed_in_training_end_as_if_they_were_not(workflow, prepared):
    command = [sys.executable, "-m", "snakemake", *prepared, "--", f"{RUN}/metrics.json"]
    process = subprocess.Popen(
        command,
        cwd=workflow.directory,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoint = workflow.directory / RUN / "checkpoint"
    while not list(checkpoint.glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    job = int((checkpoint / "lock").read_text().split()[1])
    os.kill(job, signal.SIGKILL)
    assert not (workflow.directory / RUN / "metrics.json").exists()
    assert workflow.run(*prepared, "--unlock").returncode == 0
    again = workflow.run(*prepared, "--rerun-incomplete", "--", f"{RUN}/metrics.json")
    assert again.returncode == 0, again.stderr[-3000:]
    log = (workflow.directory / "results/small/logs/finetune/tiny/words/2/0.log").read_text()
    assert "going on after step" in log
    found = json.loads((workflow.directory / RUN / "metrics.json").read_text())
    expected = train(workflow.directory / "results/small", max_steps=120, patience=120)
    assert {**found, "training_time": 0} == {**json.loads(json.dumps(measured(expected))), "training_time": 0}
