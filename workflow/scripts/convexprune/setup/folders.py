"""The layout of a folder of recordings: which level of folders names the split, the label, the speaker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from convexprune.jobs.messages import named

# Names of folders of splits, in any case. `eval` is validation if there is a test folder, else test.
KINDS = {
    "train": ("train", "training", "trn", "tr", "trainval"),
    "validation": ("validation", "validate", "valid", "val", "development", "devel", "dev", "cv", "va"),
    "test": ("test", "tests", "testing", "tst", "tt", "te"),
    "eval": ("evaluation", "eval", "holdout", "heldout"),
}
SPLIT_WORDS = {word: kind for kind, words in KINDS.items() for word in words}
# Words that may stand beside such a name, as in train-clean-100 or test_data. Numbers may, too.
BESIDE = {"audio", "clean", "data", "files", "noisy", "other", "set", "sounds", "speech", "wav", "wavs"}
LISTS = {"testing_list.txt": "test", "validation_list.txt": "validation"}  # as in Speech Commands
DEEPEST = 3  # folders above a file: a split, a label, a speaker
REMEDY = "name them train, validation and test, or list the recordings in a CSV with a column split"


@dataclass(frozen=True)
class Layout:
    """The meaning of the folders above a file.

    Attributes:
        levels: those of split, label, speaker or any other folder that there are, from the top.
        splits: the split of each folder of the level `split`.
        notes: sentences on decisions that the user may have meant otherwise.
        file: what the names of the files mean, if they say the label.
    """

    levels: tuple[str, ...]
    splits: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    file: str = "file.wav"

    def __str__(self) -> str:
        renamed = [f"{folder} is {split}" for folder, split in self.splits.items() if folder != split]
        return self.path + (f" ({', '.join(renamed)})" if renamed else "")

    @property
    def path(self) -> str:
        return "/".join([*self.levels, self.file])

    def name(self, level: str, path: Path) -> str:
        """The folder of `level` above the file `path`."""
        return path.parts[self.levels.index(level)]


def find_layout(paths: Iterable[Path], pattern: str = "") -> tuple[Layout, list[Path]] | None:
    """The layout of most of `paths`, and the paths that have it; None if no folder can be a label.

    A level of folders names splits if all of its names mean splits (SPLIT_WORDS), at least two different
    ones. The first of the other levels is the label, the second the speaker. If the file names have the label
    (`pattern`), the other levels mean nothing, and there need be none. Raises ValueError, with a line that
    says what to do, if there are folders of splits but their meaning is not clear.
    """
    by_depth: dict[int, list[Path]] = {}
    for path in paths:
        by_depth.setdefault(len(path.parts) - 1, []).append(path)
    for depth, found in sorted(by_depth.items(), key=lambda item: (-len(item[1]), item[0])):
        levels = list(zip(*(path.parts[:-1] for path in found), strict=True))
        of_splits = [level for level, names in enumerate(levels) if is_of_splits(names)]
        if "label" in pattern and depth <= DEEPEST:
            meanings = tuple("split" if level in of_splits[:1] else "folder" for level in range(depth))
            splits = name_splits(levels[of_splits[0]]) if of_splits else {}
            return Layout(meanings, splits, file=f"{pattern}.wav"), found
        if 1 <= depth <= DEEPEST and (depth < DEEPEST or of_splits):
            return read_levels(levels, of_splits), found
    return None


def read_levels(levels: Sequence[Sequence[str]], of_splits: Sequence[int]) -> Layout:
    """The layout of files from their folders' names, a sequence for each of the `levels` from the top.

    `of_splits` are the numbers of the levels that name splits.
    """
    if len(of_splits) > 1:
        first, second = (named(sorted(set(levels[level]))) for level in of_splits[:2])
        raise ValueError(
            f"two levels of folders are named after splits ({first}; {second}): leave one "
            "of them out, or list the recordings in a CSV with a column split"
        )
    others = [names for level, names in enumerate(levels) if level not in of_splits]
    named_levels = ["label", "speaker"][: len(others)]
    notes = []
    for level, names in zip(named_levels, others, strict=True):
        notes += look_for_splits(names, level, alone=len(levels) == 1)
    if len(others) > 1 and len(set(others[0])) == 1:
        raise ValueError(
            f"there is one label, {others[0][0]}: if the folders in it are the labels, give this folder "
            "itself, or list the recordings in a CSV"
        )
    if not of_splits:
        return Layout(tuple(named_levels), notes=notes)
    splits = name_splits(levels[of_splits[0]])
    if not others:
        raise ValueError(
            f"the folders {named(splits)} are splits, and hold files but no folders of labels: put each file "
            "into a folder named after its label, or list the recordings in a CSV with path, word and split"
        )
    if len(others) == 2:
        notes += check_order([splits[name] for name in levels[of_splits[0]]], *others)
    named_levels.insert(of_splits[0], "split")
    return Layout(tuple(named_levels), splits, notes)


def find_split(folder: str) -> str | None:
    """The key of KINDS that `folder` is named after, as in Train, dev-clean, test_set, eval2; else None."""
    name = folder.casefold()
    words = re.findall("[a-z]+", name)
    if kind := SPLIT_WORDS.get("".join(words) if len(words) > 1 else name):
        return kind  # held-out and train_val; also tr and tt, which count only as the whole name
    known = {word: SPLIT_WORDS.get(re.sub("(set|data|split)$", "", word)) for word in words if len(word) > 2}
    found = [kind for word in words if (kind := known.get(word))]
    beside = {word for word in words if not known.get(word)}
    spelt = re.fullmatch("[a-z0-9 ._()-]+", name)
    return found[0] if len(found) == 1 and beside <= BESIDE and spelt else None


def is_of_splits(names: Iterable[str]) -> bool:
    """Whether all names mean splits, at least two different ones."""
    kinds = {find_split(name) for name in set(names)}
    return None not in kinds and len(kinds) > 1


def name_splits(names: Iterable[str]) -> dict[str, str]:
    """The split (train, validation, test) of each folder of a level of splits."""
    kinds = {name: find_split(name) or "" for name in sorted(set(names))}
    there = set(kinds.values())
    if "train" not in there:
        raise ValueError(f"the folders {named(kinds)} are splits, but none is for training; {REMEDY}")
    if there == set(KINDS):
        raise ValueError(f"of the folders {named(kinds)} two may be for test; {REMEDY}")
    other = "validation" if "test" in there else "test"
    return {name: other if kind == "eval" else kind for name, kind in kinds.items()}


def look_for_splits(names: Iterable[str], level: str, *, alone: bool) -> list[str]:
    """A note on folders that are called like splits but are taken for names of `level`.

    Raises ValueError if they are most or all of a level, unless it is the only one (`alone`): then they must
    be labels. Raises it for folds, too.
    """
    kinds = {name: find_split(name) for name in sorted(set(names))}
    like = [name for name, kind in kinds.items() if kind]
    others = [name for name in kinds if name not in like]
    several = len({kinds[name] for name in like}) > 1
    if not alone and several and len(like) > len(others):
        raise ValueError(
            f"the folders {named(like)} look like splits, {named(others)} beside them not: {REMEDY}"
        )
    if not alone and not others and any(len(name) > 3 and name.casefold() in SPLIT_WORDS for name in like):
        raise ValueError(
            f"all recordings are in folders of one split ({named(like)}): leave this level of folders out, "
            "or list the recordings in a CSV"
        )
    if all(re.fullmatch(r"fold[ _-]?\d+", name.casefold()) for name in kinds):
        raise ValueError(
            f"the folders {named(kinds)} are folds, not {level}s: say which are for what by the column split "
            "of a CSV that lists the recordings"
        )
    return [f"taken for the name of a {level}, not of a split: {named(like)}"] if like else []


def check_order(splits: Sequence[str], labels: Sequence[str], speakers: Sequence[str]) -> list[str]:
    """A note if labels and speakers may be the other way round; ValueError if they clearly are.

    A label in validation or test must be in train as well; a speaker need not be.
    """
    trained = [
        {name for name, split in zip(names, splits, strict=True) if split == "train"}
        for names in (labels, speakers)
    ]
    new_labels, new_speakers = set(labels) - trained[0], set(speakers) - trained[1]
    if new_labels and not new_speakers:
        raise ValueError(
            f"beside the splits, the upper folders, such as {min(new_labels)}, are not all in train, but the "
            "lower ones are: these seem to be the labels. Put the label above the speaker, or list the "
            "recordings in a CSV with the columns path, word, speaker, split"
        )
    if new_speakers:
        return []
    return [
        "beside the splits the folders may be label/speaker or speaker/label, their names do not tell: the "
        "upper ones are taken for labels"
    ]


def read_lists(folder: Path) -> dict[str, str]:
    """The split of each path in the two lists of Speech Commands in `folder`; {} unless both lists are there.

    A path in both lists is for validation, as in the archives.
    """
    if not all((folder / name).is_file() for name in LISTS):
        return {}
    return {
        path: split
        for name, split in LISTS.items()
        for path in (folder / name).read_text(encoding="utf-8").splitlines()
    }
