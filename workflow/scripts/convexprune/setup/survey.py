"""A first look at a user's recordings: what a folder or a CSV holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from convexprune.data import audio
from convexprune.data.corpus import SPLITS
from convexprune.data.recordings import find_file, is_text, read_user_table, spell_alike
from convexprune.data.splits import draw_splits
from convexprune.jobs.messages import indented, named
from convexprune.jobs.progress import Progress
from convexprune.setup import file_names
from convexprune.setup.findings import SEED, Survey, check
from convexprune.setup.folders import Layout, find_layout, read_lists
from convexprune.setup.labels import MIN_LABEL_FILES, find_labels, refuse_unlabelled
from convexprune.setup.tasks import choose_tasks, read_tasks

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64")
UNREAD = (".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp")  # audio that libsndfile does not read
WORDS = {"words": "word"}  # the dataset of a folder's labels
DEEPEST = 4  # levels of folders that are searched below the first


def survey(source: Path, pattern: str = "", *, tasks: str = "", unseen_speakers: bool = False) -> Survey:
    """Look at a folder of recordings, or at a CSV of `path` and labels.

    `pattern` says what the names of a folder's files mean (`file_names`); `tasks` and `unseen_speakers` are
    those of `init`. Every recording is read as the run will read it. Raises ValueError if there is nothing
    to work with, or if an option asks for more than there is.
    """
    if pattern and not source.is_dir():
        raise ValueError(f"--pattern {pattern} is for the file names of a folder, and {source} is a CSV")
    if source.is_dir():
        asked = read_tasks(tasks, WORDS)
        found = survey_folder(source, pattern)
    else:
        found, asked = survey_csv(source, tasks)
    choose_tasks(found, asked, unseen_speakers=unseen_speakers)
    check(found)
    return found


# A folder


def survey_folder(folder: Path, pattern: str = "") -> Survey:
    """The recordings below `folder`: `label/file`, `label/speaker/file`, `split/label/file` and so on.

    Files that cannot be used are left out and named as problems. Labels, speakers and splits come from the
    folders (`find_layout`). Labels and speakers also come from the names of files, as `pattern` says or where
    they are clear (`file_names`), splits also from the lists of Speech Commands. If folders name the splits,
    but validation or test is missing, it is drawn from train.
    """
    files, problems = list_files(folder)
    found = [path for path in files if path.suffix.lower() in AUDIO]
    if unread := [str(path) for path in files if path.suffix.lower() in UNREAD]:
        problems.append(
            f"{len(unread)} files left out, of formats that are not read (convert them to WAV or FLAC): "
            f"{named(unread)}"
        )
    aside = {path: part for path in found for part in path.parts[:-1] if part.startswith(("_", "."))}
    if aside:
        problems.append(
            f"{len(aside)} files left out: in folders whose names begin with _ or ., "
            f"{named(sorted(set(aside.values())))}"
        )
    try:
        table, layout, speakers_from = read_names(
            [path for path in found if path not in aside], pattern, problems
        )
    except ValueError as error:
        raise ValueError(f"{folder}: {error}" + indented(problems)) from error
    if not layout.splits and (lists := read_lists(folder)):
        table["split"] = table["path"].map(lists).fillna("train")
        if unknown := sorted(set(lists) - set(table["path"])):
            problems.append(f"{len(unknown)} files that the lists name are not there: {named(unknown)}")
    for column in [name for name in ("word", "speaker") if name in table]:
        table[column], remarks = spell_alike(table[column])
        problems += remarks
    sounds, bad, odd = read_recordings(table, folder)
    usable = table.loc[sounds.index]
    if bad:
        told = [f"{table['path'][row]} ({reason})" for row, reason in bad.items()]
        problems.append(f"{len(bad)} files left out: {named(told)}")
    problems += odd
    counts = usable["word"].value_counts()
    if rare := counts.index[counts < MIN_LABEL_FILES].tolist():
        problems.append(f"{len(rare)} labels left out, of fewer than {MIN_LABEL_FILES} files: {named(rare)}")
    kept = usable.index[~usable["word"].isin(rare)]
    table, sounds = (part.loc[kept].reset_index(drop=True) for part in (table, sounds))
    seen = Survey(folder, table, sounds, WORDS, str(layout), speakers_from, problems=problems)
    if layout.splits:
        draw_missing(seen, [split for split in SPLITS if split not in layout.splits.values()])
    return seen


def read_names(paths: Sequence[Path], pattern: str, problems: list[str]) -> tuple[pd.DataFrame, Layout, str]:
    """What the names of folders and files say, the layout, and where the speakers come from.

    The table has path, word and, if known, speaker and split. Files of another layout than most, or not of
    the `pattern`, are left out and named as `problems`. Raises ValueError if there is no layout.
    """
    hint, n_found = "", len(paths)
    if not pattern and all(len(path.parts) == 1 for path in paths):
        pattern, hint = file_names.find_label(paths)
    fields = file_names.read_fields(paths, pattern)
    if pattern and (others := [str(path) for path in paths if path not in fields]):
        if not fields:
            raise ValueError(f"--pattern {pattern}: no file is named so; the first is {others[0]}")
        problems.append(f"{len(others)} files left out, not named {pattern}.wav: {named(others)}")
        paths = list(fields)
    layout, usable = find_layout(paths, pattern) or (None, [])
    if not layout:
        raise ValueError(
            f"no recordings in label/file.wav layout ({n_found} audio files in all): put each into a folder "
            "named after its label, or list them in a CSV with the columns path, word"
            + (f"; {hint}" if hint else "; or say by --pattern where the file names have the label")
        )
    if elsewhere := sorted(map(str, set(paths) - set(usable))):
        problems.append(f"{len(elsewhere)} files left out, not in {layout.path} layout: {named(elsewhere)}")
    problems += layout.notes
    table = pd.DataFrame({"path": [path.as_posix() for path in usable]})
    table["word"] = [fields[path].get("label") or layout.name("label", path) for path in usable]
    speakers_from = ""
    if "speaker" in pattern:
        table["speaker"] = [fields[path]["speaker"] for path in usable]
        speakers_from = f"file names, {pattern}.wav"
    elif "speaker" in layout.levels:
        table["speaker"] = [layout.name("speaker", path) for path in usable]
        speakers_from = f"folders, {layout}"
    elif not pattern:
        speakers, found, hint = file_names.find_speakers(usable, table["word"].tolist())
        problems += [hint] if hint else []
        if speakers:
            table["speaker"] = speakers
            speakers_from = (
                f"file names, {found}.wav: {usable[0].name} is {speakers[0]}; if not, see --pattern"
            )
    if layout.splits:
        table["split"] = [layout.splits[layout.name("split", path)] for path in usable]
    return table, layout, speakers_from


def draw_missing(found: Survey, missing: Sequence[str]) -> None:
    """Draw the `missing` splits from the training recordings."""
    found.drawn = missing
    words = found.table.loc[found.table["split"] == "train", ["word"]]
    shares = {f"{split}_share": found.share if split in missing else 0.0 for split in ("validation", "test")}
    found.table.loc[words.index, "split"] = draw_splits(words, seed=SEED, **shares)


def list_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files below `folder`, relative to it and sorted, and sentences on what could not be read or used.

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
    if odd := [path for path in files if not is_text(str(path))]:
        problems.append(
            f"{len(odd)} files left out, whose names are not text: {named(ascii(str(path)) for path in odd)}"
        )
    return sorted(set(files) - set(odd)), problems


# A CSV


def survey_csv(path: Path, tasks: str) -> tuple[Survey, list[str]]:
    """The usable recordings that a CSV lists, and the tasks that are asked for by the option `tasks`.

    Bad rows are named; the CSV is not changed.
    """
    listed = read_user_table(path, ("path",))
    labels, problems = find_labels(listed.rows)
    if not labels:
        refuse_unlabelled(str(path), listed.rows, problems)
    asked = read_tasks(tasks, labels, speakers="speaker" in listed.rows)
    sounds, bad, odd = read_recordings(listed.rows, path.parent)
    for row, reason in bad.items():
        listed.problems[row].append(reason)
    good = [row for row in sounds.index if not listed.problems[row]]
    table, sounds = (part.loc[good].reset_index(drop=True) for part in (listed.rows, sounds))
    speakers_from = "the CSV" if "speaker" in table else ""
    found = Survey(path, table, sounds, labels, speakers_from=speakers_from, bad=listed.tell_bad())
    found.problems = [*listed.remarks, *odd, *problems]
    for name in labels:
        counts = found.classes(name).value_counts()
        if rare := counts.index[counts < MIN_LABEL_FILES].tolist():
            found.problems.append(
                f"{len(rare)} labels{'' if name == 'words' else f' of {name}'} of fewer than "
                f"{MIN_LABEL_FILES} recordings, which a split may lack: {named(rare)}"
            )
    return found, asked


# Both


def read_recordings(table: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, dict[int, str], list[str]]:
    """Rate (Hz), channels and seconds of usable rows; what is wrong with the others; what is odd."""
    found, bad, remarked = {}, {}, []
    for row, path in Progress(table["path"].items(), desc="listening", total=len(table), unit="file"):
        try:
            sound = audio.read_file(find_file(folder, path))
        except ValueError as error:
            bad[row] = str(error)
            continue
        found[row] = (sound.rate, sound.channels, len(sound.samples) / sound.rate)
        remarked.append((path, sound.remarks))
    columns = pd.DataFrame.from_dict(found, orient="index", columns=["rate", "channels", "seconds"])
    odd = audio.describe(remarked)
    odd.pop("converted", None)  # `describe` shows rates and channels anyway
    return columns, bad, list(odd.values())
