"""Progress of a long piece of work: a bar on the terminal, and a line now and then in the log."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from convexprune.jobs import locks

if TYPE_CHECKING:
    from filelock import BaseFileLock

EVERY = 30  # seconds between two lines in the log
SMOOTHING = 0.02  # the weight of the newest step in the rate, so that the time left is that of some 50 steps
LINE = "{n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left"

log = logging.getLogger(__name__)


class Progress(tqdm):
    """tqdm for jobs that share a terminal and each have a log. It takes tqdm's arguments.

    All processes together show one bar at a time; the next one appears when it is done. A bar fills the whole
    line, so that the next output of Snakemake or another job starts on a new line. The log gets a line every
    EVERY seconds, with or without a terminal.
    """

    def __init__(self, iterable: Iterable[Any] | None = None, **options: Any) -> None:
        self.terminal: BaseFileLock | None = None
        self.told = time.monotonic()
        shown = {"file": sys.stderr, "leave": False, "dynamic_ncols": True, "smoothing": SMOOTHING}
        super().__init__(iterable, **shown | options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show the progress, or `msg` if given. tqdm calls this at most ten times a second."""
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
            self.terminal.release()
            self.terminal = None


def claim_terminal() -> BaseFileLock | None:
    """The lock of the terminal at stderr; None if stderr is no terminal or another bar has the lock."""
    try:
        return locks.take(locks.make_path(os.ttyname(sys.stderr.fileno())))
    except (OSError, ValueError, AttributeError):  # Windows has no names for terminals
        return None
