"""`make resume` after a kill: what the kill left running is found, what was cut off goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from convexprune.setup import leftovers
from snakemake.persistence.file import FilePersistence
from tones import SETTINGS, measured, train, write_tones

LEFT = {
    "Snakemake": ["bin/snakemake"],
    "Snakemake as a module": ["-m", "snakemake"],
    "a job": [".snakemake/scripts/tmp0.finetune.py"],
}


SLEEP = "import time\ntime.sleep(60)\n"


def make_folder(root, folder):
    """A folder with the Makefile, a Snakemake that only notes its arguments, and what a kill may leave."""
    folder.mkdir()
    for name in ("Makefile", "config.yaml"):
        shutil.copy(root / name, folder)
    contents = {
        "requirements.lock": "",
        "pyproject.toml": "",
        "snakemake.py": SLEEP,
        ".snakemake/scripts/tmp0.finetune.py": SLEEP,
        "bin/snakemake": SLEEP,
        ".venv/bin/snakemake": '#!/bin/sh\nprintf "%s\\n" "$@" >> called\n',
        ".venv/bin/python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        ".venv/installed": "",
    }
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for program in (folder / ".venv/bin").iterdir():
        program.chmod(0o755)
    return folder


def make(folder, *arguments):
    """Run make where no other program is installed than it and the shell."""
    programs = folder.parent / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("make", "sh"):
        if not (programs / name).exists():
            (programs / name).symlink_to(shutil.which(name))
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=60,
        encoding="utf-8",
    )


@pytest.mark.parametrize("left", LEFT)
def test_what_a_kill_left_running_is_found(root, tmp_path, left):
    folder, elsewhere = (make_folder(root, tmp_path / name) for name in ("here", "elsewhere"))
    process = subprocess.Popen([sys.executable, *LEFT[left]], cwd=folder)
    try:
        time.sleep(0.2)
        refused = make(folder, "resume")
        assert refused.returncode != 0
        assert f"process {process.pid}" in refused.stderr
        assert not (folder / "called").exists()
        assert make(elsewhere, "resume").returncode == 0
    finally:
        process.kill()
        process.wait()
    assert make(folder, "resume").returncode == 0
    assert "--rerun-incomplete" in (folder / "called").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["with space", '-x;y&z{a} 50% größe, it\'s "b"'])
def test_make_runs_in_any_folder_with_any_config(root, tmp_path, name):
    folder = make_folder(root, tmp_path / f"clone {name}")
    shutil.copy(root / "tests/workflow/small.yaml", folder / f"{name}.yaml")
    benchmark = folder / f"results/{name}/benchmarks/embed.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\tmax_rss\tcpu_time\n60\t100\t60\n", encoding="utf-8")
    targets = ("resume", "report", "estimate", "summary")
    done = make(folder, *targets, f"CONFIG=./{name}.yaml", f"RESULTS=results/{name}")
    assert done.returncode == 0, done.stderr
    assert "GPU-hours" in done.stdout and "embed" in done.stdout
    called = (folder / "called").read_text(encoding="utf-8").splitlines()
    assert called.count(f"./{name}.yaml") == 3
    assert called[-1] == f"results/{name}/report.html"


@pytest.mark.parametrize("target", ["resume", "report", "estimate"])
def test_a_config_that_cannot_be_read_is_told_in_a_line_before_anything_is_done(root, tmp_path, target):
    folder = make_folder(root, tmp_path / "clone")
    (folder / "mine.yaml").write_text("tasks:\n\t- words\n", encoding="utf-8")
    refused = make(folder, target, "CONFIG=mine.yaml")
    assert refused.returncode != 0
    said, makes_own = refused.stderr.splitlines()
    assert said.startswith("convexprune: Config: mine.yaml: cannot be read as YAML: ")
    assert re.match(r"make(\[\d+\])?: \*\*\*", makes_own)  # a number where make runs the tests
    assert not (folder / "called").exists()


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
    config = yaml.safe_load((root / "tests/workflow/small.yaml").read_text(encoding="utf-8"))
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
    job = int((checkpoint / "lock").read_text(encoding="utf-8").split()[1])
    os.kill(job, signal.SIGKILL)
    assert not (workflow.directory / RUN / "metrics.json").exists()
    assert workflow.run(*prepared, "--unlock").returncode == 0
    again = workflow.run(*prepared, "--rerun-incomplete", "--", f"{RUN}/metrics.json")
    assert again.returncode == 0, again.stderr[-3000:]
    log = (workflow.directory / "results/small/logs/finetune/tiny/words/2/0.log").read_text(encoding="utf-8")
    assert "going on after step" in log
    found = json.loads((workflow.directory / RUN / "metrics.json").read_text(encoding="utf-8"))
    expected = train(workflow.directory / "results/small", max_steps=120, patience=120)
    assert {**found, "training_time": 0} == {**json.loads(json.dumps(measured(expected))), "training_time": 0}
