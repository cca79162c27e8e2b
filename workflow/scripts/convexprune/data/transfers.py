"""Downloads in as many pieces as it takes: one that was cut or killed continues where it stopped."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexprune.jobs import files, web
from convexprune.jobs.progress import Progress

if TYPE_CHECKING:
    import httpx2
    from tenacity import RetryCallState

ATTEMPTS = 20  # in a row without a new byte; with the waits between them this is about an hour
# Attempts to resolve the server's name before the first byte. Half a minute, as there may be no network.
ATTEMPTS_TO_FIND = 6
FIRST_WAIT, LONGEST_WAIT = 1, 300  # seconds

log = logging.getLogger(__name__)


def download(part: Path, url: str, size: int | None) -> bool:
    """Fill the file `part` from `url`, in as many attempts as it takes while they bring new bytes.

    A small file beside `part` records the URL and the version that the bytes belong to. Returns whether one
    answer brought the whole file. Raises ValueError if the server refuses or has a file of another size than
    `size`, or if the disk is full; ConnectionError after many attempts without a new byte.
    """
    furthest = count_bytes(part, url)

    def stop(state: RetryCallState) -> bool:
        lost = not furthest and web.find_cause(web.failure(state), socket.gaierror)
        return state.attempt_number >= (ATTEMPTS_TO_FIND if lost else ATTEMPTS)

    def tell(state: RetryCallState) -> None:
        has, wait, waited = count_bytes(part, url), state.upcoming_sleep, state.idle_for
        said = "%s: %s; has %d bytes, goes on in %.0f s, after waits of %.0f s so far"
        log.warning(said, url, web.failure(state), has, wait, waited)

    try:
        with web.open_client() as client:
            for attempt in web.attempts(FIRST_WAIT, LONGEST_WAIT, stop, tell):
                with attempt:
                    try:
                        return receive(client, part, url, size)
                    except web.PassingError:
                        if (reached := count_bytes(part, url)) > furthest:
                            furthest, attempt.retry_state.attempt_number = reached, 0
                        raise
    except web.RefusedError as error:
        raise ValueError(f"{url}: {error}; check the archive's url or the mirror in the config") from error
    except web.PassingError as error:
        if not furthest and web.find_cause(error, socket.gaierror):
            remedy = "Without a network, fetch it elsewhere and give its path, or a mirror, in the config"
            raise ConnectionError(f"{url}: {error}. {remedy}") from error
        raise ConnectionError(
            f"{url}: nothing new in {ATTEMPTS} attempts ({error}); {furthest} bytes are kept, run again to "
            "go on there"
        ) from error
    except OSError as error:  # of the disk: errors of the network are handled above
        raise ValueError(
            f"{url}: {error}; what came is kept in {part}: run again when its disk can take the rest"
        ) from error
    raise AssertionError("the last attempt returns or raises")


def receive(client: httpx2.Client, part: Path, url: str, size: int | None) -> bool:
    """Request the bytes missing from `part`; return whether this answer brought the whole file.

    Raises PassingError if the answer was cut short; `part` keeps the bytes that came. A server that has
    another version by now, or cannot send parts, sends the whole file; then `part` starts again.
    """
    state, have = read_state(part, url), count_bytes(part, url)
    if have and have == state["total"]:
        return False
    headers = ask_from(have, state.get("validator"))
    with web.sorted_failures(), client.stream("GET", url, headers=headers, follow_redirects=True) as answer:
        validator, total = find_validator(answer), find_total(answer)
        if answer.status_code == 416:  # no bytes after these: `part` is complete, or of another version
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                return False
            begin_anew(part)
            raise web.PassingError("what came before is no part of what the server has now")
        web.check_status(answer)
        if size is not None and total not in (None, size):
            raise ValueError(f"{url}: the server has {total} bytes, not {size} as the config says")
        if answer.status_code != 206:
            have = 0
            begin_anew(part)
            files.write_json(state_path(part), {"url": url, "validator": validator, "total": total})
        elif not continues(answer, have, state):
            begin_anew(part)
            raise web.PassingError("the server sent another part than was asked for")
        save(answer, part, have, size if total is None else total)
    return have == 0


def ask_from(have: int, validator: str | None) -> dict[str, str]:
    """Headers that ask for the bytes after the first `have`, or for the whole file if its version changed."""
    if not have:
        return {}
    return {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})


def save(answer: httpx2.Response, part: Path, have: int, total: int | None) -> None:
    """Append the answer to `part`, which has `have` bytes, and show the progress."""
    name = part.name.strip(".").removesuffix(".part")
    with (
        open(part, "ab") as file,
        Progress(desc=name, total=total, initial=have, unit="B", unit_scale=True) as progress,
    ):
        for block in answer.iter_raw():
            have += len(block)
            file.write(block)
            progress.update(len(block))
            if total is not None and have > total:
                raise ValueError(f"{answer.url}: more than the {total} bytes that were promised come")
            if have == total:
                return
    if total is not None:
        raise web.PassingError(f"{have} of {total} bytes came")


def continues(answer: httpx2.Response, have: int, state: dict[str, Any]) -> bool:
    """Whether a partial answer continues at byte `have` of the version that `state` describes."""
    return (
        answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        and (state["total"] is None or find_total(answer) in (None, state["total"]))
        and find_validator(answer) in (None, state["validator"])
    )


def find_total(answer: httpx2.Response) -> int | None:
    """Size of the whole file in bytes, if the answer gives it."""
    whole = answer.headers.get("Content-Length", "")
    total = answer.headers.get("Content-Range", "").rpartition("/")[2] if answer.status_code == 206 else whole
    return int(total) if total.isascii() and total.isdigit() else None


def find_validator(answer: httpx2.Response) -> str | None:
    """The name of the file's version: a strong ETag, or else the time of its last change."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def read_state(part: Path, url: str) -> dict[str, Any]:
    """`url`, `validator` and `total` (bytes) of the file that `part` is of; empty if that is not `url`."""
    try:
        state = json.loads(state_path(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return state if state["url"] == url else {}


def count_bytes(part: Path, url: str) -> int:
    """How many bytes of the file at `url` are in `part`."""
    return part.stat().st_size if part.exists() and read_state(part, url) else 0


def begin_anew(part: Path) -> None:
    state_path(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)
