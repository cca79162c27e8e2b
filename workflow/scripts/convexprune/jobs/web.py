"""Requests to servers: the client, which failures may pass, and when to try again."""

from __future__ import annotations

import email.utils
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2
    import tenacity

PASSING_STATUS = {408, 425, 429}  # and 5xx
LONGEST_RETRY_AFTER = 3600  # seconds that a server may ask us to wait
MAX_REDIRECTS = 10

Kinds = type[BaseException] | tuple[type[BaseException], ...]


class PassingError(Exception):
    """A failure that may be gone at the next try. If the server asks for a pause, `wait` is its seconds."""

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


class RefusedError(Exception):
    """A failure that stays; `status` is the HTTP status, None if there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def open_client(contact: str = "", timeout: float = 60) -> httpx2.Client:
    """A client that says who asks, waits `timeout` seconds for a sign of life, and keeps no connection.

    It takes proxies from the environment and certificates from the system, and asks for uncompressed content.
    """
    import httpx2

    from convexprune import __version__

    logging.getLogger("httpx2").setLevel(logging.WARNING)  # otherwise it logs a line for each request
    return httpx2.Client(
        headers={
            "User-Agent": f"convexprune/{__version__}{contact and f' ({contact})'}",
            "Accept-Encoding": "identity",
        },
        timeout=timeout,
        limits=httpx2.Limits(max_keepalive_connections=0),
        max_redirects=MAX_REDIRECTS,
    )


@contextmanager
def sorted_failures() -> Iterator[None]:
    """Turn any HTTP failure within the block, even a wrapped one, into a PassingError or a RefusedError."""
    import httpx2

    try:
        yield
    except Exception as error:
        answers = (getattr(cause, "response", None) for cause in causes(error))
        if (response := next(filter(None, answers), None)) is not None:
            check_status(response, str(error))
        if find_cause(error, ssl.SSLCertVerificationError):
            raise RefusedError(f"{error}: the server's certificate is not trusted here") from error
        if find_cause(error, (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects)):
            raise RefusedError(str(error)) from error
        if find_cause(error, httpx2.TransportError):
            raise PassingError(str(error) or type(error).__name__) from error
        raise


def check_status(response: httpx2.Response, message: str = "") -> None:
    """Raise PassingError or RefusedError unless the status of `response` is a success."""
    if response.is_success:
        return
    message = message or f"HTTP {response.status_code} {response.reason_phrase}"
    if response.status_code in PASSING_STATUS or response.status_code >= 500:
        wait = parse_retry_after(response.headers.get("Retry-After", ""))
        raise PassingError(message, min(wait, LONGEST_RETRY_AFTER))
    raise RefusedError(message, response.status_code)


def read_text(answer: httpx2.Response, deadline: float, most: int) -> str:
    """The text of a short answer, whole.

    Raises PassingError if it is not UTF-8, has more than `most` bytes, or is still arriving at `deadline` (on
    the clock time.monotonic). The deadline is for servers that send a byte now and then.
    """
    body, late = b"", False
    for block in answer.iter_raw():
        if late:  # checked when a further block comes, so that an answer whole by then is kept
            raise PassingError("the answer took too long")
        body += block
        late = time.monotonic() > deadline
        if len(body) > most:
            raise PassingError(f"the answer is longer than {most} bytes")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PassingError(str(error)) from error


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the chain of errors that led to it."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def find_cause(error: BaseException, kinds: Kinds) -> BaseException | None:
    """The first error of `kinds` among `error` and the errors that led to it."""
    return next((cause for cause in causes(error) if isinstance(cause, kinds)), None)


def parse_retry_after(value: str) -> float:
    """Seconds, from either form of the header `Retry-After`: a number, or a date. 0 if it is neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time(), 0.0)


def attempts(
    first_wait: float,
    longest_wait: float,
    stop: Callable[[tenacity.RetryCallState], bool],
    tell: Callable[[tenacity.RetryCallState], Any],
) -> tenacity.Retrying:
    """Attempts until one raises no PassingError, or `stop` ends them; then the last error is raised.

    The waits between attempts double from `first_wait` to `longest_wait` seconds, and each varies at random
    by up to a quarter. They are longer if the server asks for it. `tell` is called before each wait.
    """
    import tenacity

    doubling = tenacity.wait_exponential(multiplier=first_wait, max=longest_wait)

    def wait(state: tenacity.RetryCallState) -> float:
        return max(doubling(state) * random.uniform(0.75, 1.25), failure(state).wait)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(PassingError),
        wait=wait,
        stop=stop,
        before_sleep=tell,
        reraise=True,
    )


def failure(state: tenacity.RetryCallState) -> PassingError:
    """The PassingError that ended the last attempt."""
    error = state.outcome and state.outcome.exception()
    assert isinstance(error, PassingError)
    return error
