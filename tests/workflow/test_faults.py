"""Runs that are interrupted, find no space, or may not write. Kills at random moments: tests/faults.py."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from disk import mounted
from faults import processes

CORPUS = "results/small/corpus/corpus.csv"
ALIGNED = "results/small/alignment/phones.csv"
RUN = ["--cores", "2", "--configfile", "small.yaml"]


@pytest.fixture(scope="module")
def small(workflow, root):
    shutil.copy(root / "tests/workflow/small.yaml", workflow.directory)
    return workflow


def start(small, *arguments):
    """Start Snakemake in a session of its own, as from a terminal, and wait for its first job."""
    run = subprocess.Popen(
        [sys.executable, ".venv/bin/snakemake", *RUN, *arguments],
        cwd=small.directory,
        start_new_session=True,
        text=True,
        stderr=subprocess.PIPE,
        # As from a terminal too: what is started in the background, as CI may be, ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        encoding="utf-8",
    )
    while not set(processes(small.directory).values()) - {"Snakemake"}:
        assert run.poll() is None
        time.sleep(0.02)
    return run


@pytest.fixture(scope="module", autouse=True)
def program(small):
    """Snakemake as a program in the folder, as the Makefile calls it."""
    folder = small.directory / ".venv/bin"
    folder.mkdir(parents=True)
    (folder / "snakemake").write_text(
        "import runpy\nrunpy.run_module('snakemake', run_name='__main__')\n", encoding="utf-8"
    )


def test_a_second_snakemake_in_the_folder_says_so_and_stops(small):
    first = start(small, "--", CORPUS)
    os.killpg(
        first.pid, signal.SIGSTOP
    )  # it holds its lock, and its job is unfinished, however long the second takes
    try:
        second = small.run(*RUN, "--", CORPUS)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stderr and "--unlock" in second.stderr
    assert first.communicate(timeout=120) and first.returncode == 0


@pytest.mark.parametrize("to", ["all, as Ctrl-C does", "Snakemake alone"])
def test_an_interrupted_run_leaves_nothing_running_and_goes_on(small, to):
    run = start(small, "--forcerun", "synthesise_archives", "--", CORPUS)
    if to == "Snakemake alone":
        os.kill(run.pid, signal.SIGTERM)
    else:
        os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode != 0
    assert not processes(small.directory)
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)
    again = small.run(*RUN, "--", CORPUS)
    assert again.returncode == 0, again.stderr[-3000:]
    assert not list(small.directory.glob("results/**/.*"))


def advice(result):
    """The last words to the user but for Snakemake's own: of a log, what it says to do."""
    return [line for line in result.stderr.splitlines() if line.startswith("results/small/logs/")][-1]


def test_a_full_disk_is_named_and_a_run_goes_on_when_there_is_space(small):
    results = small.directory / "results/small/alignment"
    results.mkdir(parents=True, exist_ok=True)
    with mounted(results, 1) as disk:
        disk.leave(4096)
        full = small.run(*RUN, "--", ALIGNED)
        assert full.returncode == 1
        assert "the disk is full: free space for results/small/alignment/" in advice(full)
        assert not [path for path in results.rglob("*") if path.is_file() and path != disk.filler]
        disk.empty()
        again = small.run(*RUN, "--", ALIGNED)
        assert again.returncode == 0, again.stderr[-3000:]


@pytest.mark.parametrize("folder", ["resources/small", "results/small"])
def test_a_folder_that_may_not_be_written_to_is_named(small, folder):
    path = small.directory / folder
    path.mkdir(parents=True, exist_ok=True)
    with mounted(path, 1) as disk:
        disk.remount("ro")
        refused = small.run(*RUN, "--forcerun", "align_shard", "--", ALIGNED)
    assert refused.returncode == 1
    assert f"allow writing to {folder}" in (
        advice(refused) if folder == "resources/small" else refused.stderr.splitlines()[-1]
    )
