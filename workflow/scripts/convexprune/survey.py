"""A first look at a user's recordings: what a folder or a CSV holds, and what is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import soundfile

from convexprune.corpus import CLIP_SAMPLES, SAMPLING_RATE, SPLITS
from convexprune.ingestion import draw_splits
from convexprune.progress import Progress
from convexprune.recordings import find_file, find_problems, read_user_table

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64")
UNREAD = (".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp")  # audio, but not for libsndfile
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}  # as in Speech Commands
MIN_LABEL_FILES = 5  # fewer cannot be spread over train, validation and test
SEED = 0  # of the splits that the run will draw
DEEPEST = 4  # folders below the first that are searched
MIN_SPEAKER_FILES = 20  # training recordings that a speaker must have more of
MAX_NAMED = 5  # files named for one kind of problem; the rest are counted


@dataclass
class Survey:
    """What was found.

    Attributes:
        source: the folder or CSV.
        table: a row a usable recording: path, word, perhaps speaker and split, and what its header says: rate
            (Hz), channels, seconds.
        speakers_from: where speakers are known from; empty if they are not.
        problems: what a person should know, a sentence each.
    """

    source: Path
    table: pd.DataFrame
    speakers_from: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def has_speakers(self) -> bool:
        return "speaker" in self.table

    @property
    def share(self) -> float:
        """Share of the recordings held out for each of validation and test, where no split is given."""
        smallest = self.table["word"].value_counts().min()
        return 0.1 if len(self.table) >= 2000 and smallest >= 20 else 0.2

    @property
    def splits(self) -> pd.Series:
        """The split of each recording, as given or as the run will draw it."""
        if "split" in self.table:
            return self.table["split"]
        drawn = draw_splits(self.table["word"], self.share, self.share, SEED)
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

    @property
    def tasks(self) -> list[str]:
        return ["words", "speakers"] if len(self.frequent_speakers) > 1 else ["words"]


def survey(source: Path) -> Survey:
    """Look at a folder of recordings in `label/file.wav` layout, or at a CSV of `path, word`.

    Only headers are read. Raises ValueError if there is nothing to work with.
    """
    if source.is_dir():
        return survey_folder(source)
    if source.is_file():
        return survey_csv(source)
    raise ValueError(f"{source} does not exist: give a folder of recordings or a CSV that lists them")


# A folder


def survey_folder(folder: Path) -> Survey:
    """The recordings below `folder`: `label/file`, `label/speaker/file`, or `train/label/file` and so on.

    Files that cannot be used are left out and named as problems. Speakers are taken from the layout or from
    file names (`find_speakers`), splits from the layout or from the lists of Speech Commands.
    """
    files, problems = list_files(folder)
    found = [path for path in files if path.suffix.lower() in AUDIO]
    if unread := [str(path) for path in files if path.suffix.lower() in UNREAD]:
        problems.append(
            f"{len(unread)} files left out, of formats that are not read (convert them to WAV or FLAC): "
            f"{named(unread)}"
        )
    parts = {path: path.parts for path in found if not path.parts[0].startswith(("_", "."))}
    if left_out := len(found) - len(parts):
        problems.append(f"{left_out} files left out: in folders whose names begin with _ or .")
    depth = 2 if not parts or any(len(names) == 2 for names in parts.values()) else 3
    usable = [path for path, names in parts.items() if len(names) == depth]
    if not usable:
        raise ValueError(
            f"{folder} holds no recordings in label/file.wav layout ({len(found)} audio files in all): put "
            "each into a folder named after its label, or list them in a CSV with the columns path, word"
            + indented(problems)
        )
    if elsewhere := [str(path) for path in parts if path not in set(usable)]:
        problems.append(f"{len(elsewhere)} files left out, not in label/file.wav layout: {named(elsewhere)}")
    table = pd.DataFrame({"path": [path.as_posix() for path in usable]})
    if depth == 3 and {parts[path][0] for path in usable} == set(SPLITS):
        table["split"] = [parts[path][0] for path in usable]
        table["word"] = [parts[path][1] for path in usable]
        speakers, speakers_from = find_speakers(usable, problems)
    elif depth == 3:
        table["word"] = [parts[path][0] for path in usable]
        speakers, speakers_from = [parts[path][1] for path in usable], "folders, label/speaker/file.wav"
    else:
        table["word"] = [parts[path][0] for path in usable]
        speakers, speakers_from = find_speakers(usable, problems)
        if all((folder / name).is_file() for name in LISTS):
            table["split"] = splits_of_lists(folder, table["path"])
    if speakers:
        table["speaker"] = speakers
    table, unreadable = read_headers(table, folder)
    if unreadable:
        problems.append(f"{len(unreadable)} files left out: {named(unreadable)}")
    counts = table["word"].value_counts()
    if rare := counts.index[counts < MIN_LABEL_FILES].tolist():
        problems.append(f"{len(rare)} labels left out, of fewer than {MIN_LABEL_FILES} files: {named(rare)}")
        table = table[~table["word"].isin(rare)].reset_index(drop=True)
    return checked(Survey(folder, table, speakers_from, problems))


def list_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files below `folder`, relative to it, in order; and what could not be looked at.

    Links to folders are followed; hidden files are left out.
    """
    errors: list[OSError] = []
    files = []
    for base, folders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        place = Path(base).relative_to(folder)
        if len(place.parts) == DEEPEST:
            folders.clear()
        files += [place / name for name in names if not name.startswith(".")]
    problems = [f"{error.filename} cannot be looked into ({error.strerror})" for error in errors]
    if odd := [path for path in files if not str(path).isprintable()]:
        problems.append(
            f"{len(odd)} files left out, whose names are not text: {named(ascii(str(path)) for path in odd)}"
        )
    return sorted(set(files) - set(odd)), problems


def find_speakers(paths: list[Path], problems: list[str]) -> tuple[list[str], str]:
    """The speaker of each `label/file`, if all file names follow one convention, and that convention.

    Known are `speaker_nohash_n` (Speech Commands) and `label_speaker_n`. None is ([], ""); a convention that
    only some files follow is a problem.
    """
    for convention, pattern in (
        ("speaker_nohash_n.wav", r"(?P<speaker>.+)_nohash_\d+"),
        ("label_speaker_n.wav", r"{label}_(?P<speaker>[^_]+)_\d+"),
    ):
        matches = [
            re.fullmatch(pattern.replace("{label}", re.escape(path.parent.name)), path.stem) for path in paths
        ]
        speakers = [match["speaker"] for match in matches if match]
        if len(speakers) == len(paths):
            return speakers, f"file names, {convention}"
        if speakers:
            others = [str(path) for path, match in zip(paths, matches, strict=True) if not match]
            problems.append(
                f"speakers unknown: {len(others)} file names are not {convention}, as the others are: "
                f"{named(others)}"
            )
    return [], ""


def splits_of_lists(folder: Path, paths: pd.Series) -> pd.Series:
    """The split of each path by the two lists of Speech Commands in `folder`."""
    split = {
        path: split for name, split in LISTS.items() for path in (folder / name).read_text().splitlines()
    }
    return paths.map(split).fillna("train")


# A CSV


def survey_csv(path: Path) -> Survey:
    """The recordings that a CSV lists. Its rows are left as they are: a bad one is named as a problem."""
    table = read_user_table(path)
    problems = [
        f"row {number} ({file}): {'; '.join(of_row)}"
        for number, (file, of_row) in enumerate(
            zip(table["path"], find_problems(table, path.parent), strict=True), start=1
        )
        if of_row
    ]
    table, unreadable = read_headers(table, path.parent)
    problems += unreadable
    if problems:
        problems = [
            f"{len(problems)} bad rows, which the run will refuse (paths are those from the CSV's folder): "
            f"{named(problems)}"
        ]
    counts = table["word"].value_counts()
    if rare := counts.index[counts < MIN_LABEL_FILES].tolist():
        problems.append(
            f"{len(rare)} labels of fewer than {MIN_LABEL_FILES} recordings, which a split may lack: "
            f"{named(rare)}"
        )
    return checked(Survey(path, table, "the CSV" if "speaker" in table else "", problems))


# Both


def read_headers(table: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose file has a readable header, with rate, channels, seconds; and what else is wrong."""
    headers, problems = {}, []
    for row, path in Progress(table["path"].items(), desc="looking", total=len(table), unit="file"):
        try:
            info = soundfile.info(find_file(folder, path))
            if not info.frames:
                raise ValueError("holds no samples")
            headers[row] = (info.samplerate, info.channels, info.frames / info.samplerate)
        except (ValueError, soundfile.LibsndfileError) as error:
            reason = "not a readable audio file" if isinstance(error, soundfile.LibsndfileError) else error
            problems.append(f"{path} ({reason})")
    columns = pd.DataFrame.from_dict(headers, orient="index", columns=["rate", "channels", "seconds"])
    return table.join(columns, how="inner").reset_index(drop=True), problems


def checked(found: Survey) -> Survey:
    """`found` with the problems that the whole shows.

    ValueError if it has fewer than two labels, or none of which convexity can be measured.
    """
    table = found.table
    if table["word"].nunique() < 2:
        raise ValueError(
            f"{found.source} holds {len(table)} usable recordings of {table['word'].nunique()} labels; at "
            "least 2 labels are needed" + indented(found.problems)
        )
    counts = pd.crosstab(table["word"], found.splits).reindex(columns=SPLITS, fill_value=0)
    if alone := counts.index[counts["validation"] < 2].tolist():
        reason = "fewer than 2 recordings in the split validation, which convexity is measured on"
        if len(alone) == len(counts):
            raise ValueError(
                f"{found.source}: every label has {reason}; give more, 10 of a label at least"
                + indented(found.problems)
            )
        found.problems.append(f"{len(alone)} of {len(counts)} labels have {reason}: {named(alone)}")
    if unknown := counts.index[counts["train"] == 0].tolist():
        found.problems.append(
            f"{len(unknown)} labels have no recordings in the split train, which the run will refuse: "
            f"{named(unknown)}"
        )
    clip = CLIP_SAMPLES / SAMPLING_RATE
    if long := int((table["seconds"] > clip).sum()):
        found.problems.append(
            f"{long} of {len(table)} recordings are longer than {clip:g} s: only the first {clip:g} s is used"
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
            "no split is given: a speaker may be in train and test; a CSV with a split column decides that"
        )
    return found


def indented(problems: Iterable[str]) -> str:
    """The problems on lines of their own, below what is said before."""
    return "".join(f"\n  {problem}" for problem in problems)


def named(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def describe(found: Survey) -> str:
    """What was found, to read in a terminal."""
    table = found.table
    seconds = table["seconds"]
    rates = ", ".join(f"{rate} Hz ({count})" for rate, count in table["rate"].value_counts().items())
    speakers = (
        f"{table['speaker'].nunique()} (from {found.speakers_from})" if found.has_speakers else "unknown"
    )
    drawn = "as given" if "split" in table else "to be drawn by seed"
    lines = [
        str(found.source),
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
