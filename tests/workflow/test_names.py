"""Names that look like numbers or missing values, up to the plan and what it leads to, in an odd folder."""

import csv
import itertools
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import soundfile
import yaml
from convexprune.jobs import csv_files

MODELS, SPEAKERS = ["2024", "NA"], ["007", "nan"]
WORDS = ["1e5", "null", "_silence_", "café"]
SPLITS = {"train": 4, "validation": 3, "test": 1}
TINY = {"objective": "hubert", "clusters": 4, "epochs": 1, "conv_dim": [8, 8, 8]}
TINY |= {"hidden_size": 16, "attention_heads": 2, "intermediate_size": 32}
CONFIG = {
    "pathvars": {"results": "results/names"},
    "gpus": 0,
    "threads": 1,
    "corpus": {"table": {"csv": "mine.csv"}},
    "datasets": {"words": {}},
    "tasks": ["words"],
    "models": {name: {"source": "pretrain", "layers": 2, "pretrain": TINY} for name in MODELS},
    "convexity": {"n_neighbors": 3},
    "finetuning": {"learning_rate": {"words": {"full": 1.0e-3, "pruned": 1.0e-3}}},
}


def run(root, folder, *arguments):
    command = ["--snakefile", str(root / "Snakefile"), "--cores", "2", "--configfile", "mine.yaml"]
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, *command],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=1800,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-5000:]
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def folder(root, tmp_path_factory):
    """Where it ran; café is spelt in both forms of Unicode, and a recording has a copy."""
    folder = tmp_path_factory.mktemp("names") / "p{q} 'é"
    folder.mkdir()
    rng, rows = np.random.default_rng(0), []
    for (split, takes), word, speaker in itertools.product(SPLITS.items(), WORDS, SPEAKERS):
        for take in range(takes):
            path = f"{split}-{word}-{speaker}-{take}.wav"
            wave = np.sin(np.arange(8_000) * (1 + WORDS.index(word)) / 20) / 3
            soundfile.write(folder / path, wave + rng.normal(0, 0.02, 8_000), 16_000)
            rows.append((path, unicodedata.normalize("NFD" if take % 2 else "NFC", word), speaker, split))
    (folder / "copy.wav").write_bytes((folder / rows[0][0]).read_bytes())
    rows.append(("copy.wav", *rows[0][1:3], "test"))
    with open(folder / "mine.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "word", "speaker", "split"), *rows])
    (folder / "mine.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")
    run(root, folder, "results/names/plan.csv", "results/names/datasets/summary.md")
    return folder


def test_every_table_is_read_as_it_was_written(folder):
    tables = sorted((folder / "results").rglob("*.csv"))
    names = {"plan.csv", "corpus.csv", "summary.csv", "words.csv", "words.classes.csv"}
    names.add("words.covariances.csv")
    assert {path.name for path in tables} == names
    for path in tables:
        table = csv_files.read(path)
        with open(path, encoding="utf-8", newline="") as file:
            written = list(csv.DictReader(file))
        for name in csv_files.TEXT & set(table):
            assert table[name].tolist() == [row[name] for row in written], (path, name)


def test_every_name_comes_through(folder):
    results = folder / "results/names"
    corpus = csv_files.read(results / "corpus/corpus.csv")
    assert set(corpus["word"]) == set(WORDS) and set(corpus["speaker"]) == set(SPEAKERS)
    assert set(csv_files.read(results / "datasets/words.csv")["label"]) == set(WORDS)
    for model in MODELS:
        classes = csv_files.read(results / f"convexity/{model}/pretrained/words.classes.csv")
        assert set(classes["label"]) == set(WORDS) and set(classes["model"]) == {model}


def test_what_follows_from_the_plan_is_planned_by_model(root, folder):
    plan = csv_files.read(folder / "results/names/plan.csv").set_index("model")["layers"]
    assert plan.index.tolist() == MODELS
    planned = run(root, folder, "--dry-run", "--workflow-profile", "none")
    for model in MODELS:
        for layers in {2, plan[model]}:
            assert f"results/names/finetuned/{model}/words/{layers}/0/metrics.json" in planned


def test_copies_and_spellings_are_told(folder):
    text = (folder / "results/names/datasets/summary.md").read_text(encoding="utf-8")
    assert "corpus: 2 recordings have the samples of one in another split" in text
    log = (folder / "results/names/logs/ingest_table.log").read_text(encoding="utf-8")
    assert "word: spellings that look the same are taken as one: 'cafe\\u0301', 'caf\\xe9'" in log
