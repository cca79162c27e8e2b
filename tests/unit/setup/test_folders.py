"""What the folders of recordings are taken for: splits, labels, speakers; or why not."""

from itertools import product
from pathlib import Path

import pytest
from convexprune.setup.folders import find_layout, find_split

WORDS = ["yes", "no", "stop"]


def files(*levels):
    """A file in each combination of folders."""
    return [Path(*folders, "take.wav") for folders in product(*levels)]


@pytest.mark.parametrize(
    ("split", "names"),
    [
        (
            "train",
            "train Train TRAINING training trn tr trainval train_val train-clean-100 TrainSet",
        ),
        (
            "validation",
            "validation Validation VAL val valid validate dev devel Development dev-clean cv val2",
        ),
        ("test", "test TEST testing tests tst tt te test-other test_set TestSet testdata 03_test test_wav"),
        ("eval", "eval Evaluation holdout held-out heldout eval_1"),
        (None, "yes no trains station testify evaluate tr01 TT02 contest devil train-test mytest 日本"),
    ],
)
def test_the_usual_names_of_splits_are_known(split, names):
    assert {name: find_split(name) for name in names.split()} == dict.fromkeys(names.split(), split)


@pytest.mark.parametrize("name", ["Training set", "train (1)", "train - 16 wav"])
def test_words_of_no_meaning_beside_them_are_passed_over(name):
    assert find_split(name) == "train"


@pytest.mark.parametrize("name", ["test drive", "train station", "test_tube", "Развитие train", "", "-"])
def test_words_with_more_in_them_are_no_names_of_splits(name):
    assert find_split(name) is None


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "val", "test"], ["train", "validation", "test"]),
        (["Training", "DEV", "eval"], ["train", "validation", "test"]),
        (["train", "eval", "test"], ["train", "validation", "test"]),
        (["tr", "cv", "tt"], ["train", "validation", "test"]),
        (["train", "test"], ["train", "test"]),
        (["train", "dev"], ["train", "validation"]),
        (["train", "eval"], ["train", "test"]),
        (
            ["train-clean-100", "train-clean-360", "dev-clean", "test-other"],
            ["train", "train", "validation", "test"],
        ),
    ],
)
@pytest.mark.parametrize(
    "levels",
    ["split/label", "label/split", "split/label/speaker", "label/split/speaker", "label/speaker/split"],
)
def test_splits_are_found_on_any_level(folders, splits, levels):
    of_level = {"split": folders, "label": WORDS, "speaker": ["ann", "bob"]}
    paths = files(*(of_level[level] for level in levels.split("/")))
    layout, found = find_layout(paths)
    assert found == paths
    assert "/".join(layout.levels) == levels and layout.splits == dict(zip(folders, splits, strict=True))
    assert layout.name("label", paths[-1]) == "stop" and layout.name("split", paths[-1]) == folders[-1]
    assert str(layout).startswith(f"{levels}/file.wav")
    for folder, split in layout.splits.items():
        assert (f"{folder} is {split}" in str(layout)) == (folder != split)


@pytest.mark.parametrize(
    ("levels", "layout", "told"),
    [
        ([["yes", "no", "test"]], "label", "taken for the name of a label, not of a split: test"),
        ([["yes", "no", "train", "test"]], "label", "not of a split: test, train"),
        ([["yes", "no", "test"], ["ann", "bob"]], "label/speaker", "not of a split: test"),
        ([["yes", "no", "up", "train", "test"], ["ann"]], "label/speaker", "not of a split: test, train"),
        ([WORDS, ["ann", "val"]], "label/speaker", "taken for the name of a speaker, not of a split: val"),
        ([WORDS, ["dev"]], "label/speaker", "taken for the name of a speaker, not of a split: dev"),
        (
            [["train", "test"], WORDS, ["a", "b"]],
            "split/label/speaker",
            "may be label/speaker or speaker/label",
        ),
    ],
)
def test_what_might_be_meant_otherwise_is_told(levels, layout, told):
    found, _ = find_layout(files(*levels))
    assert "/".join(found.levels) == layout
    assert told in "\n".join(found.notes)


@pytest.mark.parametrize("levels", [[WORDS], [WORDS, ["ann", "bob"]]])
def test_nothing_is_told_where_nothing_looks_like_a_split(levels):
    assert not find_layout(files(*levels))[0].notes


def test_labels_that_are_all_trained_on_tell_them_from_speakers():
    train = files(["train"], WORDS, ["ann", "bob"])
    layout, _ = find_layout(train + files(["dev", "test"], WORDS, ["cid"]))
    assert layout.levels == ("split", "label", "speaker") and not layout.notes
    swapped = files(["train"], ["ann", "bob"], WORDS) + files(["dev", "test"], ["cid"], WORDS)
    with pytest.raises(ValueError, match="such as cid, are not all in train, but the lower ones are"):
        find_layout(swapped)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (
            [["train", "val", "test"]],
            "the folders test, train, val are splits, and hold files but no fold",
        ),
        ([["dev", "test"], WORDS], "the folders dev, test are splits, but none is for training"),
        ([["train", "dev", "test", "eval"], WORDS], "dev, eval, test, train two may be for test"),
        ([["train", "test", "extra"], WORDS], "test, train look like splits, extra beside them not"),
        ([["train", "test"], ["train", "test"]], "two levels of folders are named after splits"),
        ([["train"], WORDS], r"all recordings are in folders of one split \(train\)"),
        ([WORDS, ["train"]], r"all recordings are in folders of one split \(train\)"),
        ([["train", "Training"], WORDS], r"all recordings are in folders of one split \(Training, train\)"),
        ([["fold1", "fold2", "fold10"], WORDS], "the folders fold1, fold10, fold2 are folds, not labels"),
        (
            [["audio"], WORDS],
            "there is one label, audio: if the folders in it are the labels, give this folder",
        ),
        ([["audio"], ["train", "test"], WORDS], "there is one label, audio"),
        ([["fold1", "fold2"]], "the folders fold1, fold2 are folds, not labels"),
    ],
)
def test_what_is_not_clear_is_refused_in_a_line_with_a_way_out(levels, message):
    with pytest.raises(ValueError, match=message) as caught:
        find_layout(files(*levels))
    assert "\n" not in str(caught.value) and "CSV" in str(caught.value)


def test_a_stray_file_changes_nothing():
    paths = files(["train", "test"], WORDS)
    strays = [Path("train/notes.wav"), Path("readme.wav"), Path("test/yes/a/b.wav")]
    layout, found = find_layout(strays + paths)
    assert layout.levels == ("split", "label") and found == paths


def test_folders_too_deep_for_labels_and_speakers_are_no_layout():
    assert find_layout(files(WORDS, ["a", "b"], ["x", "y"])) is None
    assert find_layout([Path("take.wav")]) is None and find_layout([]) is None
