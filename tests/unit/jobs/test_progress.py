"""Progress: one bar on the terminal whoever draws it, lines in the log of each job, nothing garbled."""

import fcntl
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

WIDTH = 90
# A job of two phases, as Snakemake runs it; its log tells every step.
JOB = """
import sys, time
sys.path.insert(0, {library!r})
from convexprune.jobs import logs, progress
logs.start_log({log!r})
progress.EVERY = 0
for item in progress.Progress(range({total}), desc={name!r}, unit="batch"):
    {each}
"""


def job(root, folder, name: str, each: str, total: int = 5) -> list[str]:
    code = JOB.format(
        library=str(root / "workflow/scripts"),
        log=str(folder / f"{name}.log"),
        name=name,
        each=each,
        total=total,
    )
    return [sys.executable, "-c", code]


@pytest.fixture
def terminal():
    """A terminal of WIDTH columns: the side of the jobs, and what reads all that they wrote so far."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))

    def read() -> str:
        os.close(theirs)
        written = b""
        try:
            while block := os.read(ours, 1 << 16):
                written += block
        except OSError:  # what Linux says at the end
            pass
        return written.decode()

    yield theirs, read
    os.close(ours)


def lines_of(path) -> list[str]:
    return [
        line.partition("progress: ")[2]
        for line in path.read_text(encoding="utf-8").splitlines()
        if "progress: " in line
    ]


def test_on_a_terminal_a_bar_fills_the_line_and_goes_away(root, tmp_path, terminal):
    theirs, read = terminal
    subprocess.run(job(root, tmp_path, "words", "time.sleep(0.12)"), stderr=theirs, check=True)
    *drawn, cleared, last = read().split("\r")[1:]
    assert len(drawn) >= 3
    assert re.fullmatch(
        r"words: +\d+%\|.*\| \d/5 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+(batch/s|s/batch)\] ", drawn[-1]
    )
    # Whatever is printed next, by Snakemake say, wraps to a line of its own.
    assert {len(bar) for bar in drawn} == {WIDTH}
    assert cleared == " " * WIDTH and last == ""
    assert lines_of(tmp_path / "words.log")[-1].startswith("words: 5 of 5, ")  # the log has its lines too


def test_without_a_terminal_there_are_lines_with_rate_and_time_left(root, tmp_path):
    result = subprocess.run(
        job(root, tmp_path, "words", "time.sleep(0.12)"),
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert result.stderr == ""
    pattern = r"words: \d of 5, +[\d.]+(batch/s|s/batch), \d\d:\d\d left"
    assert all(re.fullmatch(pattern, line) for line in lines_of(tmp_path / "words.log")[1:])
    assert len(lines_of(tmp_path / "words.log")) >= 4


def test_the_time_left_is_not_that_of_one_slow_step(root, tmp_path):
    """An evaluation between steps takes as long as many of them."""
    each = "time.sleep(1.5 if item == 25 else 0.12)"
    subprocess.run(job(root, tmp_path, "words", each, total=50), capture_output=True, check=True)
    left = [re.search(r"(\d\d):(\d\d) left", line) for line in lines_of(tmp_path / "words.log")]
    seconds = [60 * int(found[1]) + int(found[2]) for found in left if found][3:]
    assert max(later - earlier for earlier, later in itertools.pairwise(seconds)) <= 3


def test_lines_are_rare(root, tmp_path):
    each = "progress.EVERY = 30; time.sleep(0.12)"
    subprocess.run(job(root, tmp_path, "words", each), capture_output=True, check=True)
    assert len(lines_of(tmp_path / "words.log")) <= 1


def test_two_jobs_on_one_terminal_take_turns(root, tmp_path, terminal):
    theirs, read = terminal
    wait = "while not (open({other!r}).read().count('progress: ') > 2): time.sleep(0.02)"
    # Each goes on only while the other works too, so that both want the terminal at the same time.
    jobs = []
    for name, other in (("first", "second"), ("second", "first")):
        (tmp_path / f"{name}.log").touch()
        each = "time.sleep(0.12)" + (
            f"\n    if item == 3:\n        {wait.format(other=str(tmp_path / f'{other}.log'))}"
        )
        jobs.append(subprocess.Popen(job(root, tmp_path, name, each), stderr=theirs))
    assert [process.wait(60) for process in jobs] == [0, 0]
    drawn = [part.split(":")[0] for part in read().split("\r") if "batch/s" in part or "?" in part]
    changes = sum(one != other for one, other in itertools.pairwise(drawn))
    assert drawn and changes <= 1  # one bar until it is done, then perhaps the other
    assert lines_of(tmp_path / "first.log") and lines_of(tmp_path / "second.log")


def test_warnings_reach_a_terminal_and_what_is_for_the_log_does_not(root, tmp_path, terminal):
    theirs, read = terminal
    each = "logs.log.info('a detail'); logs.log.warning('look here')"
    subprocess.run(job(root, tmp_path, "words", each), stderr=theirs, check=True)
    written = read()
    assert "look here" in written and "a detail" not in written
    assert "a detail" in (tmp_path / "words.log").read_text(encoding="utf-8")
