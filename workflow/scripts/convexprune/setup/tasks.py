"""The choice of tasks for a user's recordings, and of the way to draw their splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convexprune.data.corpus import SPLITS
from convexprune.jobs.messages import named
from convexprune.setup.findings import MIN_SPEAKER_FILES, Survey

SPEAKERS = "speakers"  # the task whose classes are speakers


def read_tasks(given: str, labels: Iterable[str], *, speakers: bool = True) -> list[str]:
    """The tasks that `given` names, with commas between them: datasets of `labels`, in their order, then
    perhaps `speakers`.
    """
    known = [*labels, *([SPEAKERS] if speakers else [])]
    names = [name.strip() for name in given.split(",")] if given else []
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"--tasks {given}: there is no task {unknown[0]!r}; there are {', '.join(known)}")
    return [task for task in known if task in names]


def choose_tasks(found: Survey, asked: Sequence[str], *, unseen_speakers: bool = False) -> None:
    """Set the tasks of `found`, and whether splits are drawn by speaker.

    The tasks are those `asked` for; if none is, all that the recordings are enough for. Splits are drawn by
    speaker if there are three speakers or more, unless the tasks can then not be learned. `unseen_speakers`
    has them drawn so in any case, and puts them into the table.

    Raises ValueError if the recordings are not enough for the task speakers, or for `unseen_speakers`.
    """
    labels = [task for task in asked if task != SPEAKERS] if asked else list(found.labels)
    if unseen_speakers:
        check_unseen(found)
    if unseen_speakers and not labels:
        found.tasks, found.split_by = list(found.labels), "speaker"
    else:
        choose_labels(found, labels, bool(asked), unseen_speakers)
    if unseen_speakers:
        found.table["split"], found.by_speaker = found.splits, True
    if not labels:
        found.tasks = []
    frequent = len(found.frequent_speakers)
    if SPEAKERS in asked and frequent < 2:
        raise ValueError(f"--tasks: {tell_frequent(found, frequent)}; the task speakers needs two")
    if SPEAKERS in asked or (not asked and frequent > 1):
        found.tasks = [*found.tasks, SPEAKERS]
    elif found.has_speakers and frequent < 2:
        found.problems.append(f"{tell_frequent(found, frequent)}: too few for the task speakers")


def check_unseen(found: Survey) -> None:
    """Raise ValueError if splits of `found` cannot be drawn by speaker and put into its table."""
    option, source = "--unseen-speakers", found.source
    if found.bad:
        raise ValueError(f"{option}: {source} has {found.bad}; correct them first")
    if not found.has_speakers:
        raise ValueError(
            f"{option}: the speakers of {source} are unknown: name them by folders (label/speaker/file.wav), "
            "file names (--pattern) or the column speaker of a CSV"
        )
    if "split" in found.table:
        raise ValueError(
            f"{option}: {source} has splits already; leave the option out to use them, or give the "
            "recordings without splits"
        )
    if (speakers := found.table["speaker"].nunique()) < len(SPLITS):
        raise ValueError(
            f"{option}: {source}: there are {speakers} speakers; train, validation and test need one each"
        )


def choose_labels(found: Survey, labels: Sequence[str], asked: bool, unseen_speakers: bool) -> None:
    """Set the tasks of `found` among the datasets `labels`, and whether splits are drawn by speaker.

    If no way to draw the splits serves all that are `asked` for, or any, they are set all the same, and
    `check` says what is wrong.
    """
    drawn = "split" not in found.table
    several = found.has_speakers and found.table["speaker"].nunique() >= len(SPLITS)
    ways = ["speaker", None] if drawn and several and labels else [None]
    by_speaker = ""  # why splits by speaker do not serve
    for way in ["speaker"] if unseen_speakers else ways:
        found.split_by = way
        reasons = leave_out(found, labels)
        if found.tasks and not (asked and reasons):
            found.problems += [
                f"column {found.labels[name]}: {reason}: no task unless --tasks asks for {name}"
                for name, reason in reasons.items()
            ]
            break
        if way:
            by_speaker = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    else:
        found.tasks = list(labels)
    if drawn and labels and found.has_speakers and not found.split_by:
        why = f"({by_speaker})" if by_speaker else "(that takes three)"
        found.problems.append(
            f"splits cannot be drawn by speaker {why}: they are drawn by recording, and a speaker may be in "
            "train and test"
        )


def leave_out(found: Survey, names: Sequence[str]) -> dict[str, str]:
    """Set the tasks of `found` to those of `names` that its splits serve; return the others with reasons.

    Splits are spread over the labels of all tasks, so they are drawn again whenever one is left out.
    """
    found.tasks, reasons = list(names), {}
    while unserved := {name: reason for name in found.tasks if (reason := why_unserved(found, name))}:
        name = [*unserved][-1]
        reasons[name] = unserved[name]
        found.tasks = [task for task in found.tasks if task != name]
    return dict(reversed(reasons.items()))


def why_unserved(found: Survey, name: str) -> str:
    """Why the splits of `found` do not serve the dataset `name`; empty if they do."""
    counts = found.count_classes(name)
    if untrained := counts.index[counts["train"] == 0].tolist():
        return f"train has no {named(untrained)}"
    if few := [split for split in SPLITS if (counts[split] > 0).sum() < 2]:
        return f"{' and '.join(few)} would have fewer than 2 of its classes"
    if (counts["validation"] < 2).all():
        return "every class has fewer than 2 recordings in the split validation"
    return ""


def tell_frequent(found: Survey, frequent: int) -> str:
    """How many speakers have enough training recordings, and what would help."""
    told = f"{frequent} speakers of {found.source} are known to have more than {MIN_SPEAKER_FILES} training "
    told += "recordings"
    if found.split_by:
        kept = found.table["speaker"].value_counts() * (1 - 2 * found.share)
        if (kept > MIN_SPEAKER_FILES).sum() > 1:
            told += " if splits are drawn by speaker (--tasks speakers, alone, has them drawn by recording)"
    return told
