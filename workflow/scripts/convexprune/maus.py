"""A client of WebMAUS Basic, the forced alignment of the Bavarian Archive for Speech Signals.

Protocol (https://clarin.phonetik.uni-muenchen.de/BASWebServices): a multipart POST of the recording and its
text to `runMAUSBasic`; the answer is an XML document with a link; a GET of the link gives a Praat TextGrid.
`getLoadIndicator` answers 0, 1 or 2; at 2 no calls are made.

A failure is one of three:

- passing: no connection, a time-out, HTTP 408, 425, 429 and 5xx, an answer that is not the XML document, one
  without success or without a link, a TextGrid that is broken, has no MAU tier or no phones. It is tried
  again, after waits that double.
- permanent, of this recording: a message of the service that names a fault of the input, another HTTP 4xx,
  or a failure that did not pass in `tries` tries of each of MAX_RUNS runs. It is recorded with its reason
  and not tried again.
- of the service or the way it is called: HTTP 3xx, 401, 403, 404, 405 and 410, other 4xx of the load
  indicator, many recordings in a row without an alignment, or a day without an answer. It ends the job; what
  was aligned is kept, and the tries that led there are not held against the recordings.
"""

from __future__ import annotations

import http.client
import logging
import re
import secrets
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from convexprune import __version__
from convexprune.alignment import AlignmentError, Segment, UnansweredError
from convexprune.answers import FAILURES, LockFile, write_durably
from convexprune.corpus import SAMPLING_RATE, encode_wav
from convexprune.retries import parse_retry_after, waits

PHONES_TIER = "MAU"  # so named beside ORT and KAN (older files) and beside ORT-MAU and KAN-MAU (newer ones)
FULL_LOAD = 2
MAX_FAILURES_IN_A_ROW = 20
MAX_RUNS = 3  # in which all tries of a recording fail before it is given up
LINK_TRIES = 3  # downloads that fail before a link is given up
MAX_ANSWER_BYTES = 1_000_000
LINK_SECONDS = 23 * 3600  # a link lives for 24 hours
TOLERANCE = 0.002  # seconds between intervals that touch
MAX_RETRY_AFTER = 600  # seconds
OVERHANG = 0.02  # seconds by which the last phone may end after the recording

PASSING_STATUS = {408, 425, 429}
FATAL_STATUS = {401, 403, 404, 405, 410}
# Faults of the input that no second try can mend. Every other message may be about the service.
PERMANENT = re.compile(
    r"too short|too long|no speech|unsupported|not supported|unknown (word|language)"
    r"|invalid (language|text|signal)|(signal|text|audio|file) is empty|empty (signal|text|audio)"
    r"|sampl(e|ing) rate",
    re.IGNORECASE,
)

logger = logging.getLogger(__name__)


class PassingError(Exception):
    """A failure that may be gone at the next try, not before `wait` seconds where the service says so."""

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


class ServiceError(ConnectionError):
    """The service cannot be used; the message says what to do."""


class MausAligner:
    """Aligns with the web service at `url`, one request at a time.

    Of all processes that share the folder `store`, at most `max_requests` have a request under way.
    """

    def __init__(
        self,
        *,
        url: str,
        language: str,
        contact: str,
        max_requests: int,
        timeout: float,
        store: Path,
        tries: int = 10,
        first_wait: float = 2,
        longest_wait: float = 60,
        patience: float = 24 * 3600,
        load_seconds: float = 30,
    ) -> None:
        """`contact` is the e-mail address the service is told; `timeout`, in seconds, is for a whole request.

        A recording gets `tries` tries a run; the waits between them double from `first_wait` to
        `longest_wait` seconds. A service that is down or at full load is waited for `patience` seconds. That
        it is not at full load is believed for `load_seconds` seconds, or until a request fails.
        """
        if not contact:
            raise ValueError(
                "aligner maus sends the recordings to a web service: read its terms of use "
                "(workflow/README.md), then set maus.accept_terms: true and your e-mail address as "
                "maus.contact in the config"
            )
        if not re.fullmatch(r"[ -~]+@[ -~]+", contact):
            raise ValueError(
                f"maus.contact: {contact!r}: must be an e-mail address, on one line and without accents"
            )
        self.url, self.language = url.rstrip("/"), language
        self.identity = {"aligner": "maus", "url": self.url, "language": language}
        self.headers = {"User-Agent": f"convexprune/{__version__} ({contact})"}
        self.max_requests, self.timeout = max_requests, timeout
        self.tries, self.first_wait, self.longest_wait = tries, first_wait, longest_wait
        self.patience, self.load_seconds = patience, load_seconds
        self.slots = LockFile(Path(store) / "slots")
        self.failures = Path(store) / FAILURES
        self.unanswered = Path(store) / "unanswered"
        self.failed_in_a_row: list[tuple[Path, list[str]]] = []  # record, and what it held before
        self.misses: Counter[str] = Counter()  # downloads that failed, by link
        self.ready_until = 0.0  # on the clock time.monotonic

    def knows(self, word: str) -> bool:
        """The service pronounces any word."""
        return True

    def ask(self, samples: np.ndarray, word: str, request: Path) -> str:
        """The TextGrid of `word` in `samples`; `request` remembers its link between POST and GET."""
        record = self.unanswered / request.name
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
                    f"recordings that it refused for good are in {self.failures}: delete it to have them "
                    "tried again"
                ) from error
            raise
        self.failed_in_a_row.clear()
        write_reasons(record, [])
        return answer

    def _pardon(self) -> None:
        """Forget the failures in a row: the service was at fault, not the recordings."""
        for record, reasons in self.failed_in_a_row:
            write_reasons(record, reasons)
        self.failed_in_a_row.clear()

    def _try(self, samples: np.ndarray, word: str, request: Path) -> str:
        for attempt, wait in enumerate(waits(self.first_wait, self.longest_wait), 1):
            self._wait_until_ready()
            try:
                return self._fetch(
                    read_link(request) or self._submit(samples, word, request), samples, request
                )
            except PassingError as error:
                self.ready_until = 0
                if attempt == self.tries:
                    raise UnansweredError(f"WebMAUS: {self.tries} tries, the last one: {error}") from error
                logger.info("%s: %s; try %d of %d follows", word, error, attempt + 1, self.tries)
                time.sleep(max(wait, error.wait))
        raise AssertionError("waits never end")

    def _wait_until_ready(self) -> None:
        """Return as soon as the service answers and is not at full load."""
        start = time.monotonic()
        if start < self.ready_until:
            return
        for wait in waits(self.first_wait, self.longest_wait):
            try:
                load = self._call(f"{self.url}/getLoadIndicator")
                digit = re.fullmatch(r"\D*(\d)\D*", load)
                if digit and int(digit[1]) < FULL_LOAD:
                    self.ready_until = time.monotonic() + self.load_seconds
                    return
                reason = "it is at full load" if digit else f"its load indicator is {load[:80]!r}"
            except PassingError as error:
                reason, wait = str(error), max(wait, error.wait)
            except AlignmentError as error:  # a refusal, but no recording was sent
                raise ServiceError(
                    f"{self.url}/getLoadIndicator: {error}; check maus.url in the config"
                ) from error
            if time.monotonic() - start > self.patience:
                raise ServiceError(f"{self.url}: {reason}. What was aligned is kept; wait until it is back")
            logger.warning("waiting %.0f s for %s: %s", wait, self.url, reason)
            time.sleep(wait)

    def _submit(self, samples: np.ndarray, word: str, request: Path) -> str:
        """POST the recording; return the link to its TextGrid, which `request` now remembers."""
        # The result is named after the upload, and a try that timed out may still be under way there.
        name = f"{request.name[:16]}-{secrets.token_hex(4)}"
        boundary = secrets.token_hex(16)
        body = encode_multipart(
            boundary,
            files={"SIGNAL": (f"{name}.wav", encode_wav(samples)), "TEXT": (f"{name}.txt", word.encode())},
            fields={"LANGUAGE": self.language, "OUTFORMAT": "TextGrid"},
        )
        answer = self._call(
            f"{self.url}/runMAUSBasic", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        link = parse_answer(answer)
        write_durably(request, f"{time.time():.0f} {link}")
        return link

    def _fetch(self, link: str, samples: np.ndarray, request: Path) -> str:
        """GET the TextGrid. A new try POSTs if the link is gone, keeps failing or leads to a broken one."""
        try:
            answer = self._call(link)
            self.parse(answer, samples)
        except (AlignmentError, ServiceError) as error:
            request.unlink(missing_ok=True)
            raise PassingError(str(error)) from error
        except PassingError:
            self.misses[link] += 1
            if self.misses[link] == LINK_TRIES:
                request.unlink(missing_ok=True)
            raise
        return answer

    def _call(self, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> str:
        """The text at `url` (GET, or POST of `body`)."""
        call = urllib.request.Request(url, body, self.headers | (headers or {}))
        with self._slot():
            deadline = time.monotonic() + self.timeout
            try:
                with urllib.request.urlopen(call, timeout=self.timeout) as response:
                    return read_all(response, deadline)
            except urllib.error.HTTPError as error:
                with error:
                    raise classify(url, error) from error
            except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
                raise PassingError(f"{url}: {type(error).__name__}: {error}") from error

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Hold one of the `max_requests` places for a request."""
        while (slot := self._take_slot()) is None:
            time.sleep(0.05)
        try:
            yield
        finally:
            self.slots.release(slot)

    def _take_slot(self) -> int | None:
        return next((slot for slot in range(self.max_requests) if self.slots.take(slot, wait=False)), None)

    def parse(self, answer: str, samples: np.ndarray) -> list[Segment]:
        """The phones in the tier MAU of a TextGrid, without silence, noise and what lies behind the end."""
        segments = [
            Segment(label, round(start * SAMPLING_RATE), min(round(end * SAMPLING_RATE), len(samples)))
            for start, end, label in read_phones_tier(answer, len(samples) / SAMPLING_RATE)
        ]
        if not (segments := [segment for segment in segments if segment.start < segment.end]):
            raise AlignmentError("the phones lie behind the end of the recording")
        return segments


# The wire


def classify(url: str, error: urllib.error.HTTPError) -> Exception:
    """The failure that an HTTP status means."""
    message = f"{url}: HTTP {error.code} {error.reason}"
    if error.code in PASSING_STATUS or error.code >= 500:
        wait = parse_retry_after(error.headers.get("Retry-After", ""))
        return PassingError(message, min(wait, MAX_RETRY_AFTER))
    if error.code in FATAL_STATUS or error.code < 400:
        return ServiceError(f"{message}; check maus.url in the config")
    return AlignmentError(f"WebMAUS: HTTP {error.code} {error.reason}")


def read_all(response: http.client.HTTPResponse, deadline: float) -> str:
    """The body, whole, before `deadline`, which a server that sends a byte now and then would never meet."""
    body = b""
    while block := response.read1(1 << 16):
        body += block
        if response.length != 0 and time.monotonic() > deadline:  # what is whole is not thrown away
            raise TimeoutError("the answer took too long")
        if len(body) > MAX_ANSWER_BYTES:
            raise OSError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    if response.length:
        raise http.client.IncompleteRead(body, response.length)
    return body.decode("utf-8")


def encode_multipart(boundary: str, files: dict[str, tuple[str, bytes]], fields: dict[str, str]) -> bytes:
    """A multipart/form-data body of `files` (file name, content) and `fields`, by name."""
    parts = [
        (f'name="{name}"; filename="{filename}"\r\nContent-Type: application/octet-stream', content)
        for name, (filename, content) in files.items()
    ]
    parts += [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    return body + f"--{boundary}--\r\n".encode()


def parse_answer(text: str) -> str:
    """The link in the answer to a POST. Raises PassingError, or AlignmentError for a permanent failure."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise PassingError(f"the answer is no XML ({error}): {text[:80]!r}") from error
    if (root.findtext("success") or "").strip().lower() == "true":
        link = (root.findtext("downloadLink") or "").strip()
        if not link.startswith(("https://", "http://")):
            raise PassingError(f"success without a link: {link[:80]!r}")
        return link
    message = " ".join(" ".join(root.findtext(name) or "" for name in ("output", "warnings")).split())
    if PERMANENT.search(message):
        raise AlignmentError(f"WebMAUS: {message}")
    raise PassingError(f"no success: {message or text[:80]}")


def read_link(request: Path) -> str | None:
    """The link that an interrupted request has got, if it still leads somewhere."""
    try:
        seconds, link = request.read_text("utf-8").split(" ", 1)
    except FileNotFoundError:
        return None
    return link if time.time() - float(seconds) < LINK_SECONDS else None


def read_reasons(record: Path) -> list[str]:
    """Why a recording got no answer, for each run so far in which it got none."""
    try:
        return record.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []


def write_reasons(record: Path, reasons: list[str]) -> None:
    if reasons:
        write_durably(record, "\n".join(" ".join(reason.split()) for reason in reasons))
    else:
        record.unlink(missing_ok=True)


def read_phones_tier(text: str, duration: float) -> list[tuple[float, float, str]]:
    """(start, end, label) of the phones in a TextGrid of `duration` seconds, in seconds, in order of time.

    What is not speech is left out: silence and noise are `<p:>`, `<usb>`, `<nib>` or empty. Raises
    AlignmentError for a TextGrid that is broken, cut off or of another recording, or has no phones.
    """
    from praatio import textgrid

    with tempfile.NamedTemporaryFile("w", suffix=".TextGrid", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            grid = textgrid.openTextgrid(file.name, includeEmptyIntervals=True, reportingMode="silence")
        except Exception as error:  # of many types, as they come
            raise AlignmentError(f"the TextGrid is broken ({type(error).__name__}: {error})") from error
    if PHONES_TIER not in grid.tierNames:
        raise AlignmentError(f"the TextGrid has no tier {PHONES_TIER}, only {', '.join(grid.tierNames)}")
    intervals = [tuple(entry) for entry in grid.getTier(PHONES_TIER).entries]
    # The tier covers the recording without gaps. One that was cut off between intervals parses all the same.
    ends = [0.0, *(end for _, end, _ in intervals)]
    starts = [*(start for start, _, _ in intervals), grid.maxTimestamp]
    if any(abs(start - end) > TOLERANCE for start, end in zip(starts, ends, strict=True)):
        raise AlignmentError(f"the tier {PHONES_TIER} has gaps")
    phones = [(start, end, label.strip()) for start, end, label in intervals]
    phones = [phone for phone in phones if phone[2] and not re.fullmatch("<.*>", phone[2])]
    if not phones:
        raise AlignmentError(f"the tier {PHONES_TIER} has no phones")
    if phones[-1][1] > duration + OVERHANG:
        raise AlignmentError("the phones end after the recording: the TextGrid is of another one")
    return phones
