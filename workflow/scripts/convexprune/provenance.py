"""What every stage needs to be traceable and safe: logs, versions, fingerprints, atomic files."""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import logging
import multiprocessing
import os
import re
import resource
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("convexprune")


# What the stages compute with; a job logs the versions of those that its environment has.
PACKAGES = ["accelerate", "espeakng-loader", "h5py", "matplotlib", "numba", "numpy", "pandas", "pocketsphinx"]
PACKAGES += [
    "praatio",
    "scikit-learn",
    "scipy",
    "seaborn",
    "soundfile",
    "torch",
    "torchaudio",
    "transformers",
]


def start_log(path: str | os.PathLike[str], seed: int | None = None) -> None:
    """Log to `path` and to stderr: versions and seed now; device, time and peak memory at the end.

    A cluster keeps a job's stderr, a local run its log file: both hold the same lines. A terminal, which
    Snakemake and other jobs write to as well, only gets warnings. An uncaught exception reaches both, and
    then a last line that says what to do. Of a ValueError, which says what is wrong in one line, and of a
    full disk or an interruption only the file has the traceback.
    """
    started = time.monotonic()
    process = os.getpid()
    printed = logging.StreamHandler(sys.stderr)
    printed.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        level=logging.INFO,
        handlers=[printed],
        force=True,
    )
    logging.captureWarnings(True)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = (
        "1"  # Transformers' bars for reading files; ours: progress.py
    )

    def log_usage() -> None:
        if os.getpid() == process:  # not in a forked helper
            log.info("%s; %.1f s", describe_usage(), time.monotonic() - started)

    def log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        atexit.unregister(log_usage)
        told = issubclass(kind, ValueError | DiskFullError | KeyboardInterrupt)
        log.critical("%s: %s", kind.__name__, error, exc_info=None if told else (kind, error, trace))
        if told:
            for handler in logging.getLogger().handlers:
                if isinstance(handler, LogFile):
                    with contextlib.suppress(OSError):
                        traceback.print_exception(kind, error, trace, file=handler.stream)
        log_usage()
        log.critical("What to do: %s", advise(error, path))

    sys.excepthook = log_exception
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = LogFile(path, mode="w")
    file.setFormatter(printed.formatter)
    logging.getLogger().addHandler(file)
    log.info("%s", ", ".join(f"{name} {version}" for name, version in installed_versions().items()))
    log.info(
        "seed: %s",
        "none of the config; what is drawn here, if anything, is always the same" if seed is None else seed,
    )
    atexit.register(log_usage)


class LogFile(logging.FileHandler):
    """A log file that a full disk cuts short; stderr has the rest."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def installed_versions() -> dict[str, str]:
    """Versions of Python, this package and those of PACKAGES that are installed."""
    found = versions()
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_usage() -> str:
    """Device and peak memory of this process so far, and of the largest process it started."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    own, children = (
        resource.getrusage(who).ru_maxrss * unit / 1e6
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    status = Path(
        "/proc/self/status"
    )  # on Linux, where getrusage counts the process that started this one too
    if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        own = int(peak[1]) * 1024 / 1e6
    torch = sys.modules.get("torch")
    device = "CPU"
    if torch and torch.cuda.is_initialized():
        device = f"{torch.cuda.get_device_name()}, of it {torch.cuda.max_memory_allocated() / 1e6:.0f} MB"
    return f"device: {device}; peak memory: {own:.0f} MB, {children:.0f} MB in its largest child"


def advise(error: BaseException, log_path: str | os.PathLike[str]) -> str:
    """What the user can do about an error, in one line."""
    lines = str(error).splitlines() or [type(error).__name__]
    said = lines[0]
    # torch puts the traceback of a process that reads clips before what that said.
    if said.startswith("Caught "):
        said = lines[-1].partition(": ")[2]
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
    """What to do by the log of a job that failed; None if it does not say."""
    _, found, advice = Path(log_path).read_text().rpartition("What to do: ")
    return advice.strip() if found else None


FULL = (errno.ENOSPC, errno.EDQUOT)  # no space left; none left for this user
LITTLE_SPACE = 1 << 20  # bytes


class DiskFullError(OSError):
    """A file could not be written for want of space; `filename` is its final name."""


@contextmanager
def naming_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within the block a full disk, whichever library tells of it, is a DiskFullError that names `path`."""
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if (number := find_full_disk(error, Path(path))) is None:
            raise
        raise DiskFullError(number, "the disk is full", str(path)) from error


def find_full_disk(error: BaseException, path: Path) -> int | None:
    """The error number of the full disk behind `error`, which was met in writing `path`; or None."""
    if isinstance(error, OSError) and error.errno in FULL:
        return error.errno
    for number in FULL:  # the libraries of safetensors and of the hub have a text only
        if os.strerror(number) in str(error):
            return number
    if isinstance(error, RuntimeError) and find_space(path) < LITTLE_SPACE:  # torch does not say why
        return errno.ENOSPC
    return find_full_disk(error.__context__, path) if error.__context__ else None


def find_space(path: Path) -> int:
    """Bytes that can still be written where `path` is, or will be."""
    path = path.absolute()
    return shutil.disk_usage(next(known for known in (path, *path.parents) if known.exists())).free


@contextmanager
def atomic(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on error.

    A reader therefore sees the whole file or none, and if `durable` so does one after a power cut. The
    temporary name is always the same: what a kill leaves under it, the next try overwrites. Raises
    DiskFullError if the file does not fit.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.tmp")
    with naming_full_disk(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if durable:
                sync(temporary)
            os.replace(temporary, final)
            if durable:
                sync(final.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; delete it afterwards, and before if a kill left it."""
    final = Path(path).absolute()
    temporary = final.with_name(f".{final.name}.tmp")
    with naming_full_disk(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which must not exist; rename it to `path` on success."""
    with scratch_folder(path) as temporary:
        yield temporary
        os.rename(temporary, path)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def write_csv(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a pandas table without its index, atomically. Floats keep all their digits."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)


def fingerprint(*paths: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) over the contents of `paths`, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_sum(path: str | os.PathLike[str]) -> str | None:
    """The SHA-256 (hex) of `path` that `{path}.sha256` records; None if there is no such record."""
    record = Path(f"{path}.sha256")
    return record.read_text().split()[0].lower() if record.exists() else None


def write_sum(path: str | os.PathLike[str], sha256: str) -> None:
    """Record the SHA-256 of `path` in `{path}.sha256`, in the format of sha256sum."""
    with atomic(f"{path}.sha256") as temporary:
        temporary.write_text(f"{sha256}  {Path(path).name}\n")


def read_source(path: str | os.PathLike[str]) -> str | None:
    """Where `path` came from, as `{path}.source` records it; None if there is no such record."""
    record = Path(f"{path}.source")
    return record.read_text().strip() if record.exists() else None


def write_source(path: str | os.PathLike[str], source: str) -> None:
    """Record in `{path}.source` where `path` came from."""
    with atomic(f"{path}.source") as temporary:
        temporary.write_text(f"{source}\n")


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of Python, this package and `packages`, for the record of a result."""
    from convexprune import __version__

    found = {"python": sys.version.split()[0], "convexprune": __version__}
    return found | {package: metadata.version(package) for package in packages}


def end_with_parent() -> None:
    """Let this helper of a ProcessPoolExecutor end with the process that forked it, kill -9 included.

    It would wait for its next task for ever.
    """

    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
