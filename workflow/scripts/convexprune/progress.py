"""How far a long piece of work is: a bar on the terminal, and a line now and then in the log."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

EVERY = 30  # seconds between two lines in the log
LINE = "{n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left"

log = logging.getLogger(__name__)


class Progress(tqdm):
    """tqdm for jobs that share a terminal, each of which also has a log. It takes tqdm's arguments.

    One bar at a time is on the terminal, whichever process draws it: the next one appears when it is done. A
    bar fills the line, so that what Snakemake or another job prints next starts on a line of its own.
    The log gets a line every EVERY seconds, terminal or not.
    """

    def __init__(self, iterable: Iterable[Any] | None = None, **options: Any) -> None:
        self.terminal: int | None = None
        self.told = time.monotonic()
        super().__init__(iterable, **{"file": sys.stderr, "leave": False, "dynamic_ncols": True} | options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Tell how far it is; what tqdm calls ten times a second at most. `msg`, if any, is drawn instead."""
        if msg is None and time.monotonic() - self.told >= EVERY:
            self.told = time.monotonic()
            line = self.format_meter(**self.format_dict | {"bar_format": LINE, "ncols": None})
            log.info("%s: %s", self.desc.removesuffix(": "), line)
        if self.terminal is None and self.n > self.initial:
            self.terminal = claim_terminal()
        # tqdm leaves the last column free.
        return self.terminal is not None and super().display(f"{self} " if msg is None else msg, 0)

    def close(self) -> None:
        """Take the bar away and let another process draw."""
        super().close()
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None


def claim_terminal() -> int | None:
    """The terminal at stderr, locked (to be closed); None if stderr is none or another bar has the lock."""
    try:
        terminal = os.open(os.ttyname(sys.stderr.fileno()), os.O_WRONLY | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    try:
        fcntl.flock(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(terminal)
        return None
    return terminal
