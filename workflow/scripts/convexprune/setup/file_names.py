"""File names: which of their fields, as in 0_nicolas_3.wav, names the label and which the speaker.

A pattern such as label_speaker_n says it for all files of a folder; `n` is any other field. What is not clear
is not guessed: it becomes a hint that names the pattern to give.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from convexprune.jobs.messages import named
from convexprune.setup.folders import BESIDE, SPLIT_WORDS

FIELDS = ("label", "speaker", "n")
SEPARATORS = "_-"
MIN_FILES = 3  # of each label or speaker that is recognised
MIN_SPEAKERS = 3  # two names may as well be two conditions (morning, evening)
# A field with one of these words is not taken for the speaker.
NO_SPEAKERS = {*SPLIT_WORDS, *BESIDE, "augmented", "copy", "mono", "new", "orig", "original", "raw", "stereo"}
NO_SPEAKERS |= {
    "file",
    "mic",
    "phone",
    "rec",
    "recording",
    "sample",
    "take",
    "female",
    "male",
    "man",
    "woman",
}
NO_SPEAKERS |= {
    "adult",
    "boy",
    "child",
    "girl",
    "angry",
    "calm",
    "disgust",
    "fear",
    "happy",
    "neutral",
    "sad",
}
NO_SPEAKERS |= {"surprise", "whisper", "far", "left", "near", "right", "high", "low", "medium", "none"}
NO_SPEAKERS |= {"normal", "fast", "slow", "long", "short", "loud", "quiet", "silent", "noise", "car", "home"}
NO_SPEAKERS |= {"indoor", "kitchen", "office", "outdoor", "room", "street"}
PERSON = r"(speaker|spk|spkr|subject|subj|actor|talker|person|participant|user)\d+"  # as in spk01
DATE = r"(19|20)\d\d([-.]?[01]\d[-.]?[0-3]\d)?|\d{6,}"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The expression that names without suffix match, with a group for each `label` and `speaker`.

    Fields have `_` or `-` between them, and hold none of those that the pattern has. Raises ValueError if a
    field is unknown, or if the label or the speaker comes twice.
    """
    parts = re.split(f"([{SEPARATORS}])", pattern.removesuffix(".wav"))
    fields = parts[::2]
    if unknown := [field for field in fields if field not in FIELDS]:
        raise ValueError(
            f"--pattern {pattern}: there is no field {unknown[0]!r}; write label, speaker, and n for any "
            "other field, with _ or - between them, as in label_speaker_n"
        )
    if twice := [field for field in FIELDS[:2] if fields.count(field) > 1]:
        raise ValueError(f"--pattern {pattern}: it has the field {twice[0]} more than once")
    text = f"[^{''.join(sorted(set(parts[1::2])))}]+" if parts[1:] else ".+"
    groups = {"label": f"(?P<label>{text})", "speaker": f"(?P<speaker>{text})", "n": text}
    return re.compile("".join(groups.get(part, part) for part in parts))


def read_fields(paths: Sequence[Path], pattern: str) -> dict[Path, dict[str, str]]:
    """The label and the speaker, as far as the `pattern` has them, in the name of each file that follows it.

    Without a pattern (""), all files follow it. Raises ValueError as `compile_pattern`.
    """
    if not pattern:
        return {path: {} for path in paths}
    expression = compile_pattern(pattern)
    matches = {path: expression.fullmatch(path.stem) for path in paths}
    return {path: match.groupdict() for path, match in matches.items() if match}


def find_label(paths: Sequence[Path]) -> tuple[str, str]:
    """The pattern of the names of a flat folder's files, if it is clear, and else a hint. Either may be "".

    It is clear if the names end in a number, and just one other field differs from file to file: it has only
    letters, and each of its values is in MIN_FILES files or more.
    """
    fields, separator = split_names(paths)
    places = find_places(fields)
    few = [place for place in places if 3 * fields[place].nunique() <= len(paths)]
    if len(places) == 1 and len(fields.columns) - 1 not in places and "nohash" not in fields.iloc[0].tolist():
        values = fields[places[0]]
        if values.str.isalpha().all() and values.value_counts().min() >= MIN_FILES:
            return write_pattern(fields, separator, {places[0]: "label"}), ""
    meant = dict(zip(few, FIELDS, strict=False))
    return "", suggest(paths, fields, separator, meant) if few else ""


def find_speakers(paths: Sequence[Path], labels: Sequence[str]) -> tuple[list[str], str, str]:
    """The speaker of each file and the pattern of the names, if it is clear; else [], "" and perhaps a hint.

    It is clear if all names are `speaker_nohash_n`, as in Speech Commands, or `label_speaker_n`. It is clear
    too if they end in a number, and besides the label and other numbers just one field differs: it has
    MIN_SPEAKERS different values or more, of letters (or all are as spk01), each in MIN_FILES files or more
    and with two labels or more. Dates and words that speakers are not called (NO_SPEAKERS) are no speakers.
    """
    for convention, expression in (
        ("speaker_nohash_n", r"(?P<speaker>.+)_nohash_\d+"),
        ("label_speaker_n", r"{label}_(?P<speaker>[^_]+)_\d+"),
    ):
        matches = [
            re.fullmatch(expression.replace("{label}", re.escape(label)), path.stem)
            for path, label in zip(paths, labels, strict=True)
        ]
        speakers = pd.Series([match["speaker"] for match in matches if match], dtype=str)
        if len(speakers) == len(paths) and may_be_speakers(speakers):
            return speakers.tolist(), convention, ""
        if 0 < len(speakers) < len(paths):
            others = [str(path) for path, match in zip(paths, matches, strict=True) if not match]
            told = f"{len(others)} file names are not {convention}.wav, as the others are: {named(others)}"
            return [], "", f"speakers unknown: {told}"
    fields, separator = split_names(paths)
    of_label = pd.Series(labels)
    places = [place for place in find_places(fields) if not is_label(fields[place], of_label)]
    crossing = {place: cross(fields[place], of_label) for place in places if may_be_speakers(fields[place])}
    names = [place for place in places if not fields[place].str.isdigit().all()]
    if len(names) == 1 and len(fields.columns) - 1 not in places and crossing.get(names[0]) == 1:
        values = fields[names[0]]
        spelt = values.str.fullmatch(r"[^\W\d_]{3,}").all() and values.nunique() >= MIN_SPEAKERS
        if spelt or values.str.fullmatch(PERSON, flags=re.IGNORECASE).all():
            return values.tolist(), write_pattern(fields, separator, {names[0]: "speaker"}), ""
    if likely := [place for place, share in crossing.items() if share > 0.5]:
        hint = suggest(paths, fields, separator, {likely[0]: "speaker"})
        return [], "", f"speakers unknown; {hint}"
    return [], "", ""


def split_names(paths: Sequence[Path]) -> tuple[pd.DataFrame, str]:
    """The fields of the names without suffix, a row for each and a column by place; and what separates them.

    There is no column unless one of SEPARATORS divides all names into equally many fields, two or more.
    """
    for separator in SEPARATORS:
        rows = [path.stem.split(separator) for path in paths]
        if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            return pd.DataFrame(rows, dtype=str), separator
    return pd.DataFrame(index=range(len(paths))), ""


def find_places(fields: pd.DataFrame) -> list[int]:
    """The columns whose values differ, without a number at the end, which counts."""
    places = [place for place in fields if fields[place].nunique() > 1]
    last = len(fields.columns) - 1
    return [place for place in places if place != last or not fields[place].str.isdigit().all()]


def is_label(values: pd.Series, labels: pd.Series) -> bool:
    """Whether each label has one of the `values`, and no two labels have the same."""
    pairs = pd.DataFrame({"value": values, "label": labels}).drop_duplicates()
    return pairs["value"].is_unique and pairs["label"].is_unique


def may_be_speakers(values: pd.Series) -> bool:
    """Whether none of the `values` is a word that speakers are not called, and not all are dates."""
    return not (set(values.str.casefold()) & NO_SPEAKERS or values.str.fullmatch(DATE).all())


def cross(values: pd.Series, labels: pd.Series) -> float:
    """The share (0 to 1) of the different `values` that MIN_FILES files and two labels have, or more."""
    groups = labels.groupby(values.to_numpy())
    return float(((groups.size() >= MIN_FILES) & (groups.nunique() > 1)).mean())


def write_pattern(fields: pd.DataFrame, separator: str, meant: Mapping[int, str]) -> str:
    """The pattern of names whose columns mean `meant`."""
    return separator.join(meant.get(place, "n") for place in fields)


def suggest(paths: Sequence[Path], fields: pd.DataFrame, separator: str, meant: Mapping[int, str]) -> str:
    """Half a sentence that tells how to say that columns of the names mean `meant`."""
    counts = ", ".join(f"{fields[place].nunique()} {meaning}s" for place, meaning in meant.items())
    pattern = write_pattern(fields, separator, meant)
    return f"if file names such as {paths[0].name} name them, say so by --pattern {pattern} ({counts})"
