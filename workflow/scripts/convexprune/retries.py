"""When to ask a server again."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Iterator
from datetime import UTC


def waits(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait, for ever: doubling from `first` to `longest`, each drawn within half of it."""
    wait = first
    while True:
        yield wait * random.uniform(0.5, 1.5)
        wait = min(2 * wait, longest)


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
