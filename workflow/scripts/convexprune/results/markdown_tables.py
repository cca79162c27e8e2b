"""Markdown that also reads well in a terminal of WIDTH columns: tables aligned, sentences filled."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from markdown import markdown
from tabulate import tabulate  # the usual library for it

SIDES = {"l": "left", "r": "right"}
WIDTH = 98


def render(headings: Sequence[str], rows: Sequence[Sequence[Any]], sides: str = "l") -> str:
    """The table, its cells shown as they are (`literal`). `sides` aligns its columns; the rest go right."""
    columns = [SIDES[side] for side in sides.ljust(len(headings), "r")]
    cells = [[literal(str(cell)) for cell in row] for row in rows]
    return tabulate(cells, headings, "pipe", colalign=columns, disable_numparse=True)


def narrow(table: str) -> list[str]:
    """The lines of a rendered table without its bars, each at most WIDTH columns: what a terminal shows."""
    headings, sides, *rows = (
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()
    )
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    pads = [str.ljust if side.startswith(":") else str.rjust for side in sides]
    lines = [
        "  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)).rstrip()
        for row in (headings, ["-" * width for width in widths], *rows)
    ]
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines]


def literal(text: str) -> str:
    """Text on one line that Markdown shows as it is: escaped if any of it would be markup."""
    text = " ".join(text.split())
    if "|" not in text and markdown(text) == (f"<p>{html.escape(text, quote=False)}</p>" if text else ""):
        return text
    text = re.sub(r"[\\`*_{}\[\]()#+\-.!|]", r"\\\g<0>", text)
    return re.sub("[<>&]", lambda mark: html.escape(mark[0]), text)


def fill(text: str, indent: str = "") -> str:
    """Text in lines of at most WIDTH columns, the second and later ones indented. No word is broken."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def item(text: str) -> str:
    """An item of a list."""
    return fill(f"- {text}", indent="  ")
