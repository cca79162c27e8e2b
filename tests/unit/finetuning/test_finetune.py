import itertools
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import time
from types import SimpleNamespace

import finetune
import h5py
import merge_metrics
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from convexprune.data import corpus
from convexprune.finetuning import metrics, resuming, trackers, trainer
from convexprune.finetuning.finetune import Clips, build_classifier, read_splits
from convexprune.finetuning.recipe import Recipe
from convexprune.models import encoders
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from tensorboard.backend.event_processing import event_accumulator
from tones import NAMES, PITCHES, SETTINGS, WIDER, measured, tone, train, weights
from transformers import AutoModelForAudioClassification, pipeline


@pytest.fixture(scope="session")
def run(tones):
    return train(tones)


def test_a_task_is_learnt(run):
    assert run.metrics["accuracy"] >= 0.8
    assert run.metrics["validation_accuracy"] >= 0.8


def test_metrics_hold_what_was_run_and_measured(run, tones):
    found = run.metrics
    n_test = 3 * 8
    provenance = json.loads((tones / "tiny" / "provenance.json").read_text(encoding="utf-8"))
    correct = (run.predictions["label"] == run.predictions["predicted"]).sum()
    expected = {
        **NAMES,
        "layers": 2,
        "full_layers": LAYERS,
        "seed": 0,
        "accuracy": correct / n_test,
        "sigma": math.sqrt(correct / n_test * (1 - correct / n_test) / n_test),
        "n_test": n_test,
        "steps": 80,
        "epochs": pytest.approx(80 / 3),
        "learning_rate": 1e-2,
        "settings": SETTINGS | {"padding": "zeros", "seconds": 1, "start": "pretrained"},
        "threads": 1,
        "base": {"id": "some/tiny", "revision": "abc", "fingerprint": provenance["fingerprint"]},
    }
    assert {key: found[key] for key in expected} == expected
    assert 0 < found["training_time"] < 60
    assert {"torch", "transformers"} <= set(found["versions"])


def test_parameters_are_counted_before_and_after_pruning(run):
    def count(layers):
        head = make_encoder("hubert", stable=True, **WIDER, head=True, num_hidden_layers=layers)
        return sum(parameters.numel() for parameters in head.parameters())

    assert run.metrics["parameters"] == count(2)
    assert run.metrics["full_parameters"] == count(LAYERS)


@pytest.mark.parametrize("layers", [0, LAYERS])
def test_any_number_of_layers_trains(tones, layers):
    fine_tuned = train(tones, layers=layers, max_steps=3)
    assert encoders.count_layers(fine_tuned.model) == layers
    assert fine_tuned.metrics["full_layers"] == LAYERS


def test_an_encoder_whose_config_weighs_layers_is_pruned_to_none(tones, tmp_path):
    shutil.copytree(tones / "tiny", tmp_path / "tiny")
    config = json.loads((tmp_path / "tiny/config.json").read_text(encoding="utf-8"))
    (tmp_path / "tiny/config.json").write_text(
        json.dumps(config | {"use_weighted_layer_sum": True}), encoding="utf-8"
    )
    labels = list(PITCHES)
    model, parameters = build_classifier(tmp_path / "tiny", labels, 0, Recipe(**SETTINGS))
    _, expected = build_classifier(tones / "tiny", labels, 0, Recipe(**SETTINGS))
    assert encoders.count_layers(model) == 0
    assert parameters == expected


def test_the_seed_decides(tones):
    one, again, other = (train(tones, seed=seed, max_steps=6, eval_steps=3) for seed in (0, 0, 1))
    assert measured(again) == measured(one)
    assert all(torch.equal(weights(again)[name], weight) for name, weight in weights(one).items())
    pd.testing.assert_frame_equal(again.training_log, one.training_log)
    assert not torch.equal(weights(other)["projector.weight"], weights(one)["projector.weight"])
    assert (other.training_log["loss"] != one.training_log["loss"]).all()


@pytest.mark.parametrize("clips", [{}, {"seconds": 2, "padding": "mask"}])
def test_seed_and_pass_decide_the_order_of_clips(tones, monkeypatch, clips):
    read, orders = corpus.read_clips, {}

    def note(path, start, end, seconds):
        orders[seed].extend(start)
        return read(path, start, end, seconds)

    monkeypatch.setattr(corpus, "read_clips", note)
    for seed in (0, 1):
        orders[seed] = []
        train(tones, seed=seed, max_steps=6, eval_steps=6, **clips)
    epoch = 3 * 12
    first, second = (orders[0][start : start + epoch] for start in (0, epoch))
    assert sorted(first) == sorted(second) == sorted(orders[1][:epoch])
    assert first != orders[1][:epoch] and first != second


MASKED = {"seconds": 2, "padding": "mask"}


def test_masked_clips_of_like_length_share_a_batch_and_results_are_in_the_datasets_order(tones):
    fine_tuned = train(tones, **MASKED)
    assert fine_tuned.metrics["accuracy"] >= 0.8
    assert fine_tuned.metrics["settings"]["padding"] == "mask"
    table = pd.read_csv(tones / "words.csv")
    table = table[table["split"] == "test"]
    found = fine_tuned.predictions
    assert found["item"].tolist() == table["item"].tolist()
    labels, extractor = fine_tuned.model.config.id2label, fine_tuned.feature_extractor
    with h5py.File(tones / "corpus.h5") as file, torch.no_grad():
        for row, predicted in zip(table.itertuples(), found["predicted"], strict=True):
            clip = file["samples"][row.start : row.end].astype(np.float32) / 32768
            inputs = extractor(clip, sampling_rate=16000, return_tensors="pt")
            assert labels[int(fine_tuned.model(**inputs).logits.argmax())] == predicted


def test_short_clips_are_trained_with_masks_as_short(tones):
    """Transformers refuses a batch of clips that are all shorter than SpecAugment's masks."""
    table = pd.read_csv(tones / "words.csv")
    rows = table.index[table["split"] == "train"]
    table.loc[rows[:20], "end"] = table.loc[rows[:20], "start"] + 400  # a frame
    table.to_csv(tones / "short.csv", index=False)
    course = {"batch_size": 4, "spec_augment": True, "dataset": "short.csv"}
    fine_tuned = train(tones, max_steps=9, eval_steps=9, **course, **MASKED)
    assert fine_tuned.model.config.mask_time_length == 2
    assert np.isfinite(fine_tuned.training_log["loss"]).all()


@pytest.mark.parametrize("freeze", [True, False])
def test_the_convolutional_front_end_is_frozen_or_not(tones, freeze):
    fine_tuned = train(tones, max_steps=2, freeze_feature_encoder=freeze)
    before, _ = encoders.load_encoder(tones / "tiny")
    name = "feature_extractor.conv_layers.0.conv.weight"
    unchanged = torch.equal(before.get_parameter(name), fine_tuned.model.base_model.get_parameter(name))
    assert unchanged == freeze
    layer = "encoder.layers.0.attention.k_proj.weight"
    assert not torch.equal(before.get_parameter(layer), fine_tuned.model.base_model.get_parameter(layer))


def test_spec_augment_and_layerdrop_change_the_training(tones):
    plain = train(tones, max_steps=3)
    masked = train(tones, max_steps=3, spec_augment=True)
    dropped = train(tones, max_steps=3, layerdrop=0.9)
    losses = [result.training_log["eval_loss"].iloc[-1] for result in (plain, masked, dropped)]
    assert len(set(losses)) == 3


def test_the_rate_rises_then_falls(tones):
    log = train(tones, max_steps=8, eval_steps=1, warmup_ratio=0.5).training_log
    expected = [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]
    assert log["learning_rate"].tolist() == pytest.approx([1e-2 * share for share in expected])


def test_the_log_has_a_row_an_evaluation(tones):
    log = train(tones, max_steps=5, eval_steps=2).training_log
    columns = ["step", "epoch", "loss", "learning_rate", "eval_accuracy", "eval_loss"]
    assert list(log) == [*columns, "model", "task", "layers", "seed"]
    assert log["step"].tolist() == [2, 4, 5]
    assert log[["eval_accuracy", "eval_loss"]].notna().all(axis=None)
    assert log["loss"].iloc[:2].notna().all()


def scripted(monkeypatch, accuracies):
    """Let validation accuracy be what the test says, evaluation after evaluation."""
    coming = iter(accuracies)
    monkeypatch.setattr(trainer, "accuracy", lambda result: next(coming, 0.0))  # then the test split


def test_the_best_weights_are_kept_not_the_last(tones, monkeypatch):
    constant = {"eval_steps": 2, "lr_scheduler": "constant_with_warmup", "warmup_ratio": 0.0}
    scripted(monkeypatch, [0.3, 0.8])
    at_four = train(tones, max_steps=4, **constant)
    scripted(monkeypatch, [0.3, 0.8, 0.8, 0.4])
    result = train(tones, max_steps=8, **constant)
    assert (result.metrics["steps"], result.metrics["best_step"]) == (8, 4)
    assert result.metrics["validation_accuracy"] == 0.8
    assert all(torch.equal(weights(result)[name], weight) for name, weight in weights(at_four).items())
    pd.testing.assert_frame_equal(result.predictions, at_four.predictions)


def test_training_stops_when_validation_accuracy_stays(tones, monkeypatch):
    scripted(monkeypatch, [0.3, 0.2, 0.5, 0.5, 0.4])
    result = train(tones, max_steps=20, eval_steps=1, patience=2)
    assert (result.metrics["steps"], result.metrics["best_step"]) == (5, 3)
    assert result.training_log["eval_accuracy"].tolist() == [0.3, 0.2, 0.5, 0.5, 0.4]


def test_the_test_split_is_read_after_training_only(tones, monkeypatch):
    table = pd.read_csv(tones / "words.csv")
    test_starts = set(table.loc[table["split"] == "test", "start"])
    read, events = corpus.read_clips, []

    def note(path, start, end, seconds):
        events.extend(int(position) in test_starts for position in start)
        return read(path, start, end, seconds)

    monkeypatch.setattr(corpus, "read_clips", note)
    train(tones, max_steps=3, eval_steps=1)
    assert events == sorted(events)
    assert sum(events) == len(test_starts)


# Batches that do not divide an epoch, evaluations that do not divide the steps, all that is random.
CUT_OFF = {
    "batch_size": 10,
    "eval_steps": 3,
    "layerdrop": 0.2,
    "max_steps": 40,
    "patience": 3,
    "spec_augment": True,
}
KILLS = {
    "before the first checkpoint": (trainer.Watch, "on_step_end", 2),
    "between evaluations": (trainer.Watch, "on_step_end", 11),
    "in an evaluation": (trainer, "accuracy", 3),
    "while a checkpoint is written": (torch, "save", 7),
    "after training": (metrics, "binomial_sigma", 1),
    **{
        f"at a random step, {n}": (trainer.Watch, "on_step_end", n)
        for n in random.Random(0).sample(range(3, 16), 3)
    },
}


def train_until(module, name, count, folder, checkpoint, course):
    """Train in a process that is killed when `module.name` is called for the count-th time."""
    function, calls = getattr(module, name), itertools.count(1)

    def call(*args, **kwargs):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(module, name, call)
    train(folder, options={"checkpoint": checkpoint}, **course)


COURSES = {"zeros": CUT_OFF, "mask": CUT_OFF | {"seconds": 2, "padding": "mask"}}


@pytest.fixture(scope="session")
def wholes(tones):
    return {padding: train(tones, **course) for padding, course in COURSES.items()}


@pytest.mark.parametrize("padding", ["zeros", "mask"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_ends_as_an_uninterrupted_one(tones, tmp_path, kill, padding, wholes):
    course, whole = COURSES[padding], wholes[padding]
    process = multiprocessing.get_context("fork").Process(
        target=train_until, args=(*KILLS[kill], tones, tmp_path / "checkpoint", course)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    resumed = train(tones, options={"checkpoint": tmp_path / "checkpoint"}, **course)
    assert measured(resumed) == measured(whole)
    pd.testing.assert_frame_equal(resumed.training_log, whole.training_log)
    pd.testing.assert_frame_equal(resumed.predictions, whole.predictions)
    assert all(torch.equal(weights(resumed)[name], weight) for name, weight in weights(whole).items())


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"layers": 1}, {"learning_rate": 5e-3}, {"dataset": "fewer.csv"}], ids=str
)
def test_a_checkpoint_of_another_run_is_not_resumed(tones, tmp_path, change):
    table = pd.read_csv(tones / "words.csv")
    table.drop(index=table.index[table["split"] == "train"][0]).to_csv(tones / "fewer.csv", index=False)
    short = {"max_steps": 2, "eval_steps": 1}
    fresh = train(tones, **(short | change))
    train(tones, options={"checkpoint": tmp_path}, **short)
    found = train(tones, options={"checkpoint": tmp_path}, **(short | change))
    assert measured(found) == measured(fresh)
    pd.testing.assert_frame_equal(found.training_log, fresh.training_log)


@pytest.mark.parametrize("name", ["optimizer.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_is_not_resumed_from(tones, tmp_path, name, monkeypatch, caplog):
    short = {"max_steps": 4, "eval_steps": 1}
    fresh = train(tones, **short)
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "binomial_sigma", None)  # fails after training
        with pytest.raises(TypeError):
            train(tones, options={"checkpoint": tmp_path}, **short)
    (tmp_path / "checkpoint-4" / name).write_bytes(b"half")
    found = train(tones, options={"checkpoint": tmp_path}, **short)
    assert "checkpoint-4 cannot be resumed from" in caplog.text
    assert measured(found) == measured(fresh)


def test_a_run_has_one_process(tones, tmp_path):
    with (
        resuming.claim(tmp_path, "key"),
        pytest.raises(ValueError, match=f"process {os.getpid()} trains in"),
    ):
        train(tones, options={"checkpoint": tmp_path}, max_steps=1)


def test_disk_holds_the_last_state_and_the_best_weights_only(tones, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.3, 0.5, 0.4])
    train(tones, options={"checkpoint": tmp_path}, max_steps=3, eval_steps=1)
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-3"}


def test_training_time_is_that_of_all_parts(tones, tmp_path, monkeypatch):
    def slow(result):
        time.sleep(0.3)
        return next(accuracies, 0.0)

    accuracies = iter([0.3, 0.2, 0.2])
    monkeypatch.setattr(trainer, "accuracy", slow)
    short = {"max_steps": 3, "eval_steps": 1}
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "binomial_sigma", None)  # the first part fails after training
        with pytest.raises(TypeError):
            train(tones, options={"checkpoint": tmp_path}, **short)
    assert train(tones, options={"checkpoint": tmp_path}, **short).metrics["training_time"] > 0.9


@pytest.mark.parametrize("size", [8000, 16000, 20000])
def test_clips_are_padded_then_normalised(tones, size):
    splits = read_splits(tones / "words.csv")
    clips = Clips(
        tones / "corpus.h5",
        splits["validation"],
        make_feature_extractor(),
        {"high": 0, "low": 1, "middle": 2},
        size / 16000,
    )
    rows = splits["validation"].reset_index(drop=True)
    lengths = rows["end"] - rows["start"]
    short, long = int(lengths.idxmin()), int(lengths.idxmax())
    batch = clips.__getitems__([short, long])
    with h5py.File(tones / "corpus.h5") as file:
        samples = file["samples"][:].astype(np.float64)
    for values, label, index in zip(batch["input_values"], batch["labels"], (short, long), strict=True):
        clip = samples[rows["start"][index] : rows["end"][index]][:size]
        clip = np.pad(clip, (0, size - len(clip)))
        np.testing.assert_allclose(values, (clip - clip.mean()) / clip.std(), atol=1e-3)
        assert label == sorted(PITCHES).index(rows["label"][index])
    assert len(clips) == len(rows)


@pytest.fixture(scope="session")
def outputs(tones, tmp_path_factory):
    """What the adapter writes."""
    folder = tmp_path_factory.mktemp("results") / "tiny" / "words" / "2" / "0"
    names = {
        "weights": "model.safetensors",
        "config": "config.json",
        "feature_extractor": "preprocessor_config.json",
        "metrics": "metrics.json",
        "log": "training_log.csv",
        "predictions": "predictions.csv",
    }
    files = {key: folder / name for key, name in names.items()}
    finetune.main(
        SimpleNamespace(
            input=SimpleNamespace(
                weights=tones / "tiny" / "model.safetensors",
                samples=tones / "corpus.h5",
                fingerprint=tones / "corpus.sha256",
                dataset=tones / "words.csv",
                cached=[],
            ),
            output=SimpleNamespace(**files),
            params=SimpleNamespace(
                settings=SETTINGS,
                speed={
                    "gpus": 0,
                    "micro_batch_size": 0,
                    "gradient_checkpointing": False,
                    "report_to": ["tensorboard"],
                },
            ),
            wildcards=SimpleNamespace(**NAMES, layers="2", seed="0"),
            threads=1,
            log=[folder / "log"],
        )
    )
    return files


def test_the_adapter_writes_what_training_gave(outputs, run):
    written = json.loads(outputs["metrics"].read_text(encoding="utf-8"))
    assert {**written, "training_time": 0} == {**run.metrics, "training_time": 0}
    pd.testing.assert_frame_equal(pd.read_csv(outputs["log"]), run.training_log)
    pd.testing.assert_frame_equal(pd.read_csv(outputs["predictions"]), run.predictions.reset_index(drop=True))
    assert outputs["feature_extractor"].exists()
    model = AutoModelForAudioClassification.from_pretrained(outputs["weights"].parent)
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in weights(run).items())


def test_tensorboard_gets_what_the_training_log_has(outputs):
    """By its own reader. That the tracker changes no result, `outputs` and `run` show above."""
    events = event_accumulator.EventAccumulator(str(outputs["weights"].with_name("tensorboard"))).Reload()
    log = pd.read_csv(outputs["log"])
    assert len(log) > 2
    for tag, column in {
        "train/loss": "loss",
        "eval/accuracy": "eval_accuracy",
        "eval/loss": "eval_loss",
    }.items():
        scalars = [(event.step, event.value) for event in events.Scalars(tag)]
        assert [step for step, _ in scalars] == log["step"].tolist()
        assert [value for _, value in scalars] == pytest.approx(log[column].tolist(), rel=1e-6)


def test_a_resumed_run_goes_on_in_tensorboard_and_a_new_one_begins_again(tmp_path):
    old = tmp_path / "tensorboard/events"
    for resumed in (True, False):
        old.parent.mkdir(exist_ok=True)
        old.touch()
        trackers.report_to_tensorboard(tmp_path / "checkpoint", resumed=resumed).tb_writer.close()
        assert old.exists() == resumed
    assert len([*old.parent.iterdir()]) == 1


def test_a_tracker_that_is_not_installed_is_named(tones, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", {"tensorboard": "is here"}.get)
    with pytest.raises(
        ValueError, match=r"finetuning.report_to: wandb is not installed: run `pip install wandb`"
    ):
        train(tones, max_steps=2, options={"report_to": ["tensorboard", "wandb"]})


def test_a_finished_run_leaves_no_checkpoint(outputs):
    folder = outputs["weights"].parent
    assert {path.name for path in folder.iterdir()} == {path.name for path in outputs.values()} | {
        "log",
        "tensorboard",
    }


def test_the_log_file_shows_the_course(outputs):
    log = (outputs["weights"].parent / "log").read_text(encoding="utf-8")
    assert "step 10 of 80" in log
    assert "eval_accuracy" in log


def test_a_pipeline_labels_wav_files_with_the_folder_alone(outputs, tmp_path):
    classify = pipeline("audio-classification", model=str(outputs["weights"].parent), device="cpu")
    generator = np.random.default_rng(9)
    found = {}
    for word in PITCHES:
        soundfile.write(tmp_path / "clip.wav", tone(word, generator)[:16000], corpus.SAMPLING_RATE)
        wave, rate = soundfile.read(tmp_path / "clip.wav", dtype="float32")
        found[word] = classify({"raw": wave, "sampling_rate": rate})[0]["label"]
    assert found == {word: word for word in PITCHES}


def write_words(tones, tmp_path, change):
    table = pd.read_csv(tones / "words.csv", dtype=str)
    change(table).to_csv(tmp_path / "words.csv", index=False)
    return tmp_path / "words.csv"


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_train_lacks_is_named(tones, tmp_path, split):
    def rename_one(table):
        table.loc[table["split"].eq(split).idxmax(), "label"] = "stranger"
        return table

    with pytest.raises(
        ValueError, match=rf"1 items of split {split} .*\(stranger\), first high/{split}0.wav"
    ):
        read_splits(write_words(tones, tmp_path, rename_one))


def test_an_empty_split_is_named(tones, tmp_path):
    path = write_words(tones, tmp_path, lambda table: table[table["split"] != "validation"])
    with pytest.raises(ValueError, match="no items in split validation"):
        read_splits(path)


def test_one_label_is_too_few(tones, tmp_path):
    path = write_words(tones, tmp_path, lambda table: table[table["label"] == "low"])
    with pytest.raises(ValueError, match="one label in split train, 'low'"):
        read_splits(path)


def test_labels_that_look_like_numbers_or_nothing_stay_as_they_are(tones, tmp_path):
    names = {"high": "007", "low": "null", "middle": "1e3"}
    path = write_words(tones, tmp_path, lambda table: table.assign(label=table["label"].map(names)))
    for rows in read_splits(path).values():
        assert set(rows["label"]) == set(names.values())


@pytest.mark.parametrize(("layers", "full_layers"), [(LAYERS + 1, LAYERS), (1, LAYERS + 1)])
def test_layers_that_the_encoder_lacks_are_an_error(tones, layers, full_layers):
    with pytest.raises(ValueError, match=f"{LAYERS}"):
        train(tones, layers=layers, full_layers=full_layers)


@pytest.mark.parametrize(
    ("accuracy", "n", "sigma"), [(0.9779, 4890, 0.002102), (0.5, 100, 0.05), (1.0, 10, 0.0), (0.0, 10, 0.0)]
)
def test_sigma_is_the_binomial_standard_error(accuracy, n, sigma):
    assert metrics.binomial_sigma(accuracy, n) == pytest.approx(sigma, abs=1e-6)


def test_metrics_merge_into_one_sorted_table(tmp_path):
    records = [
        {"model": "b", "task": "words", "layers": 2, "seed": 0, "accuracy": 0.5},
        {"model": "a", "task": "words", "layers": 12, "seed": 1, "accuracy": 0.6},
        {"model": "a", "task": "words", "layers": 12, "seed": 0, "accuracy": 0.7},
        {"model": "a", "task": "words", "layers": 2, "seed": 0, "accuracy": 0.8},
        {"model": "a", "task": "speakers", "layers": 12, "seed": 0, "accuracy": 0.9},
    ]
    for index, record in enumerate(records):
        nested = {
            "ratio": {"mean": index, "stderr": 0.1},
            "settings": {"lr_scheduler": "linear", "max_steps": 5},
            "seconds": [1.0, 2.0],
        }
        (tmp_path / f"{index}.json").write_text(json.dumps(record | nested), encoding="utf-8")
    merge_metrics.main(
        SimpleNamespace(
            input=SimpleNamespace(metrics=[tmp_path / f"{index}.json" for index in range(len(records))]),
            output=SimpleNamespace(table=tmp_path / "table.csv"),
            log=[tmp_path / "log"],
        )
    )
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table) == ["model", "task", "layers", "seed", "accuracy", "ratio_mean", "ratio_stderr"]
    assert table["accuracy"].tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert table["ratio_mean"].tolist() == [4, 3, 2, 1, 0]


def test_exports_merge_into_one_sorted_table_of_what_was_measured(tmp_path):
    for task in ("words", "speakers"):
        onnx = {
            "max_difference": 1e-7,
            "latency": {"median": 0.002},
            "machine": "vm",
            "disturbed": task == "words",
        }
        record = {"model": "a", "task": task, "layers": 2, "seed": 0, "accuracy": 0.5, "onnx": onnx}
        (tmp_path / f"{task}.json").write_text(json.dumps(record), encoding="utf-8")
    table = metrics.merge_exports([tmp_path / "words.json", tmp_path / "speakers.json"])
    assert list(table) == [
        *("model", "task", "layers", "seed", "max_difference", "latency_median", "machine", "disturbed")
    ]
    assert table["task"].tolist() == ["speakers", "words"]
    assert table["disturbed"].tolist() == [False, True]
