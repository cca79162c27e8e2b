"""The user's own recordings: real spoken digits, from a CSV to Table 1."""

import shutil

import pandas as pd
import pytest

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def finished(workflow, root):
    recordings = root.parent / "shared/data/spoken_digits"
    if not recordings.is_dir():
        pytest.skip(f"needs the recordings of {recordings.name}")
    paths = sorted(recordings.glob("*.wav"))
    rows = [(path, *path.stem.split("_")[:2]) for path in paths]
    table = pd.DataFrame([(path, DIGITS[int(digit)], speaker) for path, digit, speaker in rows])
    table.to_csv(workflow.directory / "digits.csv", index=False, header=["path", "word", "speaker"])
    shutil.copy(root / "tests/workflow/digits.yaml", workflow.directory)
    result = workflow.run("--cores", "2", "--configfile", "digits.yaml")
    assert result.returncode == 0, result.stderr[-5000:]
    return workflow.directory / "results/digits"


def test_splits_are_drawn_and_every_recording_is_used(finished):
    words = pd.read_csv(finished / "datasets/words.csv")
    listed = pd.read_csv(finished.parent.parent / "digits.csv")
    shares = words.split.value_counts() / len(listed)  # however many speakers the recordings have
    assert shares.round(3).to_dict() == {"train": 0.6, "validation": 0.2, "test": 0.2}
    assert set(words.label) == set(DIGITS)
    assert set(words.speaker) == set(listed.speaker)


def test_table_1_is_complete_and_far_above_chance(finished):
    row = pd.read_csv(finished / "table1.csv").iloc[0]
    speakers = pd.read_csv(finished / "datasets/speakers.csv").label.nunique()
    for task, chance in (("word", 10), ("speaker", 100 / speakers)):
        assert min(row[f"{task}_full"], row[f"{task}_pruned"]) > 2 * chance
        assert row[f"{task}_parameter_reduction"] >= 0


def test_pretraining_raises_the_convexity_of_real_words(finished):
    scores = pd.read_csv(finished / "convexity.csv").query("dataset == 'words'").set_index("state")
    best = {state: scores.loc[state].nlargest(1, "score").iloc[0] for state in ("untrained", "pretrained")}
    error = (best["untrained"].stderr ** 2 + best["pretrained"].stderr ** 2) ** 0.5
    assert best["pretrained"].score - best["untrained"].score > 2 * error
    assert scores.loc["pretrained"].score.min() > scores.chance.iloc[0]
