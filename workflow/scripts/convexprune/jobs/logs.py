"""The log of a job: versions and seed, what happened, time and memory, and what to do about an error."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import sys
import time
from pathlib import Path
from types import TracebackType

from convexprune.jobs import launchers, processes
from convexprune.jobs.files import FULL
from convexprune.jobs.provenance import installed_versions

log = logging.getLogger("convexprune")


def start_log(path: str | os.PathLike[str], seed: int | None = None) -> None:
    """Log to `path`: versions and seed now; device, time and peak memory at the end.

    An uncaught exception is logged with a last line that says what to do, which the run prints at its end. So
    stderr, which Snakemake and other jobs share, only gets warnings, and whatever the file has no room for.
    From here on the launchers' environment variables are ignored.
    """
    started = time.monotonic()
    process = os.getpid()
    printed = logging.StreamHandler(sys.stderr)
    printed.setLevel(logging.WARNING)
    printed.addFilter(lambda record: record.levelno < logging.CRITICAL)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        level=logging.INFO,
        handlers=[printed],
        force=True,
    )
    logging.captureWarnings(True)

    def log_usage() -> None:
        if os.getpid() == process:  # not in a forked helper
            log.info("%s; %.1f s", describe_usage(), time.monotonic() - started)

    def log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        atexit.unregister(log_usage)
        log.critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))
        log_usage()
        log.critical("What to do: %s", advise(error, path))

    sys.excepthook = log_exception
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = LogFile(path, mode="w", encoding="utf-8")
    file.setFormatter(printed.formatter)
    logging.getLogger().addHandler(file)
    log.info("%s", ", ".join(f"{name} {version}" for name, version in installed_versions().items()))
    log.info(
        "seed: %s",
        "none of the config; what is drawn here, if anything, is always the same" if seed is None else seed,
    )
    launchers.ignore_launchers()
    atexit.register(log_usage)


class LogFile(logging.FileHandler):
    """A log file that ends early if the disk is full; stderr gets the rest."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if isinstance(sys.exception(), OSError):
            untraced = logging.makeLogRecord(record.__dict__ | {"exc_info": None, "exc_text": None})
            print(self.format(untraced), file=sys.stderr)
        else:
            super().handleError(record)


def describe_usage() -> str:
    """Device and peak memory of this process so far, and of the largest process it started."""
    own, children = processes.read_peaks()
    torch = sys.modules.get("torch")
    device = "CPU"
    if torch and torch.cuda.is_initialized():
        device = f"{torch.cuda.get_device_name()}, of it {torch.cuda.max_memory_allocated() / 1e6:.0f} MB"
    return f"device: {device}; peak memory: {own:.0f} MB, {children:.0f} MB in its largest child"


def advise(error: BaseException, log_path: str | os.PathLike[str]) -> str:
    """What the user can do about an error, in one line."""
    lines = str(error).splitlines() or [type(error).__name__]
    said = lines[0]
    # If a process that reads clips fails, torch puts its traceback before its message.
    if said.startswith("Caught "):
        said = lines[-1].partition(": ")[2]
    elif len(lines) > 1 and lines[1].startswith("  "):  # a list of faults
        said += f": {lines[1].strip()}" + (f" ({len(lines) - 2} more here)" if len(lines) > 2 else "")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "lower this stage's batch_size (of finetuning: micro_batch_size) in the config, or give the job "
            "more memory (mem_mb), and run again"
        )
    if isinstance(error, KeyboardInterrupt):
        return "this was interrupted: run again to go on"
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f"the disk is full: free space for {error.filename or 'the results'}, then run again; nothing "
            "half-written is left"
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"allow writing to {error.filename}, or name other folders in pathvars, and run again"
    if isinstance(error, FileNotFoundError):
        return f"put {error.filename} back, or delete what was made from it, and run again"
    if isinstance(error, ImportError):
        return f"{said}: install what requirements.lock names (make install), or run with --sdm conda"
    if isinstance(error, ValueError | OSError):
        return said if "run again" in said else f"{said}; then run again"
    return f"run again; if it fails again, report it with {log_path}"


def read_advice(log_path: str | os.PathLike[str]) -> str | None:
    """The advice in the log of a failed job; None if it gives none."""
    _, found, advice = Path(log_path).read_text(encoding="utf-8", errors="replace").rpartition("What to do: ")
    return advice.strip() if found else None
