"""Which files a command and all that it starts open, by Debian's strace: what C and Rust open, too."""

import base64
import codecs
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

CALLS = "open,openat,openat2,creat,clone,clone3,fork,vfork"
LINE = re.compile(r"(\d+) +(?:<\.\.\. \w+ resumed>)?(.*?)( <unfinished \.\.\.>)?")
# Calls that succeeded, and the ends of processes.
EVENT = re.compile(
    r"(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>\d+)(?P<file><.*>)?.*|\+\+\+ (exited|killed).*"
)


@cache
def can_trace() -> bool:
    """Whether strace is there and may trace: not every container allows it."""
    tried = ["strace", "-qq", "-o", os.devnull, "true"]
    return bool(shutil.which("strace")) and subprocess.run(tried, check=False).returncode == 0


def command(trace: Path) -> list[str]:
    """What is put before a command so that calls of it and all that it starts are written to `trace`."""
    # Not -z, successful calls only: of those that another process interrupts it writes the first half alone.
    options = ["-f", "--seccomp-bpf", "-q", "-y", "-e", "signal=none", "-e", f"trace={CALLS}"]
    return ["strace", *options, "-o", str(trace), "--"]


@dataclass
class Process:
    """The files that a process (or thread) read and wrote, and the processes that it started."""

    read: set[Path] = field(default_factory=set)
    written: set[Path] = field(default_factory=set)
    started: list["Process"] = field(default_factory=list)
    known: bool = False  # which process started it
    ended: bool = False

    def open(self, path: Path, flags: str) -> None:
        writes = any(flag in flags for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))
        (self.written if writes else self.read).add(path)

    def family(self) -> Iterator["Process"]:
        """This process, and all that it started, directly or not."""
        yield self
        for child in self.started:
            yield from child.family()


def read_trace(trace: Path) -> list[Process]:
    """Every process that was traced. Numbers of processes are given anew once they have ended."""
    processes: list[Process] = []
    latest: dict[str, Process] = {}

    def find(number: str, new: Callable[[Process], bool]) -> Process:
        if number not in latest or new(latest[number]):
            latest[number] = Process()
            processes.append(latest[number])
        return latest[number]

    begun: dict[str, str] = {}  # calls that other processes interrupted in the trace
    lines = trace.read_text(encoding="latin-1").split("\n")  # reasons why a call failed are in any encoding
    for line in filter(None, map(LINE.fullmatch, lines)):
        text = begun.pop(line[1], "") + line[2]
        if line[3]:
            begun[line[1]] = text
            continue
        if not (match := EVENT.fullmatch(text)):
            continue
        process = find(line[1], new=lambda it: it.ended)
        if match["call"] is None:
            process.ended = True
        elif "O_DIRECTORY" in match["arguments"]:
            continue
        elif match["file"]:
            name = codecs.escape_decode(match["file"].partition(">(deleted)")[0].strip("<>"))[0]
            process.open(Path(os.fsdecode(name)), match["arguments"])
        else:  # the new process may have been seen before its number is returned
            process.started.append(find(match["result"], new=lambda it: it.known))
            process.started[-1].known = True
    return processes


def files_read(processes: Iterable[Process]) -> set[Path]:
    """The files, no folders, that processes together read but did not write."""
    processes = list(processes)
    return set().union(*(it.read for it in processes)) - set().union(*(it.written for it in processes))


def trace(file: Path, arguments: Sequence[str]) -> set[Path]:
    """The files that a command reads. `file` is a new one for the trace."""
    subprocess.run([*command(file), *arguments], check=True)
    return files_read(read_trace(file))


@dataclass
class Job:
    """A job of Snakemake, as it recorded it: paths of its inputs and outputs, and the log that is its own."""

    rule: str
    inputs: set[Path]
    log: Path
    outputs: set[Path] = field(default_factory=set)


def read_jobs(folder: Path) -> list[Job]:
    """The jobs that Snakemake recorded in `folder`, where it ran."""
    jobs: dict[Path, Job] = {}
    records = folder / ".snakemake/metadata"
    for path in filter(Path.is_file, records.rglob("*")):
        record = json.loads(path.read_text(encoding="utf-8"))
        # The output's path in base64, cut where a file name would be too long: folders @..., and the rest.
        output = "".join(part.removeprefix("@") for part in path.relative_to(records).parts)
        log = folder / record["log"][0]
        job = jobs.setdefault(log, Job(record["rule"], {folder / name for name in record["input"]}, log))
        job.outputs.add(folder / base64.urlsafe_b64decode(output).decode())
    return list(jobs.values())


def undeclared(job: Job, processes: list[Process]) -> set[Path]:
    """The files that a job read, in any of its processes, that are neither its inputs nor its own."""
    [main] = [process for process in processes if job.log in process.written]
    return {source_of(path) for path in files_read(main.family())} - job.inputs - job.outputs


def source_of(path: Path) -> Path:
    """The Python file that was compiled to `path`, if it is one: of a module either of them is read."""
    return path.parent.with_name(f"{path.name.partition('.')[0]}.py") if path.suffix == ".pyc" else path
