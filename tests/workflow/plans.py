"""Which jobs Snakemake plans or runs, read from what it prints."""

import contextlib
import io
import itertools
import os
import re
from pathlib import Path

JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?: {4}.*\n)*)", flags=re.MULTILINE)


def read_jobs(printed: str) -> list[str]:
    """Each job as `rule:wildcard/wildcard`, but for `all`, in the order that Snakemake names them."""
    jobs = []
    for rule, block in JOB.findall(printed):
        wildcards = re.search(r"^    wildcards: (.*)$", block, flags=re.MULTILINE)
        values = [pair.partition("=")[2] for pair in wildcards[1].split(", ")] if wildcards else []
        jobs.append(f"{rule}:{'/'.join(values)}" if values else rule)
    # Snakemake's own count: the last total of a dry run, the last step of a run.
    counts = re.findall(r"^total +(\d+)$", printed, flags=re.MULTILINE)
    counts = re.findall(r"^(\d+) of \1 steps \(100%\) done", printed, flags=re.MULTILINE) or counts
    assert len(jobs) == (int(counts[-1]) if counts else 0), printed
    assert counts or "Nothing to be done" in printed, printed
    return [job for job in jobs if job != "all"]


def read_outputs(printed: str) -> list[str]:
    """The files that the jobs write."""
    return [
        path
        for files in re.findall(r"^    output: (.*)$", printed, re.MULTILINE)
        for path in files.split(", ")
    ]


def run(directory: Path, *arguments: str) -> str:
    """What Snakemake prints. For a process of its own: the directory changes, Snakemake's state stays."""
    from snakemake import cli

    os.chdir(directory)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            cli.main(list(arguments))
        except SystemExit as end:
            assert not end.code, f"{printed.getvalue()}\n{end.code}"
    return printed.getvalue()


def expand(patterns: str) -> set[str]:
    """The jobs that patterns like `score_convexity:a/{pretrained,words}/words` stand for."""
    jobs = set()
    for pattern in patterns.split():
        parts = [part.split(",") for part in re.split("[{}]", pattern)]
        jobs |= {"".join(choice) for choice in itertools.product(*parts)}
    return jobs
