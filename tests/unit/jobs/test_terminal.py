"""The terminal of a run: few lines, the plan as a table, and what failed."""

import io
import logging
import re
import time
from types import SimpleNamespace

import pytest
from convexprune.jobs import terminal


@pytest.fixture
def run(monkeypatch):
    """A logger that is followed, what is printed, and a clock."""
    clock = [0.0]
    # Only this module's clock: whatever else waits in this process must not wait for ever.
    frozen = SimpleNamespace(monotonic=lambda: clock[0], strftime=time.strftime)
    monkeypatch.setattr(terminal, "time", frozen)
    logger = logging.Logger("snakemake")
    printed = io.StringIO()
    followed = terminal.Terminal(lambda: "the plan", quiet=True, stream=printed)
    logger.addHandler(followed)

    def tell(event, level=logging.INFO, message=None, **fields):
        logger.log(level, message, extra={"event": event, **fields})

    return followed, tell, printed, clock


def test_lines_are_rare_and_name_what_was_done_last(run):
    _, tell, printed, clock = run
    clock[0] = 100.0
    tell("run_info")
    for job in range(100):
        tell("job_info", jobid=job, rule_name="embed", wildcards={"model": f"m{job}"})
    for job in range(100):
        clock[0] += 1
        tell("job_finished", job_id=job)
        tell("progress", done=job + 1, total=100)
    plan, *lines = printed.getvalue().splitlines()
    assert plan == "the plan"
    assert len(lines) == 11
    assert re.fullmatch(r"\d\d:\d\d:\d\d    1 of 100  embed m0 \(1 s\)", lines[0])
    assert lines[-1].endswith("100 of 100  embed m99 (100 s)")


def test_the_plan_is_printed_once(run):
    _, tell, printed, _ = run
    tell("run_info")
    tell("run_info")
    assert printed.getvalue() == "the plan\n"


def fail(tell, job, rule, log, said=None):
    tell("job_error", logging.ERROR, f"Error in {rule}", jobid=job, rule_name=rule, rule_msg=said, log=log)


def test_failures_are_kept_with_what_was_said_and_named_at_once(run):
    followed, tell, printed, _ = run
    tell("run_info")
    tell("job_info", jobid=1, rule_name="embed", wildcards={"model": "m"})
    tell("error", logging.ERROR, "CalledProcessError in file x: died with SIGKILL")
    fail(tell, 1, "embed", ["a.log"])
    fail(tell, 2, "score", ["b.log"], "out of time")
    fail(tell, 3, "plan", [])
    assert "SIGKILL" in followed.failed[1].said
    assert followed.failed[2] == terminal.Failure("score", ["b.log"], "out of time")
    assert followed.failed[3] == terminal.Failure("plan", [], "")  # not the error of another job
    lines = [line.split("  ", 1)[1] for line in printed.getvalue().splitlines()[1:]]
    assert lines == ["failed  embed m: a.log", "failed  score: b.log", "failed  plan"]


def test_a_job_that_ends_well_when_it_is_tried_again_has_not_failed(run):
    followed, tell, _, _ = run
    tell("run_info")
    fail(tell, 1, "embed", ["a.log"], "out of time")
    tell("job_finished", job_id=1)
    assert followed.failed == {}


def test_a_group_that_fails_is_said_by_its_own_log(run):
    """As Snakemake 9 tells of it: the group, with the cluster's log, and then each job without a word."""
    followed, tell, _, _ = run
    tell("run_info")
    jobs = [{"jobid": job, "rule_name": "embed", "log": [f"{job}.log"]} for job in (1, 2)]
    tell("group_error", logging.ERROR, "Error in group", aux_logs=["slurm/2.log"], job_error_info=jobs)
    for job in jobs:
        fail(tell, job["jobid"], "embed", job["log"])
    assert [failure.said for failure in followed.failed.values()] == ["see slurm/2.log"] * 2


def test_a_terminal_that_is_gone_does_not_end_the_run(capsys):
    def gone():
        raise OSError("gone")

    followed = terminal.Terminal(gone, quiet=True)
    followed.emit(logging.makeLogRecord({"event": "run_info", "levelno": logging.INFO, "msg": ""}))
    assert "OSError: gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("event", "level", "message", "passes"),
    [
        (None, logging.INFO, "Select jobs to execute...", False),
        ("job_info", logging.INFO, "rule embed", False),
        (None, logging.WARNING, "the clock is wrong", True),
        ("job_error", logging.ERROR, "Error in rule embed", False),
        ("error", logging.ERROR, "RuleException:\nCalledProcessError in file x", False),
        ("error", logging.ERROR, "WorkflowError:\nAt least one job did not complete successfully.", False),
        ("error", logging.ERROR, "WorkflowError:\nThe disk is gone", True),
    ],
)
def test_in_a_run_snakemake_prints_warnings_and_its_own_errors(run, event, level, message, passes):
    followed, tell, _, _ = run
    record = logging.makeLogRecord({"event": event, "levelno": level, "msg": message})
    assert followed.lets_pass(record) or event == "job_error"  # before a run, "Nothing to be done" for one
    tell("run_info")
    assert followed.lets_pass(record) is passes


def test_without_quiet_nothing_is_kept_back_or_added(run):
    _, _, printed, _ = run
    loud = terminal.Terminal(lambda: "the plan", quiet=False, stream=printed)
    loud.emit(logging.makeLogRecord({"event": "run_info", "levelno": logging.INFO}))
    loud.emit(logging.makeLogRecord({"event": "progress", "levelno": logging.INFO, "done": 1, "total": 1}))
    assert loud.lets_pass(logging.makeLogRecord({"event": "job_info", "levelno": logging.INFO, "msg": ""}))
    assert printed.getvalue() == ""


def test_the_plan_has_a_line_a_rule_with_the_most_that_it_asks_for():
    jobs = [
        terminal.PlannedJob("embed", 1, 4000, 12, "gpu"),
        terminal.PlannedJob("finetune", 1, 9500, 300, "gpu"),
        terminal.PlannedJob("embed", 1, 6500, 10, "gpu"),
    ]
    lines = terminal.tabulate_plan(jobs, short=7).splitlines()
    assert lines[0].split() == ["rule", "jobs", "GPU", "GB", "minutes", "partition"]
    assert lines[1].split() == ["embed", "2", "1", "6.5", "12", "gpu"]
    assert lines[2].split() == ["finetune", "1", "1", "9.5", "300", "gpu"]
    assert lines[-1].split() == ["all", "10"]
    here = terminal.tabulate_plan([terminal.PlannedJob("embed", 0, 4000, 12, "")], short=0)
    assert "partition" not in here and " - " in here.splitlines()[1]
