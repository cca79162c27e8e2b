"""What a person reads of a run: few lines, and what failed once, at the end."""

import itertools
import re

import yaml


def test_a_dry_run_is_a_page(workflow, root):
    workflow.be_quiet()
    planned = workflow.run("--dry-run")
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    assert len(lines) < 30 and max(map(len, lines)) <= 100 and "GB" in lines[-1]
    [heading] = [line for line in lines if line.startswith("rule ")]
    assert heading.split() == ["rule", "jobs", "GPU", "GB", "minutes"]
    counted = dict(re.findall(r"^(\w+) +(\d+)", "\n".join(lines), re.MULTILINE))
    assert counted["finetune"] == "52" and counted["embed"] == "63"
    loud = workflow.run("--dry-run", "--workflow-profile", "none")
    [total] = re.findall(r"^total +(\d+)$\n\nReasons", loud.stdout + loud.stderr, re.MULTILINE)
    assert counted["all"] == total


def test_the_dry_run_for_slurm_is_one_table_with_partitions(workflow):
    planned = workflow.run("--dry-run", "--workflow-profile", "workflow/profiles/slurm")
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    assert len(lines) < 30 and max(map(len, lines)) <= 100 and "GB" in lines[-1]
    rows = {line.split()[0]: line.split() for line in lines}
    assert rows["finetune"][2] == "1" and rows["finetune"][-1] == "gpu"
    assert rows["score_convexity"][-1] == "cpu"


def test_a_failure_is_said_once_and_last_and_the_log_has_everything(workflow, root):
    workflow.be_quiet()
    rows = ""
    for take, word, who in itertools.product(range(20), ("yes", "no"), "abc"):
        path = workflow.directory / f"broken_{take}{word}{who}.wav"
        path.write_text("no audio", encoding="utf-8")
        rows += f"{path.name},{word},{who}\n"
    (workflow.directory / "mine.csv").write_text(f"path,word,speaker\n{rows}", encoding="utf-8")
    config = yaml.safe_load((root / "tests/workflow/digits.yaml").read_text(encoding="utf-8"))
    config["corpus"] = {"table": {"csv": "mine.csv"}}
    config["datasets"]["speakers"]["min_files"] = 3
    path = workflow.write_config("mine.yaml", config)
    failed = workflow.run("--cores", "1", "--configfile", path, "--", "results/digits/corpus/corpus.h5")
    assert failed.returncode == 1
    lines = [line for line in failed.stderr.splitlines() if line]
    assert "Traceback" not in failed.stderr and len(lines) < 15
    assert lines[-1].startswith("results/digits/logs/ingest_table.log: ") and "broken_" in lines[-1]
    assert failed.stderr.count("What to do") == 0
    [log] = (workflow.directory / ".snakemake/log").iterdir()
    assert "Error in rule ingest_table" in log.read_text(encoding="utf-8")
