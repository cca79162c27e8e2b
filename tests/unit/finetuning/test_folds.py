"""Fine-tuned models folded on their own clips, and on a user's recordings by the command `fold`."""

import json
import shutil
from types import SimpleNamespace

import fold_layers as adapter
import fold_model
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from convexprune.__main__ import main
from convexprune.data import corpus
from convexprune.finetuning import features, finetune, folded, folds
from convexprune.jobs import csv_files
from convexprune.models import devices, encoders, exporting, folding, loading, runtimes
from convexprune.models.pruning import prune
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from tones import PITCHES, tone, train, write_tones
from transformers import AutoModelForAudioClassification, pipeline


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A corpus of tones, words.csv, and full/, a classifier that was fine-tuned on them."""
    folder = tmp_path_factory.mktemp("tones")
    write_tones(folder)
    train(folder, layers=LAYERS, options={"checkpoint": folder / "checkpoint"}).save(folder / "full")
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A CSV of other tones, by three speakers."""
    folder, generator = tmp_path_factory.mktemp("recordings"), np.random.default_rng(7)
    rows = []
    for speaker, takes in (("ann", 20), ("bob", 6), ("cid", 6)):
        for take in range(takes):
            for word in PITCHES:
                path = f"{word}_{speaker}_{take}.wav"
                soundfile.write(folder / path, tone(word, generator), 16000)
                rows.append({"path": path, "word": word, "speaker": speaker})
    pd.DataFrame(rows).to_csv(folder / "tones.csv", index=False)
    return folder / "tones.csv"


def fold(home, **changes):
    options = {"batch_size": 5, "machine": devices.begin(0, 1)}
    data = corpus.Corpus(home / "corpus.h5"), home / "words.csv"
    return folds.fold_layers(home / "full", *data, **options | changes)


def test_every_depth_is_as_accurate_as_its_model_is_on_the_clips_of_fine_tuning(home):
    table = fold(home)
    model, extractor = encoders.load_classifier(home / "full"), loading.load_feature_extractor(home / "full")
    words = corpus.read_dataset(home / "words.csv")
    splits = {
        split: finetune.Clips(
            home / "corpus.h5", words[words["split"] == split], extractor, model.config.label2id
        )
        for split in corpus.SPLITS
    }
    assert table["layers"].tolist() == list(range(LAYERS + 1))
    assert (table[["n_train", "n_validation", "n_test"]] == [36, 18, 24]).all(axis=None)

    def accuracy(classifier, split):
        batch = splits[split].__getitems__([*range(len(splits[split]))])
        labels = batch.pop("labels")
        with torch.inference_mode():
            return np.mean(classifier(**batch).logits.numpy().argmax(axis=1) == labels)

    moments = folding.gather(model, folds.read_batches(splits["train"], 7, "", labelled=False))
    for row in table.itertuples():
        made = folding.fold(model, row.layers, moments, row.strength)
        assert row.validation_accuracy == pytest.approx(accuracy(made, "validation"))
        assert row.accuracy == pytest.approx(accuracy(made, "test"))
        assert row.cut_accuracy == pytest.approx(accuracy(prune(model, row.layers), "test"))
        assert row.sigma == pytest.approx((row.accuracy * (1 - row.accuracy) / 24) ** 0.5)
    metrics = json.loads((home / "full/metrics.json").read_text(encoding="utf-8"))
    last = table.iloc[-1]
    assert last["accuracy"] == last["cut_accuracy"] == pytest.approx(metrics["accuracy"])
    assert last["validation_accuracy"] == pytest.approx(metrics["validation_accuracy"])


def test_adapter(home, tmp_path):
    model = home / "full/model.safetensors"
    adapter.main(
        SimpleNamespace(
            input=SimpleNamespace(full=[str(model)], samples=home / "corpus.h5", dataset=home / "words.csv"),
            output=SimpleNamespace(table=str(tmp_path / "0.csv")),
            params=SimpleNamespace(speed={"gpus": 0, "batch_size": 5}),
            wildcards=SimpleNamespace(model="2024", task="words", seed="0"),
            threads=1,
            log=[str(tmp_path / "log")],
        )
    )
    found = csv_files.read(tmp_path / "0.csv")
    assert found["model"].tolist() == ["2024"] * (LAYERS + 1)
    timed = ["pass_seconds", "fold_seconds"]
    expected = fold(home).drop(columns=timed)
    pd.testing.assert_frame_equal(
        found.drop(columns=["model", "task", "seed", *timed]), expected, check_dtype=False
    )


def test_labels_that_the_model_does_not_know_are_refused(home, tmp_path):
    words = csv_files.read(home / "words.csv").replace("high", "alto")
    for name in ("corpus.h5", "full"):
        (tmp_path / name).symlink_to(home / name)
    words.to_csv(tmp_path / "words.csv", index=False)
    with pytest.raises(ValueError, match="does not know the labels alto of"):
        fold(tmp_path)


@pytest.fixture(scope="module")
def start(home):
    """A folder with the model of `home`, folded to one layer, for a training to start from."""
    fold_model.main(
        SimpleNamespace(
            input=SimpleNamespace(
                full=[str(home / "full/model.safetensors")],
                samples=home / "corpus.h5",
                dataset=home / "words.csv",
            ),
            output=SimpleNamespace(weights=str(home / "folded/tiny/model.safetensors")),
            params=SimpleNamespace(speed={"gpus": 0, "batch_size": 5}),
            wildcards=SimpleNamespace(model="tiny", task="words", layers="1", seed="0"),
            threads=1,
            log=[str(home / "log")],
        )
    )
    for name in ("corpus.h5", "corpus.csv", "corpus.sha256", "words.csv"):
        (home / "folded" / name).symlink_to(home / name)
    return home / "folded"


def test_a_training_may_start_from_the_folded_model(home, start):
    """Steps of no length leave it as it was; its accuracy is that of the table."""
    still = train(start, layers=1, start="folded", max_steps=1, learning_rate=1e-30)
    folded_model = encoders.load_classifier(start / "tiny")
    for name, values in still.model.state_dict().items():
        assert torch.equal(values, folded_model.state_dict()[name]), name
    assert still.metrics["accuracy"] == pytest.approx(fold(home).set_index("layers").loc[1, "accuracy"])
    assert still.metrics["full_parameters"] == encoders.load_classifier(home / "full").num_parameters()
    pretrained = encoders.read_base(home / "tiny")
    assert pretrained.items() <= still.metrics["base"].items()
    moved = train(start, layers=1, start="folded", max_steps=2)
    changed = [
        name
        for name, values in moved.model.state_dict().items()
        if not torch.equal(values, folded_model.state_dict()[name])
    ]
    assert {"projector.weight", "classifier.weight"} <= set(changed)
    assert not any("feature_extractor" in name for name in changed)  # the front end stays frozen


def test_stored_features_serve_a_folded_start_too(home, start, tmp_path):
    features.cache_features(
        tmp_path / "features.h5",
        folder=home / "tiny",
        recordings=corpus.Corpus(home / "corpus.h5"),
        dataset=home / "words.csv",
        stored=features.Stored("float32", 1, "zeros"),
        batch_size=5,
        machine=devices.begin(0, 1),
    )
    changes = {"layers": 1, "start": "folded", "max_steps": 2}
    stored = train(start, options={"cached": tmp_path / "features.h5"}, cache_features="float32", **changes)
    direct = train(start, **changes)
    for name, values in stored.model.state_dict().items():
        torch.testing.assert_close(values, direct.model.state_dict()[name])


def test_a_start_of_other_layers_or_labels_is_refused(start, tmp_path):
    with pytest.raises(ValueError, match="has 1 transformer layers"):
        train(start, layers=2, start="folded")
    for path in start.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "words.csv").unlink()
    csv_files.read(start / "words.csv").replace("high", "alto").to_csv(tmp_path / "words.csv", index=False)
    with pytest.raises(ValueError, match="has other labels than the dataset"):
        train(tmp_path, layers=1, start="folded")


def call(home, recordings, output, *options):
    main(["fold", str(home / "full"), str(output), "--data", str(recordings), "--threads", "1", *options])


def test_the_command_writes_a_model_that_anyone_can_load(home, recordings, tmp_path, capsys):
    call(home, recordings, tmp_path / "out", "--layers", "1")
    printed = capsys.readouterr().out
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "out")
    full = encoders.load_classifier(home / "full")
    assert encoders.count_layers(model) == 1
    assert model.num_parameters() == prune(full, 1).num_parameters()
    assert f"HubertForSequenceClassification of 1 of {LAYERS} layers" in printed
    assert "folded on 60 clips of 1 s, strength chosen on 18, tested on 18" in printed  # ann, bob and cid
    table = pd.read_csv(recordings)
    rows = {}
    for name in ("bob", "cid"):
        hits = {"cut": [], "folded": []}
        for row in table[table["speaker"] == name].itertuples():
            samples = soundfile.read(recordings.parent / row.path, dtype="float32")[0][:16000]
            clip = np.pad(samples, (0, 16000 - len(samples)))[None]
            inputs = encoders.prepare(make_feature_extractor(), clip)
            for kind, one in (("cut", prune(full, 1)), ("folded", model)):
                with torch.inference_mode():
                    guessed = one.config.id2label[int(one(**inputs).logits.argmax())]
                hits[kind].append(guessed == row.word)
        rows[name] = [f"{100 * np.mean(of):.1f}" for of in hits.values()]
    [line] = [line.split() for line in printed.splitlines() if line.endswith("<")]
    assert line in (["1", *rows["bob"], *rows["cid"], "<"], ["1", *rows["cid"], *rows["bob"], "<"])
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert f"with 1 of {LAYERS} transformer layers" in card
    assert "60 clips of 1 s" in card and "| test accuracy (%) |" in card
    assert pipeline("audio-classification", model=str(tmp_path / "out"))(np.zeros(16000, np.float32))


def test_without_labels_it_is_judged_by_agreement_with_the_full_model(home, recordings, tmp_path, capsys):
    unlabelled = recordings.with_name("unlabelled.csv")
    pd.read_csv(recordings)[["path"]].to_csv(unlabelled, index=False)
    call(home, unlabelled, tmp_path / "out", "--layers", str(LAYERS))
    printed = capsys.readouterr().out
    assert "agreement in %, of the class that the full model gives" in printed
    [line] = [line.split() for line in printed.splitlines() if line.endswith("<")]
    assert line == [str(LAYERS), *["100.0"] * 4, "<"]
    assert "| test agreement (%) | 100.00 | 100.00 | 100.00 |" in (tmp_path / "out/README.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_within_keeps_the_fewest_layers_that_lose_no_more_on_validation(labelled):
    column = "validation_accuracy" if labelled else "validation_agreement"
    depths = pd.DataFrame({column: [0.5, 0.88, 0.87, 0.9]}, index=pd.RangeIndex(4, name="layers"))
    depths["accuracy"] = 0.1 if labelled else np.nan
    for within, layers in ((0, 3), (2, 1), (1, 3), (50, 0)):
        assert folded.choose_layers(depths, folded.Asked(within=within)) == layers
    assert folded.choose_layers(depths, folded.Asked(layers=2)) == 2


def test_splits_that_the_table_has_are_kept(home, recordings, tmp_path, capsys):
    table = pd.read_csv(recordings).rename(columns={"word": "pitch"})
    table["split"] = table["speaker"].map({"ann": "test", "bob": "train", "cid": "validation"})
    table.to_csv(recordings.with_name("split.csv"), index=False)
    call(home, recordings.with_name("split.csv"), tmp_path / "out", "--within", "100", "--label", "pitch")
    printed = capsys.readouterr().out
    assert "of 0 of" in printed and "folded on 18 clips" in printed and "tested on 60" in printed


def test_clips_are_as_long_as_in_training_or_as_the_recordings(home, recordings, tmp_path, capsys):
    shutil.copytree(home / "full", tmp_path / "full")
    metrics = json.loads((tmp_path / "full/metrics.json").read_text(encoding="utf-8"))
    metrics["settings"]["seconds"] = 0.5
    (tmp_path / "full/metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    call(tmp_path, recordings, tmp_path / "a", "--layers", "1")
    (tmp_path / "full/metrics.json").unlink()
    call(tmp_path, recordings, tmp_path / "b", "--layers", "1")
    call(tmp_path, recordings, tmp_path / "c", "--layers", "1", "--seconds", "0.75")
    found = [
        line.split("clips of ")[1].split(" s")[0]
        for line in capsys.readouterr().out.splitlines()
        if "clips of" in line
    ]
    assert found == ["0.5", "1.5", "0.75"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "9"], f"--layers 9: .* has {LAYERS} layers"),
        (
            ["--layers", "1", "--label", "speaker"],
            "its column speaker has labels that the model does not know: ann",
        ),
        (["--layers", "1", "--label", "mood"], "has no column mood"),
        (["--layers", "1", "--seconds", "0.0001"], "--seconds 0.0001: .* has"),
    ],
)
def test_what_cannot_be_folded_is_refused_in_one_line_and_nothing_is_written(
    home, recordings, tmp_path, options, message
):
    with pytest.raises(SystemExit, match=message):
        call(home, recordings, tmp_path / "out", *options)
    assert not any(tmp_path.iterdir())


def test_a_model_without_a_classifier_is_refused(recordings, tmp_path):
    encoders.save_folder(tmp_path / "full", make_encoder(), make_feature_extractor())
    with pytest.raises(SystemExit, match="has no classifier: fold a model that was fine-tuned"):
        call(tmp_path, recordings, tmp_path / "out", "--layers", "1")
    weighted = make_encoder(head=True, use_weighted_layer_sum=True)
    encoders.save_folder(tmp_path / "weighted/full", weighted, make_feature_extractor())
    with pytest.raises(SystemExit, match="use_weighted_layer_sum"):
        call(tmp_path / "weighted", recordings, tmp_path / "out", "--layers", "1")
    call_twice = tmp_path / "weighted"
    with pytest.raises(SystemExit, match="is already there"):
        call(tmp_path, recordings, call_twice, "--layers", "1")


def test_clips_are_padded_as_in_training_or_as_asked(home, recordings, tmp_path):
    shutil.copytree(home / "full", tmp_path / "full")
    metrics = json.loads((tmp_path / "full/metrics.json").read_text(encoding="utf-8"))
    metrics["settings"]["padding"] = "mask"
    (tmp_path / "full/metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    for name, given, told in (("a", [], "not padded"), ("b", ["--padding", "zeros"], "padded with zeros")):
        call(tmp_path, recordings, tmp_path / name, "--layers", "1", *given)
        assert f"(shorter ones {told})" in (tmp_path / name / "README.md").read_text(encoding="utf-8")
    one, other = (encoders.load_classifier(tmp_path / name).projector.weight for name in "ab")
    assert not torch.equal(one, other)


def test_a_folded_model_is_exported_like_any_other(home, recordings, tmp_path):
    call(home, recordings, tmp_path / "out", "--layers", "1")
    model = encoders.load_classifier(tmp_path / "out")
    extractor = loading.load_feature_extractor(tmp_path / "out")
    exporting.write_onnx(tmp_path / "model.onnx", model, extractor)
    assert exporting.check_onnx(runtimes.open_onnx(tmp_path / "model.onnx", 1), model, extractor) < 1e-4
