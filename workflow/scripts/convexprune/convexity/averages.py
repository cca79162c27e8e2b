"""The two means of convexity, over pairs and over classes, and their columns in its tables."""

from __future__ import annotations

from typing import NamedTuple


class Columns(NamedTuple):
    score: str
    stderr: str
    chance: str


COLUMNS = {
    "pair": Columns("score", "stderr", "chance"),
    "class": Columns("class_score", "class_stderr", "class_chance"),
}
ACROSS = {"pair": "across_score", "class": "class_across_score"}  # over pairs of different groups alone
