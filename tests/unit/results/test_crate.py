"""The crate of a run: every file with its hash, everything that is referred to described, nothing else.

tests/install validates crates by the profiles' own validator.
"""

import hashlib
import json
from datetime import datetime
from urllib.parse import unquote

import finished
import pytest
from convexprune.results import crate


def read(folder):
    """The entities of a crate by their ids, each of which is there once."""
    graph = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    return entities


def references(value):
    """Every id that an entity refers to."""
    if isinstance(value, list):
        return {found for item in value for found in references(item)}
    if isinstance(value, dict):
        return {value["@id"]} if set(value) == {"@id"} else references([*value.values()])
    return set()


@pytest.mark.parametrize("config", ["resources/demo.yaml", "config.yaml"])
def test_files_have_their_hashes_and_references_lead_to_entities(root, tmp_path, config):
    folder = finished.write(tmp_path, root / config)
    entities = read(folder)
    local = {
        name: entity for name, entity in entities.items() if entity["@type"] == "File" and ":" not in name
    }
    assert len(local) > 8
    for name, entity in local.items():
        content = (folder / unquote(name)).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest()
        assert entity["contentSize"] == str(len(content))
    assert {unquote(name) for name in local} >= {
        "table1.csv",
        "figures/a plot.pdf",
        "models/" + model(config),
    }
    assert not any(".hidden" in name or name.startswith("embeddings") for name in local)
    parts = references(entities["./"]["hasPart"])
    assert parts >= {*local, "crate/Snakefile"} and parts <= entities.keys()
    outside = references([*entities.values()]) - entities.keys()
    assert all(name.startswith("http") for name in outside), outside


def model(config):
    return f"{'hubert-small' if 'demo' in config else 'wav2vec2-base'}/model.safetensors"


def test_the_run_has_inputs_outputs_times_versions_and_who_ran_it(root, tmp_path):
    entities = read(finished.write(tmp_path, root / "config.yaml"))
    run = entities["#run"]
    assert datetime.fromisoformat(run["startTime"]) == datetime(2026, 11, 28, 1, 10).astimezone()
    assert datetime.fromisoformat(run["endTime"]) == datetime(2026, 11, 28, 2, 59, 59).astimezone()
    assert entities[run["agent"]["@id"]]["name"] == "Ada Lovelace"
    assert entities["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    given = {entities[name]["name"]: entities[name] for name in references(run["object"])}
    archive = given["speech_commands_v0.02.tar.gz"]
    assert archive["sha256"] == "ab" * 32 and archive["@id"].startswith("http") and "config.yaml" in given
    assert "facebook/wav2vec2-base/tree/" in given["wav2vec2-base"]["isBasedOn"]["@id"]
    made = {entities[name]["name"] for name in references(run["result"])}
    assert made >= {"table1.csv", "model.onnx"} and not made & given.keys()
    software = {(e["name"], e["softwareVersion"]) for e in entities.values() if "softwareVersion" in e}
    pythons = {("python", "3.11.7"), ("python", "3.12.1")}
    assert software == pythons | {("convexprune", "0.2.0"), ("torch", "2.14.1+cpu"), ("numpy", "2.4.6")}


def test_what_a_run_pretrains_is_no_input(root, tmp_path):
    entities = read(finished.write(tmp_path, root / "resources/demo.yaml"))
    run = entities["#run"]
    assert references(run["object"]) == {"crate/inputs/demo.yaml"}
    assert "models/hubert-small/model.safetensors" in references(run["result"])


def test_a_table_of_recordings_goes_with_the_crate(root, tmp_path):
    config = finished.finish_run(tmp_path, root / "resources/demo.yaml")
    (tmp_path / "mine.csv").write_text("path,word\na.wav,yes\n", encoding="utf-8")
    config["corpus"] = {"table": {"csv": str(tmp_path / "mine.csv")}}
    folder = crate.write_crate(config, root / "resources/demo.yaml", None, "").parent
    entities = read(folder)
    assert "crate/inputs/mine.csv" in references(entities["#run"]["object"])
    assert (folder / "crate/inputs/mine.csv").read_text(encoding="utf-8").startswith("path,word")
    # What nobody stated, the crate does not state either.
    assert "agent" not in entities["#run"] and entities["#licence"]["name"] == "Not stated"


def test_the_workflow_in_the_crate_is_the_one_that_ran(root, tmp_path):
    folder = finished.write(tmp_path, root / "resources/demo.yaml")
    finished.write(tmp_path, root / "resources/demo.yaml")  # again, in place of the first
    for name in ("Snakefile", "workflow/rules/common.smk", "workflow/scripts/embed.py", "requirements.lock"):
        assert (folder / "crate" / name).read_bytes() == (root / name).read_bytes()
    assert not [*folder.rglob("__pycache__")] and not [*folder.glob(".crate*")]


@pytest.mark.parametrize(
    ("absent", "agent", "licence", "message"),
    [
        ("summary.md", None, "", "has no summary.md: run the workflow with .* to its end first"),
        ("logs/plan.log", None, "MIT", "'MIT' is not a URL"),
        ("logs/plan.log", crate.Agent("Ada", "0000-0002"), "", "'0000-0002' is not a URL"),
    ],
)
def test_what_is_missing_is_named(root, tmp_path, absent, agent, licence, message):
    config = finished.finish_run(tmp_path, root / "resources/demo.yaml")
    (tmp_path / "results" / absent).unlink()
    with pytest.raises(ValueError, match=message):
        crate.write_crate(config, root / "resources/demo.yaml", agent, licence)
    assert not (tmp_path / "results/ro-crate-metadata.json").exists()
