"""Outputs of jobs that were running when Snakemake was killed. They are deleted before a run resumes.

Snakemake marks the outputs of a job while it runs. After a kill, `--rerun-incomplete` runs the marked jobs
again, but it looks for marks before the checkpoint is evaluated. So jobs after the checkpoint, above all
training, would count as finished. They would also lack the record that makes a later edit of the config run
them again.
"""

from __future__ import annotations

import shutil
from base64 import urlsafe_b64decode
from itertools import pairwise
from pathlib import Path

MARKS = Path(".snakemake/incomplete")
SCRIPTS = Path(".snakemake/scripts")  # copies of the scripts of running jobs


def discard(folder: Path) -> list[Path]:
    """Delete the marked outputs in the workflow's `folder`, and the marks.

    Returns the deleted outputs, relative to `folder`. Raises ValueError while Snakemake, or a job that
    outlived it, runs there.
    """
    if processes := find_processes(folder):
        named = ", ".join(map(str, processes))
        raise ValueError(f"Snakemake or a job of it still runs here (process {named}): stop it first")
    shutil.rmtree(folder / SCRIPTS, ignore_errors=True)
    discarded = []
    for mark in sorted((folder / MARKS).rglob("*")):
        if not mark.is_file():
            continue
        # A mark's name is the output's path in base64. A long one is split into folders @... and the rest.
        encoded = "".join(part.removeprefix("@") for part in mark.relative_to(folder / MARKS).parts)
        output = Path(urlsafe_b64decode(encoded).decode())
        if (folder / output).is_file():
            (folder / output).unlink()
            discarded.append(output)
        mark.unlink()
    return discarded


def find_processes(folder: Path) -> list[int]:
    """The ids of processes of Snakemake or its jobs, on this machine, whose working directory is `folder`."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):  # None: another user's, or just ended
        command, directory = process.info["cmdline"] or [], process.info["cwd"]
        if is_of_snakemake(command) and directory and Path(directory) == folder.resolve():
            found.append(process.pid)
    return found


def is_of_snakemake(command: list[str]) -> bool:
    """Whether a command line belongs to Snakemake or to a script that it runs."""
    as_module = ("-m", "snakemake") in pairwise(command)
    return as_module or any(part.endswith("bin/snakemake") or f"{SCRIPTS}/" in part for part in command)
