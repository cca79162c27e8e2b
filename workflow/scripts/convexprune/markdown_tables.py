"""Markdown tables that also read well in a terminal: their columns stand under each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate  # the usual library for it

SIDES = {"l": "left", "r": "right"}


def render(headings: Sequence[str], rows: Sequence[Sequence[Any]], sides: str = "l") -> str:
    """The table, its cells as they are: a column goes left or right as `sides` says, or right."""
    columns = [SIDES[side] for side in sides.ljust(len(headings), "r")]
    return tabulate(rows, headings, "pipe", colalign=columns, disable_numparse=True)
