"""Embeddings files are read back, or named with what is wrong with them."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from convexprune.convexity import embeddings


def write_file(path, layers=3, items=5, labels=5, complete=True):
    with h5py.File(path, "w") as file:
        file["hidden_states"] = np.arange(layers * items * 2, dtype=np.float32).reshape(layers, items, 2)
        file["labels"] = [f"l{i}" for i in range(labels)]
        file.attrs["complete"] = complete


def test_a_layer_is_read_back(tmp_path):
    write_file(tmp_path / "e.h5")
    assert embeddings.count_layers(tmp_path / "e.h5") == 2
    vectors, labels = embeddings.read_layer(tmp_path / "e.h5", 1)
    np.testing.assert_array_equal(vectors, np.arange(10, 20).reshape(5, 2))
    assert labels.tolist() == ["l0", "l1", "l2", "l3", "l4"]


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_the_file_does_not_have_is_refused(tmp_path, layer):
    write_file(tmp_path / "e.h5")
    with pytest.raises(ValueError, match=f"layers 0 to 2, not {layer}"):
        embeddings.read_layer(tmp_path / "e.h5", layer)


@pytest.mark.parametrize("damage", [{"complete": False}, {"labels": 4}])
def test_an_unfinished_file_is_named(tmp_path, damage):
    write_file(tmp_path / "e.h5", **damage)
    with pytest.raises(
        ValueError, match=r"e\.h5 (is not complete|has other labels than items); .* delete it"
    ):
        embeddings.count_layers(tmp_path / "e.h5")


def test_a_file_that_is_no_hdf5_is_named(tmp_path):
    (tmp_path / "e.h5").write_text("no", encoding="utf-8")
    with pytest.raises(ValueError, match=r"e\.h5 is damaged .* delete it"):
        embeddings.read_layer(tmp_path / "e.h5", 0)


def test_reading_needs_no_torch():
    code = "import sys, convexprune.convexity.embeddings as read; "
    code += "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )
