"""Three labels of one corpus of utterances: from a CSV to Table 1, figures and report."""

import browser
import h5py
import pandas as pd
import pytest
import utterances
import yaml
from convexprune.convexity import embeddings
from convexprune.data import corpus

LABELS = {"languages": "language", "voices": "voice", "sentences": "sentence"}
STATES = {"pretrained", "languages", "sentences"}


@pytest.fixture(scope="module")
def models(root):
    """Two models that are pretrained here, and a real one where it is there."""
    whisper = root.parent / "shared/models/whisper-tiny.en"
    return ["hubert-tiny", "wav2vec2-tiny", *(["whisper-tiny"] if whisper.is_dir() else [])]


@pytest.fixture(scope="module")
def finished(workflow, root, models):
    utterances.write(workflow.directory, takes=2)
    config = yaml.safe_load((root / "tests/workflow/labels.yaml").read_text(encoding="utf-8"))
    if "whisper-tiny" in models:
        path = str(root.parent / "shared/models/whisper-tiny.en")
        config["models"]["whisper-tiny"] = {"source": "path", "path": path, "layers": 4}
    workflow.write_config("labels.yaml", config)
    result = workflow.run("--cores", "2", "--configfile", "labels.yaml")
    assert result.returncode == 0, result.stderr[-5000:]
    report = workflow.run("--configfile", "labels.yaml", "--report", "results/labels/report.html")
    assert report.returncode == 0, report.stderr[-5000:]
    return workflow.directory / "results/labels"


def test_no_speaker_is_in_two_splits_and_every_class_is_in_each(finished):
    for name in LABELS:
        dataset = corpus.read_dataset(finished / f"datasets/{name}.csv")
        assert (dataset.groupby("speaker").split.nunique() == 1).all()
        assert (dataset.groupby("label").split.nunique() == 3).all()
    assert "speakers are in several splits" not in (finished / "summary.md").read_text(encoding="utf-8")


def test_labels_of_the_same_recordings_are_embedded_once(finished, models):
    """One forward pass for each recording, model and state: the file has each once, whatever its labels."""
    files = {path.relative_to(finished / "embeddings") for path in (finished / "embeddings").rglob("*.h5")}
    states = [(model, state) for model in models for state in (*STATES, "untrained")]
    assert {str(path) for path in files} == {f"{model}/{state}/languages.h5" for model, state in states}
    recordings = corpus.read_table(finished / "corpus/corpus.csv").query("split == 'validation'")
    for path in files:
        with h5py.File(finished / "embeddings" / path) as file:
            assert file["items"].asstr()[:].tolist() == recordings["path"].tolist()
            assert file.attrs["seconds"] == 3
    for model in models:
        path = finished / f"embeddings/{model}/pretrained/languages.h5"
        for name, column in LABELS.items():
            rows, items = embeddings.find_items(path, corpus.read_dataset(finished / f"datasets/{name}.csv"))
            assert items["label"].tolist() == recordings[column].iloc[rows].tolist()


def test_every_label_is_scored_and_every_task_is_in_table_1(finished, models):
    scores = pd.read_csv(finished / "convexity.csv")
    scored = set(scores[["model", "state", "dataset"]].itertuples(index=False, name=None))
    expected = {(model, state, name) for model in models for state in STATES for name in LABELS}
    assert scored == expected | {(model, "untrained", "voices") for model in models}
    table = pd.read_csv(finished / "table1.csv").set_index("model").loc[models]
    for task in ("languages", "sentences"):
        assert table[[f"{task}_full", f"{task}_pruned", f"{task}_inference_diff"]].notna().all(axis=None)
    text = (finished / "table1.md").read_text(encoding="utf-8")
    assert "## Classification of languages" in text and "## Classification of sentences" in text
    summary = (finished / "summary.md").read_text(encoding="utf-8")
    assert "fine-tuned to languages and to sentences" in summary and "not in this config" not in summary


def test_whisper_computes_as_much_as_a_clip_has(finished, models):
    if "whisper-tiny" not in models:
        pytest.skip("needs whisper-tiny.en")
    text = (finished / "models/whisper-tiny/config.json").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["max_source_positions"] == 150
    exported = (finished / "exported/whisper-tiny/languages/config.json").read_text(encoding="utf-8")
    assert yaml.safe_load(exported)["max_source_positions"] == 150


@pytest.mark.skipif(not browser.CHROMIUM.exists(), reason="needs chromium")
def test_the_report_shows_every_figure(finished):
    figures = sorted((finished / "figures").glob("*.png"))
    with browser.opened(finished / "report.html") as report:
        assert len(report.results("6. Figures")) == len(figures)
        for number in range(len(figures)):
            assert browser.picture_width(report.view("6. Figures", number)) > 500
        assert not report.problems
