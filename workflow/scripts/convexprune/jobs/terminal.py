"""What a run prints for a person: a line now and then, and no more. Snakemake's log file keeps every line."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

EVERY = 10.0  # seconds between two lines, at the least
ERASE = "\r\x1b[K"  # takes away the bar that a job may have drawn on the terminal's last line
# Snakemake's own words for a failed job. What its log advises is printed at the end.
SAID_AT_THE_END = (
    "CalledProcessError in ",
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
)


class Event(StrEnum):
    """Snakemake's names for the records of its log, as far as they matter here."""

    RESOURCES = "resources_info"
    PLANNED = "run_info"
    STARTED = "job_info"
    FINISHED = "job_finished"
    PROGRESS = "progress"
    FAILED = "job_error"
    GROUP_FAILED = "group_error"


@dataclass
class Failure:
    """A job that failed: its rule, its log files, and what Snakemake said of it."""

    rule: str
    logs: list[str]
    said: str


class Terminal(logging.Handler):
    """Follows a run by the records of Snakemake's log.

    `failed` has a Failure for each job that failed, until it is tried again and ends well. If `quiet`, this
    prints the plan, a line for each failure, and at most one line of progress every EVERY seconds.
    `lets_pass` says what Snakemake may print beside them.
    """

    def __init__(self, describe_plan: Callable[[], str], quiet: bool, stream: TextIO | None = None) -> None:
        super().__init__()
        self.describe_plan = describe_plan
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.failed: dict[int, Failure] = {}
        self.runs = False
        self.error = ""
        self.printed = 0.0
        self.started: dict[int, tuple[str, float]] = {}
        self.latest = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Follow a record. An error in here, such as a terminal that is gone, must not end the run."""
        try:
            self.follow(record)
        except Exception:
            self.handleError(record)

    def follow(self, record: Any) -> None:
        """Note what a record says, and print a line if it is time. What it has depends on its event."""
        event = getattr(record, "event", None)
        if event == Event.PLANNED and not self.runs:
            self.runs = True
            if self.quiet:
                self.print(self.describe_plan())
        elif event == Event.STARTED:
            name = " ".join([record.rule_name, *map(str, record.wildcards.values())])
            self.started[record.jobid] = name, time.monotonic()
        elif event == Event.FINISHED:
            self.failed.pop(record.job_id, None)
            name, began = self.started.pop(record.job_id, ("a job", time.monotonic()))
            self.latest = f"{name} ({time.monotonic() - began:.0f} s)"
        elif event == Event.PROGRESS and self.quiet:
            self.print_progress(record.done, record.total)
        elif event == Event.FAILED:
            # A job of a group that failed: its own record follows that of the group, and says no more.
            known = self.failed.get(record.jobid)
            said = record.rule_msg or (known.said if known else self.error)
            self.note_failure(record.jobid, Failure(record.rule_name, list(record.log), said))
        elif event == Event.GROUP_FAILED:
            said = f"see {', '.join(record.aux_logs)}" if record.aux_logs else self.error
            for job in record.job_error_info:
                self.failed[job["jobid"]] = Failure(job["rule_name"], list(job["log"]), said)
        elif record.levelno >= logging.ERROR:
            self.error = record.getMessage()

    def note_failure(self, jobid: int, failure: Failure) -> None:
        """Keep a failure for the end of the run, and say now that there is one."""
        self.failed[jobid] = failure
        self.error = ""
        if self.quiet:
            name, _ = self.started.get(jobid, (failure.rule, 0.0))
            log = f": {failure.logs[0]}" if failure.logs else ""
            self.print(f"{time.strftime('%H:%M:%S')}  failed  {name}{log}")

    def print_progress(self, done: int, total: int) -> None:
        """Print how many jobs are done and the last of them, if the last line is EVERY seconds old."""
        if time.monotonic() - self.printed >= EVERY or done == total:
            self.printed = time.monotonic()
            self.print(f"{time.strftime('%H:%M:%S')}  {done:{len(str(total))}} of {total}  {self.latest}")

    def print(self, text: str) -> None:
        """Print in place of the bar that a job may have drawn."""
        print(f"{ERASE if self.stream.isatty() else ''}{text}", file=self.stream, flush=True)

    def lets_pass(self, record: logging.LogRecord) -> bool:
        """Whether Snakemake prints a record: before the run nearly all, in it warnings and its own errors."""
        event = getattr(record, "event", None)
        if not self.quiet:
            return True
        if event in (Event.PLANNED, Event.RESOURCES, Event.FAILED, Event.GROUP_FAILED):
            return False
        if not self.runs:
            return True
        said = record.getMessage() if record.levelno >= logging.WARNING else ""
        return bool(said) and not any(words in said for words in SAID_AT_THE_END)


@dataclass(frozen=True)
class PlannedJob:
    """What the plan shows of a job."""

    rule: str
    gpus: int
    memory: int  # MB
    minutes: int  # until it is stopped
    partition: str  # of the cluster; empty without one


def tabulate_plan(jobs: Sequence[PlannedJob], short: int) -> str:
    """A line for each rule, in the order of the jobs: how many, and the most that one of them asks for.

    `short` is the number of further jobs: downloads, merges, figures.
    """
    line = "{:20} {:>5} {:>4} {:>6} {:>8}  {}"
    lines = [
        line.format(
            "rule", "jobs", "GPU", "GB", "minutes", "partition" if any(job.partition for job in jobs) else ""
        )
    ]
    for rule in dict.fromkeys(job.rule for job in jobs):
        mine = [job for job in jobs if job.rule == rule]
        memory = max(job.memory for job in mine) / 1000
        asked = max(job.gpus for job in mine) or "-", f"{memory:.1f}", max(job.minutes for job in mine)
        lines.append(line.format(rule, len(mine), *asked, " ".join(sorted({job.partition for job in mine}))))
    lines += [
        line.format("merges, figures, ...", short, "-", "-", "-", ""),
        line.format("all", len(jobs) + short, "", "", "", ""),
    ]
    return "\n".join(map(str.rstrip, lines))
