"""What jobs left of which Snakemake did not see the end: deleted before a run goes on.

Snakemake marks the outputs of a job while it runs. After a kill, `--rerun-incomplete` runs those jobs again
whose marks it finds, but it looks before the checkpoint is evaluated: what lies behind it, above all
training, would pass for finished, without the record by which a later edit of the config runs it again.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from pathlib import Path

MARKS = Path(".snakemake/incomplete")


def discard(folder: Path) -> list[Path]:
    """Delete the marked outputs in the workflow's `folder`, and the marks; the outputs, relative to it.

    Only while neither Snakemake nor a job of it runs there.
    """
    discarded = []
    for mark in sorted((folder / MARKS).rglob("*")):
        if not mark.is_file():
            continue
        # The path in base64, cut where a file name would be too long: folders @..., and the rest.
        encoded = "".join(part.removeprefix("@") for part in mark.relative_to(folder / MARKS).parts)
        output = Path(urlsafe_b64decode(encoded).decode())
        if (folder / output).is_file():
            (folder / output).unlink()
            discarded.append(output)
        mark.unlink()
    return discarded
