"""The linear probe on embeddings whose answer is known."""

from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import probe_layers as adapter
import pytest
from convexprune.data import corpus
from convexprune.jobs import provenance
from convexprune.results import probing

WORDS, SPEAKERS, TAKES = ("yes", "no", "null"), 6, 4


def write(folder, layers, labels, speakers, split="validation"):
    """An embeddings file and the dataset that it was made from, with items of another split between."""
    table = pd.DataFrame({"label": labels, "speaker": speakers, "split": split})
    table = pd.concat([table, table.assign(split="train")]).sort_index(kind="stable")
    table = table.assign(item=[f"{i}.wav" for i in range(len(table))], start=0, end=1)
    table[corpus.ITEM_COLUMNS].to_csv(folder / "dataset.csv", index=False)
    (folder / "corpus.sha256").write_text("f00d\n", encoding="utf-8")
    origin = {"model": "tiny", "state": "pretrained", "dataset": "words"}
    origin["fingerprint"] = provenance.fingerprint(folder / "corpus.sha256", folder / "dataset.csv")
    with h5py.File(folder / "embeddings.h5", "w") as file:
        file["hidden_states"] = np.asarray(layers, np.float32)
        file["labels"] = np.asarray(labels, dtype=object)
        file["items"], file["starts"] = table["item"][table["split"] == split].tolist(), [0] * len(labels)
        file.attrs.update(origin | {"complete": True, "split": split})
    return folder / "embeddings.h5", folder / "dataset.csv"


@pytest.fixture
def spoken():
    """Labels and speakers: each speaker says each word some times."""
    items = [(word, str(speaker)) for speaker in range(SPEAKERS) for word in WORDS for _ in range(TAKES)]
    return map(list, zip(*items, strict=True))


def one_hot(values, noise=0.01):
    coded = np.eye(len(set(values)))[np.unique(values, return_inverse=True)[1]]
    return coded + noise * np.random.default_rng(0).normal(size=coded.shape)


def test_a_layer_with_the_words_in_it_is_read_and_one_without_is_not(tmp_path, spoken):
    labels, speakers = spoken
    nothing = np.random.default_rng(1).normal(size=(len(labels), 3))
    found = probing.probe_layers(
        *write(tmp_path, [nothing, 1e-4 * one_hot(labels)], labels, speakers), "words", 1
    )
    assert found["layers"].tolist() == [0, 1]
    assert found["accuracy"].iloc[1] == 1
    p, n = found["accuracy"].iloc[0], len(labels)
    assert abs(p - 1 / 3) < 4 * (2 / 9 / n) ** 0.5
    assert found["stderr"].iloc[0] == pytest.approx((p * (1 - p) / n) ** 0.5)
    assert set(found["n_items"]) == {n}


def test_words_are_probed_on_unseen_speakers(tmp_path):
    # each speaker says one word only, so the voice gives the word away: to a probe that knows the voice
    speakers = np.repeat([str(speaker) for speaker in range(SPEAKERS)], 10)
    labels = np.array(WORDS)[speakers.astype(int) % 3]
    files = write(tmp_path, [one_hot(speakers)], labels, speakers)
    assert probing.probe_layers(*files, "words", 1)["accuracy"].item() < 0.8
    files = write(tmp_path, [one_hot(speakers)], speakers, speakers)
    assert probing.probe_layers(*files, "speakers", 1)["accuracy"].item() == 1


def test_few_speakers_or_few_items_make_fewer_folds(tmp_path):
    for speakers, task, folds in (
        (["a", "b"] * 6, "words", 2),
        (["a"] * 12, "words", 5),
        (["a"] * 12, "speakers", 5),
    ):
        labels = ["yes"] * 6 + ["no"] * 6
        files = write(tmp_path, [one_hot(labels)], labels, speakers)
        assert probing.probe_layers(*files, task, 1)["n_folds"].item() == folds
    files = write(tmp_path, [np.eye(3)], ["a", "b", "c"], ["x"] * 3)
    with pytest.raises(ValueError, match="no class has two items"):
        probing.probe_layers(*files, "words", 1)


def test_embeddings_without_an_item_are_an_error(tmp_path, spoken):
    labels, speakers = spoken
    path, dataset = write(tmp_path, [one_hot(labels)], labels, speakers)
    table = corpus.read_dataset(dataset)
    table.loc[table.index[table["split"] == "validation"][3], "item"] = "other.wav"
    table.to_csv(dataset, index=False)
    with pytest.raises(ValueError, match=r"lacks other\.wav of the split validation"):
        probing.probe_layers(path, dataset, "words", 1)


def test_adapter(tmp_path, spoken):
    labels, speakers = spoken
    path, dataset = write(tmp_path, [one_hot(labels)], labels, speakers)
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(
                embeddings=str(path.rename(tmp_path / "words.h5")),
                dataset=str(dataset),
                embedded=str(dataset),
                fingerprint=str(tmp_path / "corpus.sha256"),
            ),
            output=SimpleNamespace(table=str(tmp_path / "probe.csv")),
            wildcards=SimpleNamespace(model="tiny", task="words"),
            threads=1,
            log=[str(tmp_path / "log")],
        )
    )
    (row,) = pd.read_csv(tmp_path / "probe.csv").to_dict("records")
    assert row == {"model": "tiny", "task": "words", "layers": 0, "accuracy": 1, "stderr": 0} | {
        "n_items": len(labels),
        "n_folds": 5,
    }


def test_a_probe_that_is_trained_on_one_class_says_that(tmp_path):
    """Where a label is the same throughout a speaker, and there are two of them."""
    labels = ["f"] * 6 + ["m"] * 6
    files = write(tmp_path, [one_hot(labels)], labels, ["a"] * 6 + ["b"] * 6)
    assert probing.probe_layers(*files, "voices", 1)["accuracy"].item() == 0
