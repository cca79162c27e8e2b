"""A timed step is a step of the training that ran."""

import functools
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import time_models
import torch
from convexprune.data import corpus
from convexprune.finetuning import features, finetune, steps, trainer
from convexprune.finetuning.recipe import Recipe
from convexprune.models import devices, encoders, timing
from encoder_factory import LAYERS
from tones import train
from transformers import HubertForSequenceClassification

STEPS = 2
STORED = "features.h5"
# How a run was trained: settings, and options of where it ran.
RECIPES = {
    "as the paper": ({"spec_augment": True}, {}),
    "micro batches": ({}, {"micro_batch_size": 4}),
    "gradient checkpointing": ({}, {"gradient_checkpointing": True}),
    "bfloat16": ({"precision": "bfloat16"}, {}),
    "front end trained": ({"freeze_feature_encoder": False}, {}),
    "stored features": ({"cache_features": "float16"}, {"cached": STORED}),
    "layers skipped": ({"layerdrop": 0.5}, {}),
    "fewer clips than a batch": ({"batch_size": 100}, {}),
    "other optimizer": ({"weight_decay": 0.1, "max_grad_norm": 0.5}, {}),
}


def fine_tune(tones, folder, settings, options):
    """Fine-tuned models of all layers and of one, in folders of these names."""
    if "cached" in options:
        features.cache_features(
            folder / STORED,
            folder=tones / "tiny",
            recordings=corpus.Corpus(tones / "corpus.h5"),
            dataset=tones / "words.csv",
            stored=features.Stored("float16"),
            batch_size=8,
            machine=devices.begin(0, 1),
        )
        options = options | {"cached": folder / STORED}
    for layers in (LAYERS, 1):
        run = train(tones, layers=layers, max_steps=1, options=options, **settings)
        run.checkpoint.mkdir(parents=True)
        run.save(folder / str(layers))


@pytest.fixture(scope="module")
def pair(tones, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    fine_tune(tones, folder, {}, {})
    return folder


def time_pair(folder, tones):
    pair, data = (folder / str(LAYERS), folder / "1"), (tones / "corpus.h5", tones / "words.csv")
    return steps.time_steps(*pair, *data, steps=STEPS, machine=devices.begin(0, 1))


@pytest.fixture
def noted(monkeypatch):
    """What every forward pass in training, and every step of the optimizer, is like."""
    notes = []
    forward, step = HubertForSequenceClassification.forward, torch.optim.AdamW.step

    @functools.wraps(forward)
    def note_forward(self, input_values, **others):
        convolution = encoders.find_parts(self).positions[0].conv
        if self.training:
            notes.append(
                {
                    "layers": encoders.count_layers(self),
                    "shape": tuple(input_values.shape),
                    "values": input_values.dtype,
                    "autocast": torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu"),
                    "trained": sum(weights.numel() for weights in self.parameters() if weights.requires_grad),
                    "spec_augment": self.config.apply_spec_augment,
                    "layerdrop": self.config.layerdrop,
                    "checkpointing": self.is_activation_checkpointing,
                    "front end": type(self.hubert.feature_extractor).__name__,
                    "positions": "forward" in vars(convolution),
                    "deterministic": torch.are_deterministic_algorithms_enabled(),
                    "threads": torch.get_num_threads(),
                }
            )
        return forward(self, input_values, **others)

    def note_step(self, *arguments, **options):
        groups = [
            {key: group[key] for key in ("betas", "eps", "weight_decay")} for group in self.param_groups
        ]
        notes.append({"optimizer": groups})
        return step(self, *arguments, **options)

    monkeypatch.setattr(HubertForSequenceClassification, "forward", note_forward)
    monkeypatch.setattr(torch.optim.AdamW, "step", note_step)
    return notes


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_timed_is_what_ran(tones, tmp_path, noted, recipe):
    settings, options = RECIPES[recipe]
    fine_tune(tones, tmp_path, settings, options)
    of_both = list(noted)  # a step of the full run, a step of the pruned one
    noted.clear()
    found = time_pair(tmp_path, tones)
    assert noted == of_both * (steps.WARMUP + STEPS)
    batch = min(12 * 3, settings.get("batch_size", 12))
    micro = options.get("micro_batch_size", batch)
    assert [note["shape"][0] for note in of_both if "shape" in note] == [micro] * (2 * batch // micro)
    assert found["step_runs"] == len(found["step_full_seconds"]) == len(found["step_pruned_seconds"]) == STEPS
    assert found["step_cached_features"] == settings.get("cache_features", "none")
    assert found["step_precision"] == settings.get("precision", "float32")
    assert found["step_micro_batch_size"] == options.get("micro_batch_size", settings.get("batch_size", 12))


@pytest.mark.parametrize("clips", [{}, {"seconds": 2, "padding": "mask"}])
def test_steps_hold_the_features_that_training_reads(tones, tmp_path, clips):
    recipe = Recipe(**train(tones, max_steps=1, **clips).metrics["settings"])
    model, extractor = encoders.load_encoder(tones / "tiny")
    machine, given = devices.begin(0, 1), {"folder": tones / "tiny", "batch_size": 8}
    recordings, dataset = corpus.Corpus(tones / "corpus.h5"), tones / "words.csv"
    stored = features.Stored("float32", recipe.seconds, recipe.padding)
    given |= {"recordings": recordings, "dataset": dataset, "stored": stored, "machine": machine}
    features.cache_features(tmp_path / STORED, **given)
    table = finetune.read_splits(dataset)["train"]
    numbers, heard = {"high": 0, "low": 1, "middle": 2}, finetune.measure_heard(model, table, recipe)
    waves = finetune.Clips(recordings.samples, table, extractor, numbers, recipe.seconds, heard)
    held = steps.hold_features(waves, model, machine)
    cached = finetune.CachedClips(tmp_path / STORED, table, numbers, heard)
    rows = [5, 0, 30]
    found, expected = held.__getitems__(rows), cached.__getitems__(rows)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, atol=1e-5)


def start(tones, folder, seed, count):
    """A training without chance in it but for the order of its clips, from the model in `folder`."""
    model = encoders.load_classifier(folder)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in ("hidden_dropout", "activation_dropout", "attention_dropout"):
        setattr(model.config, name, 0.0)
    for layer in encoders.find_parts(model).layers:
        layer.attention.dropout = 0.0
    table = finetune.read_splits(tones / "words.csv")["train"]
    run = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    extractor = encoders.load_encoder(folder)[1]
    clips = finetune.Clips(tones / "corpus.h5", table, extractor, model.config.label2id)
    recipe = Recipe(**run["settings"] | {"max_steps": count, "eval_steps": 1000})
    machine = devices.Machine("cpu")
    return trainer.make_trainer(model, clips, clips, recipe, seed=seed, machine=machine, folder=folder / "x")


def test_two_trainings_in_turn_go_where_each_goes_alone(tones, pair):
    """Steps of a real training: batches, gradients, optimizer and rate are its own, epochs and all."""
    alone, in_turn = (
        [start(tones, pair / name, seed, 7) for seed, name in ((0, "3"), (5, "1"))] for _ in "ab"
    )
    for loop in alone:
        loop.train()
    steppers = [steps.Stepper(loop) for loop in in_turn]
    for count in range(1, 7):  # the end of a training is not a step: it would evaluate
        for stepper, loop in zip(steppers, in_turn, strict=True):
            stepper()
            assert loop.state.global_step == count
    for stepper in steppers:
        stepper()
        stepper.close()
    for found, expected in zip(in_turn, alone, strict=True):
        states = found.model.state_dict(), expected.model.state_dict()
        assert all(torch.equal(states[0][name], weights) for name, weights in states[1].items())
    changed = alone[0].model.state_dict()["projector.weight"], encoders.load_classifier(pair / "3").projector
    assert not torch.equal(changed[0], changed[1].weight)


def test_timing_neither_evaluates_nor_saves_nor_leaves_anything(tones, pair, monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr("transformers.Trainer.evaluate", forbidden)
    monkeypatch.setattr("transformers.Trainer._save_checkpoint", forbidden)
    path = pair / "1/metrics.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    assert run["settings"]["eval_steps"] == 10
    monkeypatch.setattr(steps, "WARMUP", 9)  # past an evaluation
    before = {path: path.stat().st_mtime_ns for path in pair.rglob("*")}
    time_pair(pair, tones)
    assert {path: path.stat().st_mtime_ns for path in pair.rglob("*")} == before


def test_a_training_that_fails_ends_the_measurement(tones, pair, monkeypatch):
    def fail(*arguments, **options):
        raise MemoryError("too large")

    monkeypatch.setattr(trainer, "mean_cross_entropy", fail)
    with pytest.raises(MemoryError, match="too large"):
        time_pair(pair, tones)


@pytest.mark.parametrize(("n", "picked"), [(3, 3), (4, 4), (7, 4), (9, 8), (40, 12)])
def test_timed_batches_are_whole(n, picked):
    table = pd.DataFrame({"item": range(n)})
    assert len(steps.pick_clips(table, batch_size=4, steps=3)) == picked


def test_the_adapter_writes_inference_and_step(tones, pair, tmp_path):
    names = ("model.safetensors", "config.json", "preprocessor_config.json", "metrics.json")
    full, pruned = ([pair / layers / name for name in names] for layers in (str(LAYERS), "1"))
    smk = SimpleNamespace(
        input=SimpleNamespace(
            full=full,
            pruned=pruned,
            samples=tones / "corpus.h5",
            dataset=tones / "words.csv",
        ),
        output=SimpleNamespace(timing=tmp_path / "1.json"),
        params=SimpleNamespace(
            settings={"full_layers": LAYERS, "runs": 4, "warmup": 1, "steps": 3, "threads": 1, "seconds": 1},
            speed={"gpus": 0},
        ),
        wildcards=SimpleNamespace(model="tiny", task="words", layers="1"),
        log=[tmp_path / "log"],
    )
    time_models.main(smk)
    found = json.loads((tmp_path / "1.json").read_text(encoding="utf-8"))
    assert (found["runs"], found["step_runs"], found["layers"]) == (4, 3, 1)
    for prefix, runs in (("", 4), ("step_", 3)):
        for side in ("full", "pruned"):
            seconds = np.array(found[f"{prefix}{side}_seconds"])
            assert found[f"{prefix}{side}"] == timing.summarise(seconds)
            assert len(seconds) == runs
        assert found[f"{prefix}disturbed"] in (True, False)
    assert found["step_full"]["median"] > found["full"]["median"]
    assert found["step_batch_size"] == 12
    smk.input.samples = shutil.copy(tones / "corpus.h5", tmp_path)
    (tmp_path / "corpus.sha256").write_text("0" * 64, encoding="utf-8")
    with pytest.raises(ValueError, match="corpus"):
        time_models.main(smk)
