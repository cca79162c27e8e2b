"""Forced alignment by the web service WebMAUS, of the Bavarian Archive for Speech Signals.

There are three kinds of failure:

- Passing: no connection, a time-out, HTTP 408, 425, 429 and 5xx, an answer that is not the XML document, one
  without success or without a link, a TextGrid that is broken, has no MAU tier or no phones. The request is
  tried again, after waits that double.
- Permanent, of one recording: a message of the service that names a fault of the input, another HTTP 4xx, or
  a failure that did not pass in `tries` tries of each of MAX_RUNS runs. The reason is recorded and the
  recording is not tried again.
- Of the service or the way it is called: an invalid address, a certificate that is not trusted, HTTP 3xx,
  401, 403, 404, 405 and 410, another 4xx from the load indicator, many recordings in a row without an
  alignment, or a day without an answer. The job ends, and finished alignments are kept. The failed tries
  before that do not count against the recordings.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tenacity

from convexprune.alignment.aligner import AlignmentError, Segment, UnansweredError
from convexprune.alignment.answers import FAILURES, write_durably
from convexprune.alignment.service import ServiceError, WebMaus
from convexprune.alignment.textgrids import read_phones_tier
from convexprune.data.corpus import SAMPLING_RATE
from convexprune.jobs import web

MAX_FAILURES_IN_A_ROW = 20
MAX_RUNS = 3  # runs in which all tries of a recording fail before it is given up
LINK_TRIES = 3  # failed downloads before a link is given up
LINK_SECONDS = 23 * 3600  # a link lives for 24 hours

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class MausAligner(WebMaus):
    """Aligns with the web service, one request at a time, and is patient with it.

    A recording gets `tries` tries a run; the waits between them double from `first_wait` to `longest_wait`
    seconds. If the service is down or at full load, the aligner waits up to `patience` seconds. Once the
    service is ready, its load is not checked again for `load_seconds` seconds, or until a request fails.
    """

    tries: int = 10
    first_wait: float = 2
    longest_wait: float = 60
    patience: float = 24 * 3600
    load_seconds: float = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        self.identity = {"aligner": "maus", "url": self.url, "language": self.language}
        self.failed_in_a_row: list[tuple[Path, list[str]]] = []  # each record, and its content before
        self.misses: Counter[str] = Counter()  # failed downloads of each link
        self.ready_until = 0.0  # on the clock time.monotonic

    def knows(self, word: str) -> bool:
        """The service pronounces any word."""
        return True

    def ask(self, samples: np.ndarray, word: str, request: Path) -> str:
        """The TextGrid of `word` in `samples`; `request` remembers its link between POST and GET."""
        record = self.store / "unanswered" / request.name
        reasons = read_reasons(record)
        if len(reasons) >= MAX_RUNS:
            raise UnansweredError(reasons[-1])
        try:
            answer = self._try(samples, word, request)
        except ServiceError:
            self._pardon()
            raise
        except AlignmentError as error:
            self.failed_in_a_row.append((record, reasons))
            if isinstance(error, UnansweredError):
                write_reasons(record, [*reasons, str(error)])
            if len(self.failed_in_a_row) >= MAX_FAILURES_IN_A_ROW:
                self._pardon()
                raise ServiceError(
                    f"WebMAUS gave no alignment of {MAX_FAILURES_IN_A_ROW} recordings in a row, of the last "
                    f"one because: {error}. What was aligned is kept; look into it, then run again. The "
                    f"recordings that it refused for good are in {self.store / FAILURES}: delete it to have "
                    "them tried again"
                ) from error
            raise
        self.failed_in_a_row.clear()
        write_reasons(record, [])
        return answer

    def _pardon(self) -> None:
        """Take back the failures in a row: the service was at fault, not the recordings."""
        for record, reasons in self.failed_in_a_row:
            write_reasons(record, reasons)
        self.failed_in_a_row.clear()

    def _try(self, samples: np.ndarray, word: str, request: Path) -> str:
        stop, tell = tenacity.stop_after_attempt(self.tries), log_wait(word, logging.INFO)
        try:
            for attempt in web.attempts(self.first_wait, self.longest_wait, stop, tell):
                with attempt:
                    self._wait_until_ready()
                    try:
                        link = read_link(request) or self._submit(samples, word, request)
                        return self._fetch(link, samples, request)
                    except web.PassingError:
                        self.ready_until = 0
                        raise
        except web.PassingError as error:
            raise UnansweredError(f"WebMAUS: {self.tries} tries, the last one: {error}") from error
        raise AssertionError("the last attempt returns or raises")

    def _wait_until_ready(self) -> None:
        """Wait until the service answers and is not at full load."""
        if time.monotonic() < self.ready_until:
            return
        stop = tenacity.stop_after_delay(self.patience)
        try:
            for attempt in web.attempts(
                self.first_wait, self.longest_wait, stop, log_wait(self.url, logging.WARNING)
            ):
                with attempt:
                    self.check_load()
        except web.PassingError as error:
            remedy = "What was aligned is kept; wait until it is back"
            raise ServiceError(f"{self.url}: {error}. {remedy}") from error
        except AlignmentError as error:  # no recording was sent, so none is at fault
            raise ServiceError(f"{self.url}: its load: {error}; check maus.url in the config") from error
        self.ready_until = time.monotonic() + self.load_seconds

    def _submit(self, samples: np.ndarray, word: str, request: Path) -> str:
        """POST the recording; return the link to its TextGrid and save it in `request`."""
        # A new name each time: the service names the result after the upload, and may still be working on a
        # try that timed out.
        link = self.submit(samples, word, f"{request.name[:16]}-{secrets.token_hex(4)}")
        write_durably(request, f"{time.time():.0f} {link}")
        return link

    def _fetch(self, link: str, samples: np.ndarray, request: Path) -> str:
        """GET the TextGrid. The next try POSTs if the link is gone, keeps failing or gives a broken one."""
        try:
            answer = self.call(link)
            self.parse(answer, samples)
        except (AlignmentError, ServiceError) as error:
            request.unlink(missing_ok=True)
            raise web.PassingError(str(error)) from error
        except web.PassingError:
            self.misses[link] += 1
            if self.misses[link] == LINK_TRIES:
                request.unlink(missing_ok=True)
            raise
        return answer

    def parse(self, answer: str, samples: np.ndarray) -> list[Segment]:
        """The phones in the tier MAU of a TextGrid, without silence, noise and parts after the end."""
        segments = [
            Segment(label, round(start * SAMPLING_RATE), min(round(end * SAMPLING_RATE), len(samples)))
            for start, end, label in read_phones_tier(answer, len(samples) / SAMPLING_RATE)
        ]
        if not (segments := [segment for segment in segments if segment.start < segment.end]):
            raise AlignmentError("the phones lie behind the end of the recording")
        return segments


def log_wait(name: str, level: int) -> Callable[[tenacity.RetryCallState], None]:
    """A function that logs why and when `name` is tried again."""
    said = "%s: %s; again in %.0f s"
    return lambda state: log.log(level, said, name, web.failure(state), state.upcoming_sleep)


def read_link(request: Path) -> str | None:
    """The link that an interrupted request got, unless it is too old."""
    try:
        seconds, link = request.read_text("utf-8").split(" ", 1)
    except FileNotFoundError:
        return None
    return link if time.time() - float(seconds) < LINK_SECONDS else None


def read_reasons(record: Path) -> list[str]:
    """The reason why a recording got no answer, for each run so far without one."""
    try:
        return record.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []


def write_reasons(record: Path, reasons: list[str]) -> None:
    if reasons:
        write_durably(record, "\n".join(" ".join(reason.split()) for reason in reasons))
    else:
        record.unlink(missing_ok=True)
