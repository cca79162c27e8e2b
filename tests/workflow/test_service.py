"""Alignment by a web service, as a user runs it: terms, limits, and a run that asks for nothing twice."""

import re

import numpy as np
import pandas as pd
import pytest
import soundfile
import webmaus
import yaml
from convexprune.data import synthesis

PHONEMES = "results/maus/datasets/phonemes.csv"
N_VALIDATION = 12
CONFIG = """
pathvars: {results: results/maus, resources: resources/maus}
gpus: 0
threads: 1
corpus: {table: {csv: words.csv}}
datasets:
  words: {}
  phonemes: {aligner: maus, shards: 4, min_count: 1}
maus: {accept_terms: true, contact: me@example.org, max_requests: 2}
tasks: [words]
models: {tiny: {source: pretrain, layers: 1, keep: {words: 0}, pretrain: {objective: hubert}}}
finetuning: {learning_rate: {words: {full: 1.0e-3, pruned: 1.0e-3}}}
"""


@pytest.fixture(scope="module")
def service():
    server = webmaus.WebMaus(latency=0.3).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def aligned(workflow, service):
    """The workflow after a run up to the phonemes dataset, its config, and what the run printed."""
    speaker = synthesis.Speaker("0", "train", "m1", "en-us", pitch=45, rate=150, seed=1)
    rows = []
    for takes in synthesis.speak_all([speaker], ["yes", "no", "stop", "left"], 5, threads=1):
        for number, take in enumerate(takes):
            split = ["validation", "validation", "validation", "train", "test"][number % 5]
            soundfile.write(workflow.directory / f"{number}.wav", take.samples, 16_000)
            rows.append((f"{number}.wav", take.word, "s", split))
    table = pd.DataFrame(rows, columns=["path", "word", "speaker", "split"])
    table.to_csv(workflow.directory / "words.csv", index=False)
    config = yaml.safe_load(CONFIG)
    config["maus"]["url"] = service.url
    return workflow, config, run(workflow, config)


def run(workflow, config, *arguments):
    path = workflow.write_config("maus.yaml", config)
    result = workflow.run(PHONEMES, "--cores", "4", "--configfile", path, *arguments, timeout=200)
    assert result.returncode == 0, result.stderr[-5000:]
    return result.stdout + result.stderr


def test_phonemes_come_from_the_service_two_requests_at_a_time(aligned, service):
    workflow, _, printed = aligned
    phonemes = pd.read_csv(workflow.directory / PHONEMES)
    assert phonemes["item"].nunique() == N_VALIDATION
    assert set(phonemes["label"]) == set("j E s n @U t Q p l f".split())  # noqa: SIM905
    assert len(service.posts) == len(service.delivered) == N_VALIDATION
    assert service.errors == []
    assert service.max_in_flight == 2
    # Two of the four jobs at a time: the others wait for the service, not for a core.
    events = re.findall(
        r"^localrule (align_shard)|^Finished jobid: \d+ \(Rule: (align_shard)\)", printed, re.M
    )
    running = np.cumsum([1 if started else -1 for started, _ in events])
    assert len(events) == 8 and running.max() == 2


def test_another_number_of_shards_asks_for_nothing(aligned, service):
    workflow, config, _ = aligned
    before = (workflow.directory / PHONEMES).read_bytes()
    fewer = config | {"datasets": {"words": {}, "phonemes": config["datasets"]["phonemes"] | {"shards": 1}}}
    run(workflow, fewer)
    assert len(service.posts) == N_VALIDATION
    assert (workflow.directory / PHONEMES).read_bytes() == before
    # How the service is called runs nothing again.
    fewer["maus"] = config["maus"] | {"max_requests": 1, "contact": "you@example.org", "timeout": 7}
    assert "Nothing to be done" in run(workflow, fewer)


def test_the_terms_are_asked_for_before_any_job_but_not_in_a_dry_run(workflow, root):
    result = workflow.run("--cores", "1")
    printed = result.stdout + result.stderr
    assert result.returncode != 0
    assert "maus.accept_terms: true" in printed and "terms of use" in printed
    assert not (workflow.directory / "results/paper").exists()
    assert workflow.run("--dry-run", "--quiet", "all").returncode == 0
