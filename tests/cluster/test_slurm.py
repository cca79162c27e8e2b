"""The workflow goes through the Slurm profile as it stands, past jobs that are stopped in every way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

RESULTS = "results/cluster"
# The plugin names the rule and its wildcards in the comment.
FIELDS = ("JobID", "Comment", "State", "TimeLimit", "MinMemory", "NumCPUs", "Partition", "tres-per-job")
FIELDS += ("StartTime", "EndTime")
COLUMNS = ("id", "name", "state", "minutes", "memory", "cpus", "partition", "gpus", "start", "end")
# What becomes of four jobs at their first attempt.
CANCELLED = "rule_embed.hubert-tiny.pretrained_embed"
KILLED = "rule_finetune_wildcards_hubert-tiny_words_2_0"
LATE = "rule_finetune_wildcards_hubert-tiny_words_1_0"
GREEDY = "rule_count_costs"
# In place of accounts, which this Slurm does not keep: job, name, comment, times, nodes, CPUs, memory.
SACCT = """#!/bin/sh
case "$*" in *MaxRSS*) exec squeue --states=all --noheader --format "%i|%j|%k|%M|0:01|%D|%C|1M|%m" ;; esac
exit 1
"""
TOO_LITTLE = ('"count_costs": (4_000,', '"count_costs": (500,')  # MB, of what loads PyTorch


@dataclass
class Run:
    """What Snakemake and Slurm said of one run of the workflow."""

    results: Path
    returncode: int
    output: str
    jobs: (
        pd.DataFrame
    )  # how every Slurm job ended, in the order of submission; its limits as it was submitted


def list_jobs() -> pd.DataFrame:
    answer = subprocess.run(
        ("squeue", "--states=all", "--sort=i", "--noheader", "--Format", ":|,".join(FIELDS) + ":|"),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        encoding="utf-8",
    )
    rows = [line.split("|")[:-1] for line in answer.stdout.splitlines()]
    jobs = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"cpus": int})
    jobs["minutes"] = jobs["minutes"].map(minutes)
    jobs["memory"] = jobs["memory"].map(megabytes)
    return jobs


def minutes(limit: str) -> int:
    """Minutes of a limit such as 1-02:30:00, 1:30:00 or 30:00."""
    days, _, clock = limit.rpartition("-")
    hours, minute, _ = ["0", *clock.split(":")][-3:]
    return int(days or 0) * 1440 + int(hours) * 60 + int(minute)


def megabytes(memory: str) -> float:
    """MB of an amount such as 500M or 1.5G."""
    return float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]


def scripts_of(job: str) -> list[int]:
    """The processes that run a script of the workflow within the Slurm job."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            within = f"SLURM_JOB_ID={job}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if within and b"/.snakemake/scripts/" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has just ended
            continue
    return found


def disturb(job: str, name: str) -> bool:
    """Do to a running job what is to be done to it; whether it could be done yet."""
    if name == CANCELLED:
        subprocess.run(("scancel", job), check=True, timeout=30)
        return True
    scripts = scripts_of(job)
    for process in scripts:
        # Stopped, it uses up its time, which becomes the least that Slurm knows: a minute.
        os.kill(process, signal.SIGKILL if name == KILLED else signal.SIGSTOP)
    if scripts and name == LATE:
        subprocess.run(("scontrol", "update", f"JobId={job}", "TimeLimit=1"), check=True, timeout=30)
    return bool(scripts)


@pytest.fixture(scope="module")
def run(slurm, root, tmp_path_factory):
    directory = tmp_path_factory.mktemp("cluster")
    shutil.copy(root / "Snakefile", directory)
    for name in ("workflow", "envs"):
        shutil.copytree(root / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "tests/cluster/cluster.yaml", directory)
    (directory / "bin").mkdir()
    (directory / "bin/sacct").write_text(SACCT, encoding="utf-8")
    (directory / "bin/sacct").chmod(0o755)
    environment = os.environ | {"PATH": f"{directory / 'bin'}:{os.environ['PATH']}"}
    needs = directory / "workflow/scripts/convexprune/setup/needs.py"
    assert TOO_LITTLE[0] in needs.read_text(encoding="utf-8")
    needs.write_text(needs.read_text(encoding="utf-8").replace(*TOO_LITTLE), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/slurm"]
    # This Slurm keeps no accounts, and its jobs take seconds.
    command += ["--configfile", "cluster.yaml", "--slurm-status-command", "squeue"]
    command += ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5"]
    # Up to what the paper prints: what comes after it takes as long again.
    command += ["--", *(f"{RESULTS}/{name}" for name in ("table1.csv", "figures/convexity_by_layer.pdf"))]
    waiting = {CANCELLED, KILLED, LATE}
    submitted = {}  # job to its first time limit
    log = directory / "snakemake.log"
    with (
        open(log, "w", encoding="utf-8") as output,
        subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=output) as snakemake,
    ):
        try:
            deadline = time.monotonic() + 1800
            while snakemake.poll() is None and time.monotonic() < deadline:
                jobs = list_jobs()
                submitted = dict(zip(jobs.id, jobs.minutes, strict=True)) | submitted
                for job in jobs[jobs.state == "RUNNING"].itertuples():
                    if job.name in waiting and disturb(job.id, job.name):
                        waiting.remove(job.name)
                time.sleep(0.3)
        finally:
            snakemake.kill()  # asked to end, it would wait for its jobs
    jobs = list_jobs()
    jobs["minutes"] = jobs.id.map(submitted)
    return Run(directory / RESULTS, snakemake.returncode, log.read_text(encoding="utf-8"), jobs)


def test_the_run_ends_right(run):
    assert run.returncode == 0, run.output[-5000:]
    table = pd.read_csv(run.results / "table1.csv")
    assert table.model.tolist() == ["hubert-tiny", "average"]
    runs = pd.read_csv(run.results / "finetuning.csv")
    assert sorted(runs.layers) == [1, 2]
    assert len(pd.read_csv(run.results / "convexity.csv")) == 2 * 2 * 3  # states, datasets, layers


def test_jobs_run_side_by_side(run):
    both = run.jobs[run.jobs.name.isin([KILLED, LATE])].drop_duplicates("name")  # at their first attempts
    assert len(both) == 2
    assert both.start.max() < both.end.min()


@pytest.mark.parametrize(
    ("name", "states"),
    [
        (CANCELLED, ["CANCELLED"]),
        (KILLED, ["FAILED"]),
        (LATE, ["TIMEOUT"]),
        (GREEDY, ["FAILED", "OUT_OF_MEMORY"]),
    ],
)
def test_a_job_that_ends_badly_is_retried_with_more(run, name, states):
    attempts = run.jobs[run.jobs.name == name]
    *bad, good = attempts.state
    assert bad and set(bad) <= set(states)
    assert good == "COMPLETED"
    for need in ("memory", "minutes"):
        first, *later = attempts[need]
        assert later == [first * attempt for attempt in range(2, len(attempts) + 1)]


def test_other_jobs_ran_once(run):
    others = run.jobs[~run.jobs.name.isin([CANCELLED, KILLED, LATE, GREEDY])]
    assert (others.state == "COMPLETED").all()
    assert others.name.is_unique


def test_datasets_of_a_state_share_a_submission_as_wide_as_gpus_and_cores_allow(run):
    groups = run.jobs[run.jobs.name.str.contains("embed|score") & (run.jobs.state == "COMPLETED")]
    asked = groups.set_index("name")[["cpus", "gpus", "partition"]].T.to_dict("list")
    assert asked == {
        "rule_embed.hubert-tiny.pretrained_embed": [2, "gres:gpu:1", "gpu"],  # one after the other
        "rule_embed.hubert-tiny.words_embed": [2, "gres:gpu:1", "gpu"],
        "rule_score.hubert-tiny.pretrained_score_convexity": [4, "N/A", "cpu"],  # side by side
        "rule_score.hubert-tiny.words_score_convexity": [4, "N/A", "cpu"],
    }


def test_inference_is_timed_on_a_node_of_its_own(run):
    timing = run.jobs[run.jobs.name.str.startswith("rule_time_models")]
    assert timing.cpus.tolist() == [20]  # all of the node


def test_downloads_and_merges_stay_on_the_submitting_host(run):
    assert not run.jobs.name.str.contains("rule_(?:build|download|merge|plan|make|draw)").any()


def test_logs_are_in_place(run):
    assert (run.results / "logs/finetune/hubert-tiny/words/2/0.log").read_text(encoding="utf-8")
    failed = run.results.parent / "slurm/rule_finetune"
    assert "TIME LIMIT" in "".join(path.read_text(encoding="utf-8") for path in failed.rglob("*.log"))
    [outgrown, *_] = sorted((failed.parent / GREEDY).rglob("*.log"))
    assert "exceeded memory limit" in outgrown.read_text(encoding="utf-8")
    assert list((run.results.parent / "slurm").glob("efficiency_report_*.csv"))
