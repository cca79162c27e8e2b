"""A disk that is full while something is written: an error that says so, no half file, and a way on."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import show_table
from archive_server import serve
from convexprune.alignment.answers import ANSWERS, Answers
from convexprune.data import corpus, downloads, synthesis
from convexprune.data.corpus import Corpus
from convexprune.finetuning import features
from convexprune.jobs import csv_files, files, logs
from convexprune.models import devices, encoders, exporting, extraction, sources
from convexprune.results.figures import style
from disk import mounted
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from matplotlib.figure import Figure
from tones import train

TABLE = pd.DataFrame({"number": range(3000)})


def write_corpus(folder, tones):
    names = (folder / f"corpus.{suffix}" for suffix in ("h5", "csv", "sha256"))
    with corpus.write_corpus(*names) as writer:
        for number in range(10):
            samples = np.random.default_rng(number).integers(-1000, 1000, 16_000)
            writer.add(f"{number}.wav", "yes", "a", "train", samples.astype(np.int16))


def write_embeddings(folder, tones):
    extraction.embed(
        folder / "words.h5",
        folder=tones / "tiny",
        recordings=Corpus(tones / "corpus.h5"),
        dataset=tones / "words.csv",
        identity={"model": "tiny", "state": "pretrained", "dataset": "words"},
        choice=extraction.Choice("train", LAYERS, "segment", "all"),
        batch_size=8,
        machine=devices.begin(0, 1),
    )


def write_features(folder, tones):
    features.cache_features(
        folder / "words.h5",
        folder=tones / "tiny",
        recordings=Corpus(tones / "corpus.h5"),
        dataset=tones / "words.csv",
        stored=features.Stored("float32"),
        batch_size=8,
        machine=devices.begin(0, 1),
    )


def write_encoder(folder, tones):
    model, feature_extractor = encoders.load_encoder(tones / "tiny")
    encoders.save_encoder(folder / "tiny", model, feature_extractor, {"id": "tiny"})


def write_fine_tuned(folder, tones):
    options = {"checkpoint": folder / "0/checkpoint"}
    train(tones, options=options, max_steps=2, eval_steps=1).save(folder / "0")


def write_figure(folder, tones):
    figure = Figure()
    figure.text(0.5, 0.5, "text")
    outputs = {kind: folder / f"figure.{kind}" for kind in ("csv", "pdf", "png")}
    style.save(figure, TABLE, SimpleNamespace(**outputs))


def write_archives(folder, tones):
    synthesis.synthesise(
        folder / "train.tar.gz",
        folder / "test.tar.gz",
        words=["yes"],
        speakers={"train": 1, "validation": 1, "test": 1},
        takes=1,
        seed=0,
        threads=1,
    )


def fetch(folder, tones):
    with serve(np.random.default_rng(0).bytes(1_000_000)) as server:
        downloads.fetch_archive(folder / "a.tar.gz", f"http://127.0.0.1:{server.server_port}/a", None, None)


def write_page(folder, tones):
    csv_files.write(tones / "table.csv", TABLE)
    smk = SimpleNamespace(
        input=SimpleNamespace(table=tones / "table.csv"),
        output=SimpleNamespace(page=folder / "page.html"),
        params=SimpleNamespace(settings={"title": "Table"}),
        log=[tones / "log"],
    )
    show_table.main(smk)


WRITERS = {
    "corpus": write_corpus,
    "table": lambda folder, tones: csv_files.write(folder / "table.csv", TABLE),
    "JSON": lambda folder, tones: files.write_json(folder / "metrics.json", [*range(3000)]),
    "page": write_page,
    "answer of an aligner": lambda folder, tones: Answers(folder, {}).write(ANSWERS, "abc", "text" * 3000),
    "embeddings": write_embeddings,
    "features": write_features,
    "encoder": write_encoder,
    "checkpoints and fine-tuned model": write_fine_tuned,
    "figure": write_figure,
    "ONNX": lambda folder, tones: exporting.write_onnx(
        folder / "model.onnx", make_encoder(head=True), make_feature_extractor()
    ),
    "pruned model": lambda folder, tones: exporting.export_pruned(folder / "pruned", str(tones / "tiny"), 1),
    "synthetic archives": write_archives,
    "downloaded archive": fetch,
}
KEPT = {".a.tar.gz.part", ".a.tar.gz.part.json"}  # of a download: it goes on there


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path, 24) as disk:
        yield disk


def contents(folder):
    """The bytes of all files in `folder`, by path; of those with times in them, none."""
    timed = {"metrics.json", "a.tar.gz.source"}  # the port of the server
    return {
        str(path.relative_to(folder)): b"" if path.name in timed else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_named_and_leaves_nothing_half_written(disk, tones, kind):
    write, folder = WRITERS[kind], disk.folder / "work"
    folder.mkdir()
    used = shutil.disk_usage(folder).used
    write(folder, tones)
    size = shutil.disk_usage(folder).used - used
    whole = contents(folder)
    for share in (0, 0.6):
        shutil.rmtree(folder)
        folder.mkdir()
        disk.leave(int(share * size))
        with pytest.raises((files.DiskFullError, ValueError)) as caught:
            write(folder, tones)
        advice = logs.advise(caught.value, "log")
        assert str(folder) in advice and "\n" not in advice
        assert "run again" in advice and ("the disk is full" in advice or "its disk" in advice)
        for name, content in contents(folder).items():
            if "/checkpoint/" not in name and name not in KEPT:
                assert content == whole.get(name), name
    disk.empty()
    write(folder, tones)
    assert contents(folder) == whole


def test_a_hub_download_names_the_full_disk_and_not_the_network(tmp_path, monkeypatch):
    file = SimpleNamespace(rfilename="model.safetensors")
    info = SimpleNamespace(siblings=[file], sha="abc", card_data=None)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **options: info)

    def fail(*args, **options):
        raise RuntimeError("Data processing error: No space left on device (os error 28)")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with (
        pytest.raises(files.DiskFullError) as caught,
        sources.downloaded("a/b", "main", tmp_path / "store"),
    ):
        pass
    assert caught.value.filename == str(tmp_path / "store")


def test_the_last_line_says_what_to_do_where_the_log_does_not_fit_either(disk, root):
    code = (
        f"import sys; sys.path.insert(0, {str(root / 'workflow/scripts')!r})\n"
        "from convexprune.jobs import files, logs\n"
        "logs.start_log('job.log')\n"
        "files.write_json('metrics.json', [*range(3000)])\n"
    )
    disk.leave(0)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=disk.folder, capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and "Logging error" not in result.stderr
    assert "What to do: the disk is full: free space for metrics.json" in result.stderr.splitlines()[-1]
