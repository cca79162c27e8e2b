"""Archives from the web: whole or not at all, checked, and fetched once."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from convexprune.data import downloaded, transfers
from convexprune.jobs import files, locks, provenance

log = logging.getLogger(__name__)


def fetch_archive(path: Path, source: str, size: int | None, sha256: str | None) -> None:
    """Download the archive at the URL `source` to `path`, which appears only when it is whole.

    `.{name}.part` beside it keeps the bytes, even if the process is killed; the next call continues there.
    The SHA-256 must be `sha256` or, if None, the one that the first download recorded in `{path}.sha256`.
    The whole archive has a second name, `.{name}.kept`. Snakemake deletes `path` before it runs the rule
    again; the archive is then linked from that name if its SHA-256 is unchanged.

    Raises ValueError if the server refuses, or if size (bytes) or SHA-256 differ; ConnectionError after many
    attempts without a new byte. A whole archive that differs stays as `{path}.rejected` and is not fetched
    again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with locks.hold(Path(f"{part}.lock")):
            bring(path, part, source, size, sha256)
    except locks.HeldError as error:
        raise ValueError(f"{part}: another process is downloading it; run again when it has ended") from error


def bring(path: Path, part: Path, source: str, size: int | None, sha256: str | None) -> None:
    """Fetch an archive while no other process does; see `fetch_archive`."""
    recorded = downloaded.read_sum(path)
    expected = sha256.lower() if sha256 else recorded
    told_by = "the config" if sha256 else f"the record of an earlier download, {path}.sha256,"

    def examine(file: Path) -> tuple[str, str | None]:
        """The SHA-256 of `file`, and what is wrong with it."""
        found, bytes_found = provenance.fingerprint(file), file.stat().st_size
        if size not in (None, bytes_found):
            return found, f"{bytes_found} bytes, not {size} as the config says"
        if expected not in (None, found):
            return found, f"its SHA-256 is {found}, not {expected} as {told_by} says"
        return found, None

    kept, rejected = kept_path(path), rejected_path(path)
    if kept.exists() and recorded and (sha256 or downloaded.read_source(path) == source):
        found, reason = examine(kept)
        if not reason and found == recorded:
            link(kept, path)
            log.info("%s: taken from %s, SHA-256 %s", path, kept, found)
            return
    if rejected.exists() and downloaded.read_source(rejected) == source:
        found, reason = examine(rejected)
        if reason:
            raise ValueError(explain_rejection(rejected, source, reason, found))
        settle(rejected, path, source, found)
        return
    in_one_go = transfers.download(part, source, size)
    found, reason = examine(part)
    if reason and not in_one_go:
        log.warning("%s: pieced together, %s: once more from the start", source, reason)
        transfers.begin_anew(part)
        transfers.download(part, source, size)
        found, reason = examine(part)
    if reason:
        record(rejected, source, found)
        os.replace(part, rejected)
    else:
        settle(part, path, source, found)
    transfers.state_path(part).unlink(missing_ok=True)
    if reason:
        raise ValueError(explain_rejection(rejected, source, reason, found))


def kept_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.kept")


def rejected_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.rejected")


def record(path: Path, source: str, sha256: str) -> None:
    """Record beside `path` its SHA-256 and where it came from."""
    downloaded.write_sum(path, sha256)
    downloaded.write_source(path, source)


def settle(file: Path, path: Path, source: str, sha256: str) -> None:
    """Make the checked `file` the archive `path`, and delete an archive that was rejected before."""
    record(path, source, sha256)
    os.replace(file, kept_path(path))
    link(kept_path(path), path)
    rejected = rejected_path(path)
    for useless in (rejected, Path(f"{rejected}.sha256"), Path(f"{rejected}.source")):
        useless.unlink(missing_ok=True)
    log.info("%s: %d bytes, SHA-256 %s", path, path.stat().st_size, sha256)


def link(kept: Path, path: Path) -> None:
    """Give the file `kept` the second name `path`; copy it if the file system has no hard links."""
    with files.atomic(path) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(kept, temporary)
        except OSError as error:
            log.warning("%s cannot be linked (%s): copied", kept, error)
            shutil.copyfile(kept, temporary)


def explain_rejection(rejected: Path, source: str, reason: str, found: str) -> str:
    return (
        f"{source}: {reason}. It is kept as {rejected} and not fetched again: if it is the right archive, "
        f"write sha256: {found} (and no other size) into the config; if not, delete it to have it fetched "
        "anew, or correct the url"
    )
