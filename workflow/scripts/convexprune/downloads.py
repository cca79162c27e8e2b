"""Archives from the web: resumed, retried, checked, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import logging
import os
import random
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from convexprune import __version__, provenance
from convexprune.progress import Progress
from convexprune.retries import parse_retry_after

ATTEMPTS = 20  # in a row that bring nothing new; with the waits between them about an hour
ATTEMPTS_TO_FIND = 6  # the server, before anything has come: half a minute, as there may be no network
LONGEST_WAIT = 300  # seconds
LONGEST_RETRY_AFTER = 3600  # seconds that a server may ask us to wait
TIMEOUT = 60  # seconds without a byte
BLOCK = 1 << 18
NO_USE_TO_RETRY = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}  # the disk, not the net

logger = logging.getLogger(__name__)


def fetch_archive(path: Path, source: str, size: int | None, sha256: str | None) -> None:
    """Bring the archive at the URL `source` to `path`, which appears when it is whole.

    Bytes are kept in `.{name}.part` beside it, also when the process is killed: the next call goes on there.
    The SHA-256 must be `sha256` or, without one, what the first download recorded in `{path}.sha256`.
    The whole archive stays as `.{name}.kept` too, a second name of the same file: where `path` is deleted
    (Snakemake does so before it runs a rule again), it is taken from there if it is still the same.

    Raises ValueError if the server refuses, or size (bytes) or SHA-256 differ; ConnectionError after many
    attempts without a new byte. A whole archive that differs is kept as `{path}.rejected`, and not
    fetched again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    recorded = provenance.read_sum(path)
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
    if kept.exists() and recorded and (sha256 or provenance.read_source(path) == source):
        found, reason = examine(kept)
        if not reason and found == recorded:
            link(kept, path)
            logger.info("%s: taken from %s, SHA-256 %s", path, kept, found)
            return
    if rejected.exists() and provenance.read_source(rejected) == source:
        found, reason = examine(rejected)
        if reason:
            raise ValueError(explain_rejection(rejected, source, reason, found))
        settle(rejected, path, source, found)
        return
    partial = path.with_name(f".{path.name}.part")
    with open_alone(partial) as file:
        in_one_go = download(file, partial, source, size)
        found, reason = examine(partial)
        if reason and not in_one_go:
            logger.warning("%s: pieced together, %s: once more from the start", source, reason)
            begin_anew(file, partial)
            download(file, partial, source, size)
            found, reason = examine(partial)
        if reason:
            record(rejected, source, found)
            os.replace(partial, rejected)
        else:
            settle(partial, path, source, found)
        state_path(partial).unlink(missing_ok=True)
    if reason:
        raise ValueError(explain_rejection(rejected, source, reason, found))


def kept_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.kept")


def rejected_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.rejected")


def record(path: Path, source: str, sha256: str) -> None:
    """Write down beside `path` what it is and where it came from."""
    provenance.write_sum(path, sha256)
    provenance.write_source(path, source)


def settle(file: Path, path: Path, source: str, sha256: str) -> None:
    """Make `file`, found to be right, the archive `path`; what was rejected before is of no use then."""
    record(path, source, sha256)
    os.replace(file, kept_path(path))
    link(kept_path(path), path)
    rejected = rejected_path(path)
    for useless in (rejected, Path(f"{rejected}.sha256"), Path(f"{rejected}.source")):
        useless.unlink(missing_ok=True)
    logger.info("%s: %d bytes, SHA-256 %s", path, path.stat().st_size, sha256)


def link(kept: Path, path: Path) -> None:
    """Give the file `kept` the name `path` too; copy it where the file system has no hard links."""
    with provenance.atomic(path) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(kept, temporary)
        except OSError as error:
            logger.warning("%s cannot be linked (%s): copied", kept, error)
            shutil.copyfile(kept, temporary)


def explain_rejection(rejected: Path, source: str, reason: str, found: str) -> str:
    return (
        f"{source}: {reason}. It is kept as {rejected} and not fetched again: if it is the right archive, "
        f"write sha256: {found} (and no other size) into the config; if not, delete it to have it fetched "
        "anew, or correct the url"
    )


@contextmanager
def open_alone(partial: Path) -> Iterator[BinaryIO]:
    """`partial`, made if need be, open for writing without a buffer, by nobody else at the same time."""
    with open(os.open(partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking it, its owner may have finished and renamed it.
            alone = partial.exists() and os.path.samestat(partial.stat(), os.fstat(file.fileno()))
        except BlockingIOError:
            alone = False
        except OSError as error:  # some network file systems have no locks
            logger.warning("%s cannot be locked (%s): let no other run download it", partial, error)
            alone = True
        if not alone:
            raise ValueError(f"{partial}: another process is downloading it; run again when it has ended")
        yield file


def write(file: BinaryIO, block: bytes) -> None:
    """Write all of `block`: without a buffer a single write may be a short one."""
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def download(file: BinaryIO, partial: Path, url: str, size: int | None) -> bool:
    """Fill `file` from `url`, in as many attempts as it takes while they bring something new.

    Beside `partial`, the name of `file`, a small file says of which version of what it is a part. Returns
    whether all of it came in one go.
    """
    furthest, failures = file.seek(0, os.SEEK_END) if read_state(partial, url) else 0, 0
    while True:
        try:
            return receive(file, partial, url, size)
        except (OSError, http.client.HTTPException) as error:
            if reason := why_not_retry(error, partial):
                raise ValueError(f"{url}: {error}; {reason}") from error
            reached = file.seek(0, os.SEEK_END)
            failures = 0 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            nowhere = furthest == 0 and isinstance(getattr(error, "reason", None), socket.gaierror)
            if nowhere and failures == ATTEMPTS_TO_FIND:
                raise ConnectionError(
                    f"{url}: {error}. Without a network, fetch it elsewhere and give its path, or a mirror, "
                    "in the config"
                ) from error
            if failures == ATTEMPTS:
                raise ConnectionError(
                    f"{url}: nothing new in {ATTEMPTS} attempts ({error}); {furthest} bytes are kept, "
                    "run again to go on there"
                ) from error
            wait = wait_before(failures, error)
            logger.warning("%s: %s; has %d bytes, goes on in %.0f s", url, error, reached, wait)
            time.sleep(wait)


def receive(file: BinaryIO, partial: Path, url: str, size: int | None) -> bool:
    """One request for what is missing in `file`; return whether it brought the whole.

    Raises OSError or HTTPException if not all came; what did is in `file`. A server that has another version
    by now, or that cannot send parts, sends the whole: then the file is begun anew.
    """
    state = read_state(partial, url)
    have = file.seek(0, os.SEEK_END) if state else 0
    if have and have == state["total"]:
        return False
    try:
        response = request(url, have, state.get("validator"))
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing from there on: complete, or part of something else
            error.close()
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return False
            begin_anew(file, partial)
            raise ConnectionError("what came before is no part of what the server has now") from error
        raise
    with response:
        validator, total = find_validator(response), find_total(response)
        if size is not None and total not in (None, size):
            raise ValueError(f"{url}: the server has {total} bytes, not {size} as the config says")
        if response.status == 206:
            if not continues(response, have, state, validator, total):
                begin_anew(file, partial)
                raise ConnectionError("the server sent another part than was asked for")
        else:
            have = 0
            begin_anew(file, partial)
            provenance.write_json(state_path(partial), {"url": url, "validator": validator, "total": total})
        name = partial.name.strip(".").removesuffix(".part")
        save(response, file, have, size if total is None else total, name)
    return have == 0


def request(url: str, have: int, validator: str | None) -> http.client.HTTPResponse:
    """Ask for `url` from byte `have` on; for the whole if it is not the version of `validator` any more."""
    headers = {"User-Agent": f"convexprune/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    # A new opener each time: it reads the proxies from the environment.
    return urllib.request.build_opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def save(response: http.client.HTTPResponse, file: BinaryIO, have: int, total: int | None, name: str) -> None:
    """Write what comes behind the first `have` bytes of `file`; tell how far it is, by `name`."""
    file.seek(have)
    with Progress(desc=name, total=total, initial=have, unit="B", unit_scale=True) as progress:
        while have != total and (block := response.read1(BLOCK)):
            have += len(block)
            write(file, block)
            progress.update(len(block))
            if total is not None and have > total:
                raise ValueError(f"{response.url}: more than the {total} bytes that were promised come")
    if total is not None and have < total:
        raise ConnectionError(f"{have} of {total} bytes came")


def continues(
    response: http.client.HTTPResponse,
    have: int,
    state: dict[str, Any],
    validator: str | None,
    total: int | None,
) -> bool:
    """Whether a partial answer goes on at byte `have` of the version that `state` describes."""
    return (
        response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        and (state["total"] is None or total in (None, state["total"]))
        and validator in (None, state["validator"])
    )


def find_total(response: http.client.HTTPResponse) -> int | None:
    """Size of the whole file, as far as the answer tells."""
    if response.status == 206:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isascii() and total.isdigit() else None


def find_validator(response: http.client.HTTPResponse) -> str | None:
    """What names the version of the file: a strong ETag, or else when it was modified."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def why_not_retry(error: Exception, partial: Path) -> str | None:
    """The remedy, if it is of no use to try again after `error`; `partial` holds what came."""
    status = getattr(error, "code", None)
    if status is not None and status < 500 and status not in (408, 416, 425, 429):
        return "check the archive's url or the mirror in the config"
    if isinstance(error, http.client.InvalidURL):
        return "check the archive's url or the mirror in the config"
    if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted here"
    if getattr(error, "errno", None) in NO_USE_TO_RETRY:
        return f"what came is kept in {partial}: run again when its disk can take the rest"
    return None


def wait_before(failures: int, error: Exception) -> float:
    """Seconds until the next attempt: doubling, with jitter; longer if the server says so (Retry-After)."""
    wait = min(2.0 ** (failures - 1), LONGEST_WAIT) * random.uniform(0.75, 1.25)
    headers = getattr(error, "headers", None)
    asked = headers.get("Retry-After") if headers else None
    return max(wait, min(parse_retry_after(asked), LONGEST_RETRY_AFTER)) if asked else wait


def state_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def read_state(partial: Path, url: str) -> dict[str, Any]:
    """`url`, `validator` and `total` (bytes) of what `partial` is a part of; empty if it is none of `url`."""
    try:
        state = json.loads(state_path(partial).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return state if state["url"] == url else {}


def begin_anew(file: BinaryIO, partial: Path) -> None:
    state_path(partial).unlink(missing_ok=True)
    file.seek(0)
    file.truncate()
