"""Requests to the web service WebMAUS Basic.

Protocol (https://clarin.phonetik.uni-muenchen.de/BASWebServices): a multipart POST of the recording and its
text to `runMAUSBasic`; the answer is an XML document with a link; a GET of the link gives a Praat TextGrid.
`getLoadIndicator` answers 0, 1 or 2; at 2 no calls are made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from convexprune.alignment.aligner import AlignmentError
from convexprune.data.corpus import encode_wav
from convexprune.jobs import locks, web

FULL_LOAD = 2
MAX_ANSWER_BYTES = 1_000_000
FATAL_STATUS = {401, 403, 404, 405, 410}
# Messages about faults of the input, which no second try can mend. Others may be about the service.
PERMANENT = re.compile(
    r"too short|too long|no speech|unsupported|not supported|unknown (word|language)"
    r"|invalid (language|text|signal)|(signal|text|audio|file) is empty|empty (signal|text|audio)"
    r"|sampl(e|ing) rate",
    re.IGNORECASE,
)


class ServiceError(ConnectionError):
    """The service cannot be used; the message says what to do."""


@dataclass(kw_only=True)
class WebMaus:
    """The service at `url` for one `language` (its code there). `contact` is the e-mail address sent to it.

    All processes that share the folder `store` together have at most `max_requests` open requests, each for
    at most `timeout` seconds. A call raises PassingError, ServiceError, or AlignmentError if the service
    finds fault with the recording.
    """

    url: str
    language: str
    contact: str
    max_requests: int
    timeout: float
    store: Path

    def __post_init__(self) -> None:
        if not self.contact:
            raise ValueError(
                "aligner maus sends the recordings to a web service: read its terms of use "
                "(workflow/README.md), then set maus.accept_terms: true and your e-mail address as "
                "maus.contact in the config"
            )
        if not re.fullmatch(r"[ -~]+@[ -~]+", self.contact):
            raise ValueError(
                f"maus.contact: {self.contact!r}: must be an e-mail address, on one line and without accents"
            )
        self.url = self.url.rstrip("/")
        self.client = web.open_client(self.contact, self.timeout)

    def check_load(self) -> None:
        """Raise PassingError if the service is at full load, or does not report its load."""
        load = self.call(f"{self.url}/getLoadIndicator")
        digit = re.fullmatch(r"\D*(\d)\D*", load)
        if not digit:
            raise web.PassingError(f"its load indicator is {load[:80]!r}")
        if int(digit[1]) >= FULL_LOAD:
            raise web.PassingError("it is at full load")

    def submit(self, samples: np.ndarray, word: str, name: str) -> str:
        """POST a recording under the name `name`; return the link to its TextGrid."""
        answer = self.call(
            f"{self.url}/runMAUSBasic",
            files={"SIGNAL": (f"{name}.wav", encode_wav(samples)), "TEXT": (f"{name}.txt", word.encode())},
            data={"LANGUAGE": self.language, "OUTFORMAT": "TextGrid"},
        )
        return parse_answer(answer)

    def call(self, url: str, **content: Any) -> str:
        """The text at `url` (GET, or POST of `content`)."""
        ask = self.client.stream("POST" if content else "GET", url, follow_redirects=not content, **content)
        try:
            with self._slot(), web.sorted_failures():
                deadline = time.monotonic() + self.timeout
                with ask as answer:
                    web.check_status(answer)
                    return web.read_text(answer, deadline, MAX_ANSWER_BYTES)
        except web.PassingError as error:
            raise web.PassingError(f"{url}: {error}", error.wait) from error
        except web.RefusedError as error:
            if error.status is None or error.status in FATAL_STATUS or error.status < 400:
                raise ServiceError(f"{url}: {error}; check maus.url in the config") from error
            raise AlignmentError(f"WebMAUS: {error}") from error

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Hold one of the `max_requests` places for a request."""
        places = [self.store / f"slot-{number}" for number in range(self.max_requests)]
        while (lock := next(filter(None, map(locks.take, places)), None)) is None:
            time.sleep(0.05)
        try:
            yield
        finally:
            lock.release()


def parse_answer(text: str) -> str:
    """The link in the answer to a POST. Raises PassingError, or AlignmentError for a permanent failure."""
    if "<!DOCTYPE" in text:  # it may define entities that expand without end; expat before 2.4.1 would do so
        raise web.PassingError(f"the answer is no plain XML: {text[:80]!r}")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise web.PassingError(f"the answer is no XML ({error}): {text[:80]!r}") from error
    if (root.findtext("success") or "").strip().lower() == "true":
        link = (root.findtext("downloadLink") or "").strip()
        if not link.startswith(("https://", "http://")):
            raise web.PassingError(f"success without a link: {link[:80]!r}")
        return link
    message = " ".join(" ".join(root.findtext(name) or "" for name in ("output", "warnings")).split())
    if PERMANENT.search(message):
        raise AlignmentError(f"WebMAUS: {message}")
    raise web.PassingError(f"no success: {message or text[:80]}")
