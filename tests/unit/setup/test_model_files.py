"""Model folders: what an import reads is what the rule takes as its input."""

import json
import sys

import pytest
import torch
import traces
from convexprune.setup import model_files
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from safetensors.torch import load_file


def edit(path, change):
    """Change the object in a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(change(content)), encoding="utf-8")


def as_bin(folder):
    """Weights as torch saves them in place of safetensors."""
    for path in list(folder.glob("*.safetensors")):
        torch.save(load_file(path), folder / bin_name(path.name))
        path.unlink()
    for path in list(folder.glob("*.index.json")):
        edit(
            path,
            lambda index: index | {"weight_map": {k: bin_name(v) for k, v in index["weight_map"].items()}},
        )
        path.rename(folder / bin_name(path.name))


def bin_name(name):
    return name.replace("model", "pytorch_model").replace(".safetensors", ".bin")


def nest_preparation(folder):
    """What a processor of Transformers 5 writes."""
    path = folder / "preprocessor_config.json"
    edit(path, lambda preparation: {"feature_extractor": preparation})
    path.rename(folder / "processor_config.json")


def name_weights(folder):
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    edit(folder / "config.json", lambda config: config | {"transformers_weights": "other.safetensors"})


def write_card(folder):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")


def write_others(folder):
    """What is in many folders and nobody reads; weights in a second format among them."""
    for name in ("tokenizer_config.json", "generation_config.json", "training_args.bin", "optimizer.pt"):
        (folder / name).write_text("{}", encoding="utf-8")
    (folder / "pytorch_model.bin").write_text("not read", encoding="utf-8")


FOLDERS = {
    "one file": (),
    "a .bin": (as_bin,),
    "a name of its own": (name_weights,),
    "a processor": (nest_preparation,),
    "no preparation": (lambda folder: (folder / "preprocessor_config.json").unlink(),),
    "a card": (write_card,),
    "more files": (write_others,),
    "shards": (),
    "shards as .bin": (as_bin, write_card),
}


IMPORT = """
import sys
from convexprune.models import sources

for path in sys.argv[1:]:
    sources.import_encoder(path + "-imported", path=path, layers=%d)
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The folders, by kind, and all files that their imports read."""
    root = tmp_path_factory.mktemp("folders")
    folders = {kind: root / kind for kind in FOLDERS}
    for kind, folder in folders.items():
        make_encoder().save_pretrained(folder, max_shard_size="8KB" if kind.startswith("shards") else "5GB")
        make_feature_extractor().save_pretrained(folder)
        for change in FOLDERS[kind]:
            change(folder)
    command = [sys.executable, "-c", IMPORT % LAYERS, *map(str, folders.values())]
    return folders, traces.trace(tmp_path_factory.mktemp("trace") / "trace", command)


@pytest.mark.skipif(not traces.can_trace(), reason="needs strace, and leave to trace")
@pytest.mark.parametrize("kind", FOLDERS)
def test_what_an_import_reads_is_known_before(imported, kind):
    folders, read = imported
    known = model_files.find_model_files(folders[kind])
    assert {path for path in read if path.parent == folders[kind]} == set(known)
    assert len(known) >= (6 if kind.startswith("shards") else 2)


def test_both_preparations_are_known_where_both_are_there(tmp_path):
    """Which of them counts is for Transformers to say."""
    make_encoder().save_pretrained(tmp_path)
    make_feature_extractor().save_pretrained(tmp_path)
    (tmp_path / "processor_config.json").write_text("{}", encoding="utf-8")
    known = {path.name for path in model_files.find_model_files(tmp_path)}
    assert {"preprocessor_config.json", "processor_config.json"} < known
