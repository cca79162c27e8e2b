"""Speech Commands from a web server of this machine: cut, killed, gone on with, ingested and counted."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml
from archive_server import Fault, serve
from convexprune.data import corpus, synthesis

RESOURCES, RESULTS = "resources/real", "results/real"
TRAIN, TEST = "speech_commands_v0.02", "speech_commands_test_set_v0.02"
VALIDATION = ["yes/0000000b_nohash_0.wav", "no/0000000b_nohash_0.wav"]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The two archives: two words, a speaker a split."""
    folder = tmp_path_factory.mktemp("archives")
    rng = np.random.default_rng(0)

    def clip():
        return corpus.encode_wav(rng.integers(-9000, 9000, 16_000).astype(np.int16))

    with synthesis.write_archive(folder / f"{TRAIN}.tar.gz") as archive:
        for word in ("yes", "no"):
            for speaker in "abc":
                synthesis.add_file(archive, f"{word}/0000000{speaker}_nohash_0.wav", clip())
        testing = [name.replace("b_", "c_") for name in VALIDATION]
        synthesis.add_file(archive, "validation_list.txt", "\n".join(VALIDATION).encode())
        synthesis.add_file(archive, "testing_list.txt", "\n".join(testing).encode())
    with synthesis.write_archive(folder / f"{TEST}.tar.gz") as archive:
        for name in (
            "yes/0000000c_nohash_0.wav",
            "_unknown_/no_0000000c_nohash_0.wav.wav",
            "_silence_/0.wav",
        ):
            synthesis.add_file(archive, name, clip())
    return folder


@pytest.fixture(scope="module")
def config(root):
    config = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    return config | {
        "pathvars": {"results": RESULTS, "resources": RESOURCES},
        "datasets": {"words": {}},
        "tasks": ["words"],
    }


def test_killed_and_run_again_nothing_comes_twice(workflow, config, archives):
    content = (archives / f"{TRAIN}.tar.gz").read_bytes()
    with serve(content) as server:
        # One from a mirror, which comes before its url, and one from a folder, which comes before both.
        config["corpus"] = {
            "speech_commands": {
                "mirror": server.url.replace("a.tar.gz", "mirror/"),
                TRAIN: {"url": "https://elsewhere.invalid/a.tar.gz"},
                TEST: {"path": str(archives / f"{TEST}.tar.gz")},
            }
        }
        name = workflow.write_config("real.yaml", config)
        run = (f"{RESULTS}/datasets/summary.md", "--cores", "1", "--configfile", name)
        server.faults += [Fault(cut=50_000), Fault(cut=50_000), *[Fault(status=503)] * 50]
        part = workflow.directory / f"{RESOURCES}/speech_commands/.{TRAIN}.tar.gz.part"
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *run],
            cwd=workflow.directory,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size == 100_000) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert part.stat().st_size == 100_000

        server.faults.clear()
        workflow.run("--configfile", name, "--unlock")
        result = workflow.run(*run, "--rerun-incomplete")
        assert result.returncode == 0, result.stderr[-5000:]
        assert server.sent == len(content)
        assert {request["path"] for request in server.requests} == {f"/mirror/{TRAIN}.tar.gz"}

    archive = workflow.directory / f"{RESOURCES}/speech_commands/{TRAIN}.tar.gz"
    assert archive.read_bytes() == content
    words = pd.read_csv(workflow.directory / RESULTS / "datasets/words.csv")
    assert words["split"].value_counts().to_dict() == {"train": 2, "validation": 2, "test": 2}
    assert set(words[words["split"] == "validation"]["item"]) == set(VALIDATION)
    summary = pd.read_csv(workflow.directory / RESULTS / "datasets/summary.csv")
    compared = summary.dropna(subset="paper").set_index(["dataset", "split", "quantity"])["difference"]
    assert compared["words", "train", "files"] == 2 - 84_843
    assert compared["corpus", "test", "files"] == 3 - 4_890
    assert "These differ:" in (workflow.directory / RESULTS / "datasets/summary.md").read_text(
        encoding="utf-8"
    )

    # Code that is edited fetches nothing again; what was read from the archive stays too.
    samples = workflow.directory / RESULTS / "corpus/corpus.h5"
    made = samples.stat().st_mtime_ns
    adapter = workflow.directory / "workflow/scripts/download_archive.py"
    adapter.write_text(
        adapter.read_text(encoding="utf-8").replace("def main", "EDITED = True\n\n\ndef main"),
        encoding="utf-8",
    )
    edited = workflow.run(*run)  # with the server gone: a request would fail
    assert edited.returncode == 0, edited.stderr[-5000:]
    assert "rule download_archive" in edited.stderr and "Code has changed" in edited.stderr
    assert archive.read_bytes() == content and samples.stat().st_mtime_ns == made

    # Another source is refused, as it may be another archive, unless the sum says that it is the same.
    config["corpus"]["speech_commands"]["mirror"] = None
    workflow.write_config("real.yaml", config)
    refused = workflow.run(*run, "--dry-run")
    told = refused.stdout + refused.stderr
    assert refused.returncode != 0 and f"{archive.name} came from {server.url[:16]}" in told
    assert hashlib.sha256(content).hexdigest() in told and "elsewhere.invalid" in told

    # The archive is there: to write its sum into the config fetches nothing, another sum is refused.
    entry = config["corpus"]["speech_commands"][TRAIN]
    entry["sha256"] = hashlib.sha256(content).hexdigest()
    workflow.write_config("real.yaml", config)
    again = workflow.run(*run, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr
    recorded, entry["sha256"] = entry["sha256"], "0" * 64
    workflow.write_config("real.yaml", config)
    refused = workflow.run(*run, "--dry-run")
    told = refused.stdout + refused.stderr
    assert refused.returncode != 0 and "0" * 64 in told and recorded in told and archive.name in told

    # A local archive is read where it is: another one, or a change of it, is noticed.
    local = archives / f"{TEST}.tar.gz"
    assert not (workflow.directory / RESOURCES / "speech_commands" / local.name).exists()
    entry["sha256"] = recorded
    workflow.write_config("real.yaml", config)
    local.write_bytes(local.read_bytes() + b"more")
    changed = workflow.run(*run, "--dry-run")
    assert "rule ingest_archives" in changed.stdout + changed.stderr
    config["corpus"]["speech_commands"][TEST] = {"path": str(local), "size": 5}
    workflow.write_config("real.yaml", config)
    refused = workflow.run(*run, "--dry-run")
    assert f"{TEST}.size: 5; {local} has" in refused.stdout + refused.stderr
    config["corpus"]["speech_commands"][TEST] = {"path": str(local) + ".gone"}
    workflow.write_config("real.yaml", config)
    refused = workflow.run(*run, "--dry-run")
    assert f"{local.name}.gone" in refused.stdout + refused.stderr and "no such file" in refused.stderr


def test_the_standard_test_is_in_one_archive(workflow, config, archives, tmp_path):
    shutil.copy(archives / f"{TRAIN}.tar.gz", tmp_path)
    config["corpus"] = {"speech_commands": {"test": "standard", "mirror": str(tmp_path), TRAIN: {}}}
    config["pathvars"] = {"results": f"{RESULTS}/standard", "resources": RESOURCES}
    name = workflow.write_config("standard.yaml", config)
    target = f"{RESULTS}/standard/datasets/summary.md"
    result = workflow.run(target, "--cores", "1", "--configfile", name)
    assert result.returncode == 0, result.stderr[-5000:]
    folder = (workflow.directory / target).parent
    words = pd.read_csv(folder / "words.csv")
    tested = {path.replace("b_", "c_") for path in VALIDATION}
    assert set(words[words["split"] == "test"]["item"]) == tested
    assert words["split"].value_counts().to_dict() == {"train": 2, "validation": 2, "test": 2}
    summary = pd.read_csv(folder / "summary.csv").dropna(subset="paper")
    assert set(summary["split"]) == {"train", "validation", "all"}
    assert "not the paper's, so it is not compared" in (folder / "summary.md").read_text(encoding="utf-8")


def test_a_corpus_without_a_source_is_refused(workflow, config):
    config["corpus"] = {"speech_commands": {TRAIN: {"url": "https://somewhere.invalid/a"}, TEST: {}}}
    result = workflow.run("--dry-run", "--configfile", workflow.write_config("none.yaml", config))
    assert f"corpus.speech_commands.{TEST}: required: its url or path" in result.stdout + result.stderr
