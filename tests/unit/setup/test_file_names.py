"""Which fields of file names are taken for labels and speakers, which become a hint, and which neither."""

from itertools import product
from pathlib import Path

import pytest
from convexprune.setup.file_names import compile_pattern, find_label, find_speakers, read_fields

LABELS = ["yes", "no", "stop"]
NAMES = ["ann", "bob", "cid"]
TAKES = range(5)


def files(*fields, form, labels=()):
    """A file for each combination of the `fields`; its name is the `form` of them."""
    return [Path(*labels, f"{form.format(*values)}.wav") for values in product(*fields)]


def in_folders(*fields, form):
    """Such files in folders of LABELS, whose names `form` may repeat as {label}, and the label of each."""
    paths = [
        Path(label, f"{form.format(*values, label=label)}.wav")
        for label in LABELS
        for values in product(*fields)
    ]
    return paths, [path.parts[0] for path in paths]


@pytest.mark.parametrize(
    ("fields", "form", "pattern"),
    [
        ([NAMES, TAKES], "{0}_nohash_{1}", "speaker_nohash_n"),  # Speech Commands
        ([["8a194ee6", "b3bdded5"], TAKES], "{0}_nohash_{1}", "speaker_nohash_n"),
        ([["nicolas", "theo"], TAKES], "{label}_{0}_{1}", "label_speaker_n"),  # Free Spoken Digits
        ([["01", "02", "60"], TAKES], "{label}_{0}_{1}", "label_speaker_n"),  # AudioMNIST
        ([["jean-luc", "ann"], TAKES], "{label}_{0}_{1}", "label_speaker_n"),
        ([NAMES, TAKES], "{0}_{1}", "speaker_n"),
        ([NAMES, TAKES], "{0}-{1}", "speaker-n"),
        ([NAMES, TAKES], "{0}-{label}-{1}", "speaker-n-n"),
        ([NAMES, TAKES], "take_{0}_{1:03}", "n_speaker_n"),
        ([NAMES, ["20240101", "20240102"], TAKES], "{0}_{1}_{2}", "speaker_n_n"),
        ([["日本", "東京市", "ÅSA"], TAKES], "{0}_{1}", None),  # the first has two letters: initials, perhaps
        ([["Åsa", "Zoë", "José"], TAKES], "{0}_{1}", "speaker_n"),
        ([["spk01", "spk02"], TAKES], "{0}_{1}", "speaker_n"),
        ([["Speaker1", "Speaker2"], TAKES], "{label}-{0}-{1}", "n-speaker-n"),
    ],
)
def test_clear_names_tell_the_speaker(fields, form, pattern):
    paths, labels = in_folders(*fields, form=form)
    speakers, found, hint = find_speakers(paths, labels)
    if pattern is None:
        assert (speakers, found) == ([], "") and hint
        return
    assert (found, hint) == (pattern, "")
    assert speakers == [str(values[0]) for _ in LABELS for values in product(*fields)]


@pytest.mark.parametrize(
    ("fields", "form", "hint"),
    [
        # RAVDESS: modality, channel, emotion, intensity, statement, repetition, actor
        ([["01", "02"], ["01", "02"], ["01", "02", "24"]], "03-01-06-{0}-{1}-02-{2}", "n-n-n-speaker-n-n-n"),
        # CREMA-D: actor, sentence, emotion, level
        ([["1001", "1002"], ["DFA", "IEO", "ITS"], ["LO", "HI"]], "{0}_{1}_ANG_{2}", "speaker_n_n_n"),
        ([["p225", "p226"], TAKES], "{0}_{1:03}", "speaker_n"),  # VCTK
        ([["84", "174", "251"], ["121123"], TAKES], "{0}-{1}-{2:04}", "speaker-n-n"),  # LibriSpeech
        ([["1", "2", "5"], ["A", "B"], TAKES], "{0}-{1}-{2}", "speaker-n-n"),  # folds and takes, as in ESC-50
        ([["ann", "bob"], TAKES], "{0}_{1}", "speaker_n"),  # two may be two conditions
        ([["morning", "evening"], TAKES], "{0}_{1}", "speaker_n"),
        ([["take1", "take2", "take3"], TAKES], "{0}_{1}", "speaker_n"),
        ([["s1", "s2", "s3"], TAKES], "{0}_{1}", "speaker_n"),  # speakers or sessions
        ([["a", "b", "c"], TAKES], "{0}_{1}", "speaker_n"),
        ([["1", "2", "3"], TAKES], "{0}_{1}", "speaker_n"),
        ([NAMES, ["red", "green", "blue"], TAKES], "{0}_{1}_{2}", "speaker_n_n"),  # two fields of names
        ([NAMES, ["one", "two"]], "{0}_{1}", "speaker_n"),  # no counter
    ],
)
def test_what_may_be_the_speaker_is_a_hint(fields, form, hint):
    paths, labels = in_folders(*fields, form=form)
    speakers, pattern, told = find_speakers(paths, labels)
    assert (speakers, pattern) == ([], "")
    assert told.startswith(f"speakers unknown; if file names such as {paths[0].name} name them, say so by ")
    assert f" --pattern {hint} (" in told


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ([TAKES], "{0}"),
        ([TAKES], "take_{0}"),
        ([["noisy", "clean", "far"], TAKES], "{0}_{1}"),
        ([["train", "dev", "test"], TAKES], "{0}_{1}"),
        ([["male", "female"], TAKES], "{label}_{0}_{1}"),
        ([["angry", "happy", "sad"], TAKES], "{0}_{1}"),
        ([["2024-01-01", "2024-01-02"], TAKES], "{label}_{0}_{1}"),
        ([["20240101", "20240102"], TAKES], "{label}_{0}_{1}"),
        ([["20240101", "20240102"], ["1201", "1202"]], "{0}_{1}"),
        ([["093015", "101500"], TAKES], "rec-{0}-{1}"),
        ([["a9f3c1", "b77e02", "0c4d5e"]], "{0}"),
        ([["03a01Fa", "03a02Nc", "08b03Ta"]], "{0}"),  # EMO-DB
        ([["sa1", "sx217"]], "{0}"),  # TIMIT
        ([TAKES], "common_voice_en_{0}"),
    ],
)
def test_conditions_dates_takes_and_splits_are_no_speakers(fields, form):
    assert find_speakers(*in_folders(*fields, form=form)) == ([], "", "")


def test_a_name_for_each_file_is_no_speaker():
    paths = [Path(label, f"{label}{n}x_{n}.wav") for label in LABELS for n in range(9)]
    assert find_speakers(paths, [path.parts[0] for path in paths]) == ([], "", "")


def test_one_speaker_for_each_label_is_none():
    paths = [
        Path(label, f"{name}_{n}.wav") for label, name in zip(LABELS, NAMES, strict=True) for n in range(9)
    ]
    assert find_speakers(paths, [path.parts[0] for path in paths]) == ([], "", "")


def test_names_that_keep_to_one_label_each_are_no_speakers():
    pairs = [("yes", "yeah"), ("yes", "yep"), ("no", "nope"), ("no", "nah")]
    paths = [Path(label, f"{name}_{n}.wav") for label, name in pairs for n in TAKES]
    assert find_speakers(paths, [path.parts[0] for path in paths]) == ([], "", "")


def test_one_name_that_is_different_makes_it_unclear():
    paths, labels = in_folders(NAMES, TAKES, form="{0}_{1}")
    assert find_speakers([*paths, Path("yes/odd.wav")], [*labels, "yes"]) == ([], "", "")
    rare = [*paths, Path("yes/dan_1.wav")]
    speakers, _, hint = find_speakers(rare, [*labels, "yes"])
    assert not speakers and "--pattern speaker_n (4 speakers)" in hint


def test_the_label_of_a_flat_folder_is_clear_if_one_field_alone_can_be_it():
    assert find_label(files(LABELS, TAKES, form="{0}_{1}")) == ("label_n", "")
    assert find_label(files(["loud", "quiet"], TAKES, form="rec-{0}-{1}")) == ("n-label-n", "")


@pytest.mark.parametrize(
    ("fields", "form", "hint"),
    [
        ([["0", "7"], ["jackson", "theo"], TAKES], "{0}_{1}_{2}", "label_speaker_n (2 labels, 2 speakers)"),
        ([LABELS, NAMES, TAKES], "{0}_{1}_{2}", "label_speaker_n (3 labels, 3 speakers)"),
        ([NAMES, ["1", "2"], TAKES], "{0}-{1}-{2}", "label-speaker-n"),
        ([["0", "1", "2"], TAKES], "{0}_{1}", "label_n"),
        ([["p225", "p226"], TAKES], "{0}_{1:03}", "label_n"),
        ([NAMES, TAKES], "{0}_nohash_{1}", "label_n_n"),  # the label was the folder
        ([["01", "05"], ["01", "02"], ["01", "12"]], "03-01-{0}-{1}-{2}", "n-n-label-speaker-n"),
    ],
)
def test_an_unclear_label_is_a_hint(fields, form, hint):
    pattern, told = find_label(files(*fields, form=form))
    assert pattern == "" and f"by --pattern {hint}" in told


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ([TAKES], "{0}"),
        ([TAKES], "take_{0}"),
        ([["03a01Fa", "08b03Ta"]], "{0}"),
        ([range(30), "a"], "x{0}_{1}"),
    ],
)
def test_names_without_a_label_give_none(fields, form):
    assert find_label(files(*fields, form=form)) == ("", "")


def test_no_files_have_no_label():
    assert find_label([]) == ("", "") and find_speakers([], []) == ([], "", "")


@pytest.mark.parametrize(
    ("pattern", "name", "fields"),
    [
        ("label_speaker_n", "0_nicolas_3", {"label": "0", "speaker": "nicolas"}),
        ("label_speaker_n.wav", "0_nicolas_3", {"label": "0", "speaker": "nicolas"}),
        ("label_n", "turn-on_3", {"label": "turn-on"}),
        ("speaker-label_n", "ann-yes_3", {"speaker": "ann", "label": "yes"}),
        ("n-n-label-n-n-n-speaker", "03-01-06-01-02-01-12", {"label": "06", "speaker": "12"}),
        ("label", "yes", {"label": "yes"}),
        ("n_n", "yes_3", {}),
        ("label_n", "yes_ann_3", None),
        ("label_speaker_n", "0__3", None),
        ("label_n", "yes", None),
    ],
)
def test_a_pattern_says_what_the_fields_are(pattern, name, fields):
    found = read_fields([Path("any", f"{name}.flac")], pattern)
    assert list(found.values()) == ([] if fields is None else [fields])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("word_speaker_n", "--pattern word_speaker_n: there is no field 'word'; write label, speaker, and n"),
        ("label speaker", "there is no field 'label speaker'"),
        ("label__n", "there is no field ''"),
        ("", "there is no field ''"),
        ("label_n_label", "it has the field label more than once"),
        ("speaker-speaker", "it has the field speaker more than once"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        compile_pattern(pattern)
