"""Kill a run of the workflow at random moments, let `make resume` go on, and compare with undisturbed runs.

    python tests/faults.py --kills 21 --seed 0

Two undisturbed runs, with two cores and with one, must agree: a run is determined by its config. Then come
others from the start, each killed (kill -9) a few times: Snakemake, a job, or both. Each kill is followed by
`make resume`, and each run must end with the same files, timings apart, and without those that a run needs
only while it is under way.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ("results", "resources")
IN_WORK = ("locks", "incomplete", "scripts", "shadow")  # in .snakemake, while it runs
# Scripts of the heavy rules, in the order in which a run comes to them.
HEAVY = ["synthesise_archives", "ingest_archives", "align_shard", "pretrain_model", "cache_features", "embed"]
HEAVY += ["score_convexity", "score_criteria", "count_costs", "finetune", "time_models", "export_model"]
KILLS_A_RUN = 7
PATIENCE = 120  # seconds to wait for a job of the script that is to be killed
# Columns and keys that a clock decides, and what shows them to people.
TIMED = re.compile(
    r"time|seconds|inference|latency|disturbed|other_load|^(step_)?(full|pruned|ratio)_(mean|median|stderr)"
)
SHOWN = re.compile(
    r"logs/|benchmarks/|(table1|choices|summary)\.(md|tex|html)$|pages/timing\.html$|figure[36]\.(pdf|png)$"
    r"|exported/.*README\.md$"
)


# A run


def prepare(folder: Path) -> None:
    """A copy of the workflow, and a config smaller than that of the tests with jobs of all heavy rules."""
    for name in ("Snakefile", "Makefile", "config.yaml", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".venv").mkdir()
    for path in (ROOT / ".venv").iterdir():
        (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv/installed").unlink()
    (folder / ".venv/installed").touch()  # newer than the copies
    config = yaml.safe_load((ROOT / "tests/workflow/small.yaml").read_text(encoding="utf-8"))
    del config["models"]["wav2vec2-tiny"], config["datasets"]["speakers"], config["convexity"]["untrained"]
    del config["finetuning"]["learning_rate"]["speakers"]
    config["tasks"] = ["words"]
    config["datasets"]["phonemes"]["shards"] = 2
    (folder / "small.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def start(folder: Path, *command: str) -> subprocess.Popen:
    """Start a command in a session of its own; what it prints is added to `run.log`."""
    library = folder / "workflow/scripts"  # the copy's, not the one that is installed
    with open(folder / "run.log", "a", encoding="utf-8") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(library)},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def snakemake(folder: Path, cores: int) -> subprocess.Popen:
    return start(folder, ".venv/bin/snakemake", "--cores", str(cores), "--configfile", "small.yaml")


def resume(folder: Path) -> subprocess.Popen:
    return start(folder, "make", "resume", "CONFIG=small.yaml", "CORES=2")


def finish(process: subprocess.Popen, folder: Path) -> None:
    """Wait for the end of a run, which must be a good one."""
    if process.wait(1200) != 0:
        sys.exit(
            f"{' '.join(process.args)} failed:\n" + (folder / "run.log").read_text(encoding="utf-8")[-5000:]
        )


def processes(folder: Path) -> dict[int, str]:
    """What runs in the folder: process ids, and `Snakemake` or the name of a job's script."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text(encoding="utf-8").split("\0")
            if (
                os.readlink(entry / "cwd") != str(folder)
                or (entry / "stat").read_text(encoding="utf-8").rsplit(") ")[1][0] == "Z"
            ):
                continue
        except OSError:  # it ended
            continue
        if "python" in words[0]:
            scripts = [
                match[1] for word in words if (match := re.search(r"scripts/tmp\w+\.(\w+)\.py$", word))
            ]
            if scripts or any(word.endswith("bin/snakemake") for word in words):
                found[int(entry.name)] = scripts[0] if scripts else "Snakemake"
    return found


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_one(run: subprocess.Popen, folder: Path, script: str, rng: random.Random) -> str | None:
    """Kill Snakemake, a job or both while a job of `script` runs, or what else does; says what it killed."""
    deadline = time.monotonic() + PATIENCE
    while not (running := {pid: name for pid, name in processes(folder).items() if name == script}):
        if run.poll() is not None:
            return None
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    time.sleep(rng.uniform(0, 4))
    found = processes(folder)
    jobs = [pid for pid in found if pid in running] or [pid for pid in found if found[pid] != "Snakemake"]
    masters = [pid for pid in found if found[pid] == "Snakemake"]
    if not masters:
        return None
    which = rng.choice(["Snakemake", "job", "both"]) if jobs else "Snakemake"
    victims = [*(masters if which != "job" else []), *(jobs[:1] if which != "Snakemake" else [])]
    send(signal.SIGKILL, victims)
    run.wait(600)
    names = " and ".join(found[pid] for pid in victims)
    send(signal.SIGSTOP, list(processes(folder)))  # so that none ends before it is looked at
    left = list(processes(folder))
    if left and rng.random() < 0.5:
        send(signal.SIGKILL, left)
        names += f", then {len(left)} jobs that it left"
    elif left:  # `make resume` must not start beside them
        refused = resume(folder)
        if (
            refused.wait(60) == 0
            or "still runs here" not in (folder / "run.log").read_text(encoding="utf-8")[-2000:]
        ):
            sys.exit(f"make resume started beside {left}")
        send(signal.SIGCONT, left)
        names += f"; {len(left)} jobs that it left came to their end"
    while processes(folder):
        time.sleep(0.1)
    return names


def disturb(folder: Path, scripts: list[str], rng: random.Random) -> list[str]:
    """A run that is killed once at each of the scripts, if it comes to it, and resumed each time."""
    run, made = snakemake(folder, 2), []
    for script in sorted(scripts, key=HEAVY.index):
        if not (killed := kill_one(run, folder, script, rng)):
            break
        made.append(killed)
        print(f"kill {len(made)}, waiting for {script}: {killed}", flush=True)
        run = resume(folder)
    finish(run, folder)
    return made


# What a run left


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for name in RESULTS
        for path in (folder / name).rglob("*")
        if not path.is_dir()
    }


def flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    """The values of nested dicts by their joined keys, without those that a clock decides."""
    if not isinstance(content, dict):
        return {} if TIMED.search(prefix) else {prefix: content}
    found = {}
    for key, value in content.items():
        found |= flatten(value, f"{prefix}_{key}" if prefix else key)
    return found


def read(path: Path) -> Any:
    """What a repeated run must give again of a file."""
    if path.suffix == ".json":
        return flatten(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, na_filter=False)
        if "cost" in table:  # a row each (the figure tradeoffs)
            table = table[table["cost"] != "latency"]
        return table.loc[:, [not TIMED.search(column) for column in table.columns]].to_csv()
    return path.read_bytes()


def compare(folder: Path, expected: Path) -> list[str]:
    """Paths that differ between two runs, and what one has left that is of use in work only."""
    found, wanted = files(folder), files(expected)
    differ = [f"{path}: not in both" for path in sorted(found ^ wanted)]
    for path in sorted(found & wanted):
        if not SHOWN.search(path) and read(folder / path) != read(expected / path):
            differ.append(f"{path}: other content")
    for name in IN_WORK:
        differ += [f"{path}: left" for path in (folder / ".snakemake" / name).rglob("*") if path.is_file()]
    return differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=21)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave the folders of the runs")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    scratch = Path(tempfile.mkdtemp(prefix="faults-")).resolve()
    failures, made = [], 0
    for cores in (2, 1):
        folder = scratch / f"cores-{cores}"
        folder.mkdir()
        prepare(folder)
        began = time.monotonic()
        finish(snakemake(folder, cores), folder)
        print(f"undisturbed, {cores} cores: {time.monotonic() - began:.0f} s", flush=True)
    undisturbed = scratch / "cores-2"
    compared = sum(not SHOWN.search(path) for path in files(undisturbed))
    differ = compare(scratch / "cores-1", undisturbed)
    print(f"one core against two: {compared} files compared, {len(differ)} differ", flush=True)
    failures += differ
    waiting: list[str] = []  # so that each script has its turn
    for number in itertools.count(1):
        if made >= options.kills:
            break
        n_kills = min(KILLS_A_RUN, options.kills - made)
        if len(waiting) < n_kills:
            waiting += [script for script in rng.sample(HEAVY, len(HEAVY)) if script not in waiting]
        share, waiting = waiting[:n_kills], waiting[n_kills:]
        folder = scratch / f"killed-{number}"
        folder.mkdir()
        prepare(folder)
        killed = disturb(folder, share, rng)
        waiting = sorted(share, key=HEAVY.index)[len(killed) :] + waiting
        made += len(killed)
        differ = compare(folder, undisturbed)
        failures += differ
        print(f"after {len(killed)} kills: {len(differ)} files differ or are left", flush=True)
        print(*differ, sep="\n", flush=True)
    print(f"{made} kills made, {'all' if not failures else 'not all'} survived")
    if not options.keep:
        shutil.rmtree(scratch)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
