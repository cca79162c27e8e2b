"""The findings on a user's recordings: their splits and tasks, their problems, and all of it as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from convexprune.data.corpus import SAMPLING_RATE, SPLITS
from convexprune.data.splits import draw_by_group, draw_splits
from convexprune.jobs.messages import indented, named

TASKS = ("words", "speakers")
CLIP = 1  # seconds: the default of clips.seconds
MIN_LABEL_FILES = 5  # fewer cannot be spread over train, validation and test
SEED = 0  # of the splits that init or the run draws
MIN_SPEAKER_FILES = 20  # a speaker must have more training recordings than this


@dataclass
class Survey:
    """The findings on a user's recordings.

    Attributes:
        source: the folder or CSV.
        table: one row for each usable recording: path, word, perhaps speaker and split, rate (Hz), channels,
            seconds.
        layout: the layout of the folders; empty for a CSV.
        speakers_from: where the speakers' names come from; empty if speakers are unknown.
        drawn: the splits that were drawn with SEED; the others are as given.
        by_speaker: whether the splits were drawn by speaker.
        tasks: what models will be fine-tuned for.
        bad: how many rows of a CSV are bad, and the first of them; the run will refuse them.
        problems: sentences that the user should read.
    """

    source: Path
    table: pd.DataFrame
    layout: str = ""
    speakers_from: str = ""
    drawn: Sequence[str] = ()
    by_speaker: bool = False
    tasks: Sequence[str] = ()
    bad: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def has_speakers(self) -> bool:
        return "speaker" in self.table

    @property
    def share(self) -> float:
        """Share of the recordings held out for each of validation and test, if no split is given."""
        smallest = self.table["word"].value_counts().min()
        return 0.1 if len(self.table) >= 2000 and smallest >= 20 else 0.2

    @property
    def splits(self) -> pd.Series:
        """The split of each recording, as given or as the run will draw it."""
        if "split" in self.table:
            return self.table["split"]
        drawn = draw_splits(self.table[["word"]], self.share, self.share, SEED)
        return pd.Series(drawn, index=self.table.index)

    def count(self, split: str) -> int:
        """Recordings of `split`, as given or as the run will draw them."""
        return int((self.splits == split).sum())

    @property
    def frequent_speakers(self) -> pd.Series:
        """Training recordings of each speaker who has more than MIN_SPEAKER_FILES."""
        if not self.has_speakers:
            return pd.Series(dtype=int)
        counts = self.table["speaker"][self.splits == "train"].value_counts()
        return counts[counts > MIN_SPEAKER_FILES]


def draw_unseen(found: Survey) -> None:
    """Draw the splits of `found` by speaker, so that validation and test hold voices that train lacks.

    Raises ValueError if the speakers are unknown or fewer than three, if there are splits already, or if rows
    of a CSV are bad.
    """
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
    words, speakers = found.table[["word"]], found.table["speaker"]
    try:
        found.table["split"] = draw_by_group(words, speakers, found.share, found.share, SEED)
    except ValueError as error:
        raise ValueError(f"{option}: {source}: {error}") from error
    found.by_speaker = True


def choose_tasks(found: Survey, asked: Sequence[str]) -> list[str]:
    """The tasks that are `asked` for; if none is, all that the recordings are enough for.

    Raises ValueError if the recordings are not enough for the task speakers.
    """
    frequent = len(found.frequent_speakers)
    if "speakers" in asked and frequent < 2:
        raise ValueError(
            f"--tasks: {frequent} speakers of {found.source} are known to have more than {MIN_SPEAKER_FILES} "
            "training recordings; the task speakers needs two"
        )
    return list(asked) or [*TASKS[:1], *(TASKS[1:] if frequent > 1 else [])]


def check(found: Survey) -> None:
    """Add to the problems of `found` those of the recordings as a whole.

    Raises ValueError if there are fewer than two labels, or if convexity can be measured for none; bad rows
    come first, since they may be why.
    """
    table = found.table
    cause = f"{found.bad}; without them " if found.bad else ""
    if table["word"].nunique() < 2:
        raise ValueError(
            f"{found.source}: {cause}{len(table)} usable recordings of {table['word'].nunique()} labels; at "
            "least 2 labels are needed" + indented(found.problems)
        )
    if found.bad:
        found.problems.insert(0, f"{found.bad}; the run will refuse them")
    counts = pd.crosstab(table["word"], found.splits).reindex(columns=SPLITS, fill_value=0)
    if alone := counts.index[counts["validation"] < 2].tolist():
        reason = "fewer than 2 recordings in the split validation, which convexity is measured on"
        if len(alone) == len(counts):
            raise ValueError(
                f"{found.source}: {cause}every label has {reason}; give more, 10 of a label at least"
                + indented(found.problems)
            )
        found.problems.append(f"{len(alone)} of {len(counts)} labels have {reason}: {named(alone)}")
    if unknown := counts.index[counts["train"] == 0].tolist():
        found.problems.append(
            f"{len(unknown)} labels have no recordings in the split train, which the run will refuse: "
            f"{named(unknown)}"
        )
    if long := int((table["seconds"] > CLIP).sum()):
        found.problems.append(
            f"{long} of {len(table)} recordings are longer than {CLIP} s: only the first {CLIP} s is used, "
            "unless you raise clips.seconds"
        )
    if slow := int((table["rate"] < SAMPLING_RATE).sum()):
        found.problems.append(
            f"{slow} recordings are sampled below {SAMPLING_RATE} Hz: models that know wide-band speech hear "
            "less in them"
        )
    if "split" in table:
        labels = table.groupby("split")["word"].nunique().reindex(SPLITS, fill_value=0)
        found.problems += [
            f"the split {split} has {count} labels: the run will refuse that, two are needed"
            for split, count in labels.items()
            if count < 2
        ]
    if found.count("validation") < 200:
        found.problems.append(
            f"about {found.count('validation')} recordings to measure convexity on: scores will be uncertain "
            "(their standard errors say how much)"
        )
    if found.has_speakers and (frequent := len(found.frequent_speakers)) < 2:
        found.problems.append(
            f"{frequent} speakers have more than {MIN_SPEAKER_FILES} training recordings: "
            "too few for the task speakers"
        )
    if found.has_speakers and "split" not in table:
        found.problems.append(
            "no split is given: a speaker may be in train and test; --unseen-speakers keeps speakers apart"
        )


def describe(found: Survey) -> str:
    """The findings as text for a terminal."""
    table = found.table
    seconds = table["seconds"]
    rates = ", ".join(f"{rate} Hz ({count})" for rate, count in table["rate"].value_counts().items())
    speakers = (
        f"{table['speaker'].nunique()} (from {found.speakers_from})" if found.has_speakers else "unknown"
    )
    drawn = "as given" if "split" in table else "to be drawn by seed"
    if found.by_speaker:
        groups = table.groupby("split")["speaker"].nunique().reindex(SPLITS, fill_value=0)
        drawn = f"drawn by seed: {', '.join(map(str, groups))} speakers"
    if found.drawn:
        drawn += f"; {' and '.join(found.drawn)} drawn from train by seed"
    lines = [
        str(found.source),
        *([f"  layout        {found.layout}"] if found.layout else []),
        f"  files         {len(table)}, {seconds.sum() / 3600:.2f} hours, {channels(table)}",
        f"  labels        {table['word'].nunique()}: {classes(table['word'])}",
        f"  speakers      {speakers}",
        f"  sample rates  {rates}",
        f"  durations     {seconds.min():.2f} to {seconds.max():.2f} s, median {seconds.median():.2f} s",
        f"  splits        {', '.join(f'{split} {found.count(split)}' for split in SPLITS)} ({drawn})",
        f"  tasks         {', '.join(found.tasks)}",
        *(["  problems"] + [f"    - {problem}" for problem in found.problems] if found.problems else []),
    ]
    return "\n".join(lines)


def channels(table: pd.DataFrame) -> str:
    several = int((table["channels"] > 1).sum())
    return f"{several} of several channels (averaged)" if several else "one channel"


def classes(words: pd.Series) -> str:
    """The most and the least frequent labels with their counts."""
    counts = [f"{word} {count}" for word, count in words.value_counts().items()]
    return ", ".join(counts) if len(counts) <= 8 else f"{', '.join(counts[:4])}, ... {', '.join(counts[-3:])}"
