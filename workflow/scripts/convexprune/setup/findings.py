"""The findings on a user's recordings: their splits and tasks, their problems, and all of it as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from convexprune.convexity.planning import FEW_SPEAKERS
from convexprune.data.corpus import SAMPLING_RATE, SPLITS, find_short
from convexprune.data.splits import Drawing, draw
from convexprune.jobs.messages import indented, named
from convexprune.setup.experiment import drawing_settings

SEED = 0  # of the splits that init or the run draws
MIN_SPEAKER_FILES = 20  # a speaker must have more training recordings than this
VOICES = 3  # a split of fewer speakers hardly shows what is common to speakers
LONGEST_CLIP = 30  # seconds, the most that the schema allows


@dataclass
class Survey:
    """The findings on a user's recordings.

    Attributes:
        source: the folder or CSV.
        table: one row for each usable recording: path, labels, perhaps speaker and split.
        sounds: rate (Hz), channels and seconds of each of them.
        labels: the datasets that can be tasks, each with the column of the table that labels it.
        layout: the layout of the folders; empty for a CSV.
        speakers_from: where the speakers' names come from; empty if speakers are unknown.
        drawn: the splits that were drawn with SEED; the others are as given.
        split_by: the column by which the run draws splits; None if it draws recordings.
        by_speaker: whether the splits in the table were drawn by speaker.
        tasks: what models will be fine-tuned for.
        bad: how many rows of a CSV are bad, and the first of them; the run will refuse them.
        problems: sentences that the user should read.
    """

    source: Path
    table: pd.DataFrame
    sounds: pd.DataFrame
    labels: dict[str, str]
    layout: str = ""
    speakers_from: str = ""
    drawn: Sequence[str] = ()
    split_by: str | None = None
    by_speaker: bool = False
    tasks: Sequence[str] = ()
    bad: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def has_speakers(self) -> bool:
        return "speaker" in self.table

    @property
    def label_tasks(self) -> list[str]:
        """The tasks whose classes are those of a column of labels."""
        return [task for task in self.tasks if task in self.labels]

    @property
    def share(self) -> float:
        """Share of the recordings held out for each of validation and test, if no split is given."""
        smallest = min(self.classes(name).value_counts().min() for name in self.labels)
        return 0.1 if len(self.table) >= 2000 and smallest >= 20 else 0.2

    def classes(self, name: str) -> pd.Series:
        """The class of each recording that has one in the dataset `name`."""
        classes = self.table[self.labels[name]]
        return classes[classes != ""]

    def as_config(self) -> dict[str, Any]:
        """The part of a config that says how the run draws the splits."""
        drawing = {"split_by": self.split_by, "seed": SEED}
        shares = {f"{split}_share": self.share for split in ("validation", "test")}
        datasets = {name: {"label": self.labels[name]} for name in self.label_tasks}
        return {"corpus": {"table": drawing | shares}, "datasets": datasets, "tasks": list(datasets)}

    @property
    def splits(self) -> pd.Series:
        """The split of each recording, as given or as the run will draw it."""
        if "split" in self.table:
            return self.table["split"]
        drawing = Drawing(**drawing_settings(self.as_config()))
        known = [label for label in drawing.labels if label in self.table]
        if not known:  # neither a label nor a speaker
            return pd.Series("train", index=self.table.index)
        return pd.Series(draw(self.table, drawing), index=self.table.index, dtype=object)

    @property
    def scored_split(self) -> str:
        """The split that convexity of labels is measured on: validation, or train if that has too few voices.

        Within one voice a label can be convex at every layer, so that no layer is told from another.
        """
        few = self.has_speakers and self.count_voices("validation") < VOICES
        return "train" if few and self.count_voices("train") >= VOICES else "validation"

    def count_voices(self, split: str) -> int:
        """Speakers in `split`."""
        return int(self.table["speaker"][self.splits == split].nunique())

    def count(self, split: str, name: str = "") -> int:
        """Recordings of `split`, of all or of the dataset `name`, as given or as the run will draw them."""
        splits = self.splits[self.classes(name).index] if name else self.splits
        return int((splits == split).sum())

    def count_classes(self, name: str) -> pd.DataFrame:
        """Recordings of the dataset `name` by class and split."""
        classes = self.classes(name)
        return pd.crosstab(classes, self.splits[classes.index]).reindex(columns=SPLITS, fill_value=0)

    @property
    def frequent_speakers(self) -> pd.Series:
        """Training recordings of each speaker who has more than MIN_SPEAKER_FILES."""
        if not self.has_speakers:
            return pd.Series(dtype=int)
        counts = self.table["speaker"][self.splits == "train"].value_counts()
        return counts[counts > MIN_SPEAKER_FILES]

    @property
    def clip(self) -> float:
        """The length of a clip, in seconds: that of 95 % of the recordings, in steps of half a second."""
        return choose_clip(self.sounds["seconds"])


def choose_clip(seconds: pd.Series) -> float:
    """The length of a clip that has 95 % of recordings of `seconds` in full, in steps of half a second."""
    long = float(seconds.quantile(0.95))
    return min(LONGEST_CLIP, max(1, math.ceil(round(2 * long, 6)) / 2))


def check(found: Survey) -> None:
    """Add to the problems of `found` those of the recordings as a whole.

    Raises ValueError if there are fewer than two labels, or if convexity can be measured for none; bad rows
    come first, since they may be why.
    """
    cause = f"{found.bad}; without them " if found.bad else ""
    problems = []
    for name in found.label_tasks or [*found.labels][:1]:
        problems += check_classes(found, name, cause)
    if found.bad:
        found.problems.insert(0, f"{found.bad}; the run will refuse them")
    found.problems += problems
    sounds = found.sounds
    if long := int((sounds["seconds"] > found.clip).sum()):
        end = "raise clips.seconds for more" if found.clip < LONGEST_CLIP else "no clip may be longer"
        found.problems.append(
            f"{long} of {len(sounds)} recordings are longer than {found.clip:g} s and are cut: only the "
            f"first {found.clip:g} s is used; {end}"
        )
    found.problems += find_short(sounds["seconds"], found.clip)
    if slow := int((sounds["rate"] < SAMPLING_RATE).sum()):
        found.problems.append(
            f"{slow} recordings are sampled below {SAMPLING_RATE} Hz: models that know wide-band speech hear "
            "less in them"
        )
    if found.label_tasks and found.scored_split == "train":
        found.problems.append(
            f"the split validation has too few speakers ({found.count_voices('validation')}) to show what "
            "speakers have in common: convexity of labels is measured on the split train"
        )
    voices = found.count_voices(found.scored_split) if found.has_speakers else math.inf
    if found.label_tasks and voices < FEW_SPEAKERS:
        found.problems.append(
            f"convexity is measured on recordings of {voices} speakers, which is few: labels may be convex "
            "within a voice and not across voices; look at the convexity across speakers too (criteria.csv)"
        )
    if found.label_tasks and (scored := count_scored(found)) < 200:
        found.problems.append(
            f"about {scored} recordings to measure convexity on: scores will be uncertain "
            "(their standard errors say how much)"
        )
    if found.has_speakers and "split" in found.table and not found.by_speaker:
        sides = found.table.groupby("speaker")["split"].nunique()
        if several := sides.index[sides > 1].tolist():
            found.problems.append(
                f"{len(several)} of {len(sides)} speakers are in more than one split ({named(several)}): "
                "accuracy is not that for new speakers"
            )


def check_classes(found: Survey, name: str, cause: str) -> list[str]:
    """Problems of the classes of the dataset `name`. Raises ValueError as `check` does, with the `cause`."""
    counts, label = found.count_classes(name), "" if name == "words" else f" of {name}"
    problems = []
    if len(counts) < 2:
        raise ValueError(
            f"{found.source}: {cause}{len(found.classes(name))} usable recordings of {len(counts)} "
            f"labels{label}; at least 2 labels are needed" + indented(found.problems)
        )
    if name in found.tasks and (alone := counts.index[counts[found.scored_split] < 2].tolist()):
        reason = f"fewer than 2 recordings in the split {found.scored_split}, which convexity is measured on"
        if len(alone) == len(counts):
            raise ValueError(
                f"{found.source}: {cause}every label{label} has {reason}; give more, 10 of a label at least"
                + indented(found.problems)
            )
        problems.append(f"{len(alone)} of {len(counts)} labels{label} have {reason}: {named(alone)}")
    if name in found.tasks and (unknown := counts.index[counts["train"] == 0].tolist()):
        problems.append(
            f"{len(unknown)} labels{label} have no recordings in the split train, which the run will refuse: "
            f"{named(unknown)}"
        )
    if name in found.tasks and "split" in found.table:
        problems += [
            f"the split {split} has {count} labels{label}: the run will refuse that, two are needed"
            for split, count in (counts > 0).sum().items()
            if count < 2
        ]
    return problems


def count_scored(found: Survey) -> int:
    """The recordings that convexity is measured on, of the dataset of labels that has the fewest."""
    return min(found.count(found.scored_split, name) for name in found.label_tasks)


def describe(found: Survey) -> str:
    """The findings as text for a terminal."""
    seconds = found.sounds["seconds"]
    rates = ", ".join(f"{rate} Hz ({count})" for rate, count in found.sounds["rate"].value_counts().items())
    speakers = "unknown"
    if found.has_speakers:
        speakers = f"{found.table['speaker'].nunique()} (from {found.speakers_from})"
    labels = [describe_classes(found, name) for name in found.labels]
    lines = [
        str(found.source),
        *([f"  layout        {found.layout}"] if found.layout else []),
        f"  files         {len(seconds)}, {seconds.sum() / 3600:.2f} hours, {channels(found.sounds)}",
        "  labels        " + ("\n" + 16 * " ").join(labels),
        f"  speakers      {speakers}",
        f"  sample rates  {rates}",
        f"  durations     {seconds.min():.2f} to {seconds.max():.2f} s, median {seconds.median():.2f} s",
        f"  clips         {found.clip:g} s",
        f"  splits        {', '.join(f'{split} {found.count(split)}' for split in SPLITS)} "
        f"({describe_drawing(found)})",
        f"  tasks         {', '.join(found.tasks)}",
        *(["  problems"] + [f"    - {problem}" for problem in found.problems] if found.problems else []),
    ]
    return "\n".join(lines)


def describe_drawing(found: Survey) -> str:
    """Where the splits come from."""
    if found.split_by:
        speakers = found.table["speaker"].groupby(found.splits).nunique().reindex(SPLITS, fill_value=0)
        return (
            "drawn by speaker: nobody in validation or test is in train; "
            f"{', '.join(map(str, speakers))} speakers"
        )
    if "split" not in found.table:
        return "drawn by recording"
    return "as given" + (f"; {' and '.join(found.drawn)} drawn from train by seed" if found.drawn else "")


def channels(sounds: pd.DataFrame) -> str:
    several = int((sounds["channels"] > 1).sum())
    return f"{several} of several channels (averaged)" if several else "one channel"


def describe_classes(found: Survey, name: str) -> str:
    """The most and the least frequent classes of the dataset `name` with their counts."""
    given = found.classes(name)
    counts = [
        f"{label if len(label) <= 30 else label[:27] + '...'} {count}"
        for label, count in given.value_counts().items()
    ]
    listed = counts if len(counts) <= 8 else [*counts[:4], f"... {counts[-3]}", *counts[-2:]]
    which = "" if [*found.labels] == ["words"] else f"{name}, "
    part = "" if len(given) == len(found.table) else f" (of {len(given)} recordings)"
    return f"{which}{len(counts)}{part}: {', '.join(listed)}"
