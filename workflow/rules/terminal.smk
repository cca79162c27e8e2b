# What a run prints: its plan, its progress, and at the end its answer or what failed. No rules.

from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ExecMode


def follow_run():
    """Follow Snakemake's log. With `quiet: host`, as in the default profile, the terminal gets a short account."""
    asked = workflow.output_settings.quiet == {Quietness.HOST} and workflow.exec_mode == ExecMode.DEFAULT
    # What failed is said by a hook of this Snakefile: not without hooks, and not within another workflow.
    execution = workflow.execution_settings  # None in a dry run
    hooks = not (execution and execution.no_hooks) and workflow.modifier.is_main_snakefile()
    quiet = asked and hooks
    followed = terminal.Terminal(describe_plan, quiet)
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(followed.lets_pass)
            followed.stream = handler.stream  # as Snakemake: a dry run goes to stdout
    logger.addHandler(followed)
    return followed


def describe_plan():
    """What a run is about to do: in a dry run a table of its jobs, else their number."""
    jobs = list(workflow.dag.needrun_jobs())
    if not workflow.dryrun:
        return f"{len(jobs)} jobs. Every line of Snakemake is in .snakemake/log/, every job's own log in {RESULTS}/logs/"
    submitted = [job for job in jobs if job.rule.name in needs.MEMORY]
    planned = [
        terminal.PlannedJob(
            job.rule.name,
            job.resources.get("gpu", 0),
            job.resources.get("mem_mb", 0),
            job.resources.get("runtime", 0),
            next((job.resources[name] for name in job.resources.keys() if name.endswith("_partition")), ""),
        )
        for job in submitted
    ]
    table = terminal.tabulate_plan(planned, len(jobs) - len(planned))
    return f"{table}\nDisk of a whole run: about {needs.disk(config):.1f} GB. `make estimate` says how long it takes."


def print_failures():
    """Print the advice of each failed job at the very end, where the eye is, and none twice."""
    told = {}
    for failure in followed.failed.values():
        advice = [logs.read_advice(path) for path in failure.logs if Path(path).exists()]
        said = next(filter(None, advice), failure.said or "ended without a word")
        told.setdefault(said, []).append(failure.logs[0] if failure.logs else f"rule {failure.rule}")
    for said, (name, *others) in told.items():
        more = f" and {len(others)} more" if others else ""
        print(f"{name}{more}: {said}", file=sys.stderr)


def print_outcome():
    """Print what a user wants to see at the end of a run, the answer last: it stays in view."""
    from convexprune.results import summary  # here, not whenever Snakemake starts

    path = RESULTS / "summary.md"
    if path.exists():
        print(summary.shorten(path.read_text(encoding="utf-8")))
        print(f"\nAll of it: {path}\nFigures: {RESULTS}/figures/\nModels: {RESULTS}/exported/")


followed = follow_run()
