"""HDF5 files that were cut, altered or exchanged: noticed when they are read, and named."""

import collections
import random
import shutil

import h5py
import numpy as np
import pytest
from convexprune.convexity import embeddings
from convexprune.data import corpus
from convexprune.finetuning import features
from convexprune.jobs import hdf5, provenance
from test_full_disk import write_embeddings, write_features

FLIPS = 100  # bits, each in a copy of the file


def read_corpus(path):
    samples = corpus.read_table(path.with_name("corpus.csv"))
    corpus.open_corpus(path)
    with corpus.open_samples(path) as stored:
        assert len(stored) == samples["n_samples"].sum()
        return [stored[:]]


def read_embeddings(path):
    embeddings.check_origin(path, {"model": "tiny", "state": "pretrained", "dataset": "words"})
    layers = [embeddings.read_layer(path, layer) for layer in range(embeddings.count_layers(path) + 1)]
    return [array for layer in layers for array in layer]


def read_features(path):
    names = ("encoder", "inputs", "seconds", "padding")
    with hdf5.read(path, "features") as file:
        items, told = len(file["features"]), [file.attrs[name] for name in names]
    features.check_features(path, *told)
    return [features.read_features(path, np.arange(items))]


KINDS = {"corpus": read_corpus, "embeddings": read_embeddings, "features": read_features}


@pytest.fixture(scope="module")
def written(tones, tmp_path_factory):
    """A good file of each kind."""
    folder = tmp_path_factory.mktemp("written")
    for kind, write in (("embeddings", write_embeddings), ("features", write_features)):
        (folder / kind).mkdir()
        write(folder / kind, tones)
    names = [folder / f"corpus.{suffix}" for suffix in ("h5", "csv", "sha256")]
    with corpus.write_corpus(*names) as writer:
        for number in range(3):
            writer.add(f"{number}.wav", "yes", "a", "train", np.arange(9000, dtype=np.int16))
    return {
        "corpus": folder / "corpus.h5",
        "embeddings": folder / "embeddings/words.h5",
        "features": folder / "features/words.h5",
    }


@pytest.fixture
def copy(written, tmp_path):
    """A private copy of a kind's file and of what lies beside it."""

    def make(kind):
        folder = shutil.copytree(written[kind].parent, tmp_path / "copy")
        return folder / written[kind].name

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_changes_what_is_read(written, copy, kind):
    """It is noticed, but where HDF5 reads nothing from: there it changes nothing."""
    path, rng = copy(kind), random.Random(0)
    content, expected = path.read_bytes(), KINDS[kind](written[kind])
    outcomes = collections.Counter()
    for place in rng.sample(range(8 * len(content)), FLIPS):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found = KINDS[kind](path)
        except ValueError as error:
            assert str(path) in str(error) and "delete it" in str(error)
            outcomes["noticed"] += 1
        else:
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)), place
            outcomes["harmless"] += 1
    print(outcomes)
    assert outcomes["noticed"] > 0.7 * FLIPS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_cut_file_is_named(copy, kind, share):
    path = copy(kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{path} is damaged or no HDF5 file .*delete it"):
        KINDS[kind](path)


def test_a_corpus_of_another_run_is_named(copy):
    path = copy("corpus")
    path.with_name("corpus.sha256").write_text("f00d\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{path} is of another corpus than .*corpus.sha256; delete it"):
        read_corpus(path)


def test_embeddings_of_another_dataset_are_named(copy, tones):
    path = copy("embeddings")
    origin = {
        "dataset": "words",
        "fingerprint": provenance.fingerprint(tones / "corpus.sha256", tones / "words.csv"),
    }
    embeddings.check_origin(path, origin)
    for other in ({"dataset": "speakers"}, {"fingerprint": "f00d"}):
        with pytest.raises(
            ValueError, match=rf"{path} holds other embeddings .*{next(iter(other))} is .*delete it"
        ):
            embeddings.check_origin(path, origin | other)


def test_files_are_read_where_there_are_no_sums(tmp_path):
    """Such as embeddings that somebody else wrote."""
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["hidden_states"] = np.ones((2, 3, 4), np.float32)
        file["labels"] = [1, 2, 1]
        file.attrs["complete"] = True
    assert embeddings.read_layer(tmp_path / "mine.h5", 1)[0].shape == (3, 4)
