"""How a model is trained does not depend on how its batches fit into memory."""

import copy
import dataclasses
import errno
import fcntl
import re

import numpy as np
import pytest
import torch
from convexprune.finetuning import resuming, trainer
from convexprune.finetuning.recipe import Recipe
from convexprune.jobs import progress
from convexprune.models.devices import Machine
from encoder_factory import make_encoder

SETTINGS = {
    "batch_size": 6,
    "eval_steps": 4,
    "learning_rate": 1e-2,
    "lr_scheduler": "linear",
    "max_grad_norm": 0.5,
    "max_steps": 8,
    "patience": 5,
    "warmup_ratio": 0.25,
    "weight_decay": 0.1,
}
UNUSED = dict.fromkeys(field.name for field in dataclasses.fields(Recipe)) | SETTINGS
CALM = dict.fromkeys(
    ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"), 0.0
)


class Noise:
    """Random clips with random labels, 11 of them: the last batch of a pass is short."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.waves = generator.standard_normal((11, 1600)).astype(np.float32)
        self.labels = generator.integers(3, size=11)

    heard = None

    def __len__(self):
        return len(self.labels)

    def __getitems__(self, indices):
        return {"input_values": self.waves[indices], "labels": self.labels[indices]}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def build():
    model = make_encoder("wav2vec2", head=True, **CALM, apply_spec_augment=False)
    model.freeze_feature_encoder()
    return model


def train(folder, model=None, seed=3, machine=None, **changes):
    """The weights after the last step, and the Trainer."""
    loop = trainer.make_trainer(
        model or build(),
        Noise(),
        Noise(),
        Recipe(**UNUSED | changes),
        seed=seed,
        machine=machine or Machine("cpu"),
        folder=folder,
    )
    loop.args.load_best_model_at_end = False
    trainer.train(loop, SETTINGS["patience"])
    return loop.model.state_dict(), loop


def differences(one, other):
    return [(one[name] - other[name]).abs().max().item() for name in one]


@pytest.mark.parametrize("micro_batch_size", [2, 3])
def test_a_step_of_micro_batches_is_that_of_the_whole_batch(tmp_path, micro_batch_size):
    machine = Machine("cpu", micro_batch_size=micro_batch_size)
    runs = train(tmp_path / "whole", eval_steps=1), train(tmp_path / "parts", machine=machine, eval_steps=1)
    for name in ("grad_norm", "loss"):
        of_whole, of_parts = (
            [entry[name] for entry in loop.state.log_history if name in entry] for _, loop in runs
        )
        assert len(of_whole) == SETTINGS["max_steps"]
        assert of_parts[:3] == pytest.approx(of_whole[:3], rel=1e-3)


def test_micro_batches_must_fill_a_batch(tmp_path):
    with pytest.raises(ValueError, match="micro_batch_size is 4, but must divide the batch_size, 6"):
        train(tmp_path, machine=Machine("cpu", micro_batch_size=4))


def test_activations_computed_twice_change_nothing(tmp_path):
    model = make_encoder("wav2vec2", head=True, mask_time_length=2)
    kept, _ = train(tmp_path / "kept", copy.deepcopy(model))
    again, _ = train(tmp_path / "again", model, machine=Machine("cpu", gradient_checkpointing=True))
    assert set(differences(kept, again)) == {0}


def test_bfloat16_computes_coarsely_but_keeps_full_weights(tmp_path):
    full, _ = train(tmp_path / "full")
    half, loop = train(tmp_path / "half", machine=Machine("cpu", precision="bfloat16"))
    assert {weights.dtype for weights in loop.model.parameters()} == {torch.float32}
    assert 1e-6 < max(differences(full, half)) < 0.1


def test_scores_are_those_of_the_model_as_it_is_saved(tmp_path):
    """In float32, whatever it was trained in, also where all of the training was done before."""
    coarse = Machine("cpu", precision="bfloat16")
    state, loop = train(tmp_path, machine=coarse)
    saved = build().eval()
    saved.load_state_dict(state)
    waves = torch.as_tensor(Noise().waves)
    with torch.inference_mode():
        expected = torch.cat([saved(part).logits for part in waves.split(SETTINGS["batch_size"])]).numpy()
    np.testing.assert_array_equal(trainer.predict(loop, Noise()), expected)
    assert abs(loop.predict(Noise()).predictions - expected).max() < 1e-6  # from here on, it is float32
    model = build()
    model.load_state_dict(state)
    finished = trainer.make_trainer(
        model, Noise(), Noise(), Recipe(**UNUSED), seed=3, machine=coarse, folder=tmp_path
    )
    np.testing.assert_array_equal(trainer.predict(finished, Noise()), expected)


def test_training_on_several_gpus_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.TrainingArguments, "n_gpu", 2)
    with pytest.raises(ValueError, match="takes one GPU, and sees 2"):
        train(tmp_path)


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    def no_lock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    with resuming.claim(tmp_path, "key"):
        assert (tmp_path / "run.json").exists()
    assert "cannot be locked" in caplog.text


def test_training_that_diverges_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"diverged before step 4.*smaller learning rate"):
        train(tmp_path, learning_rate=1e30, warmup_ratio=0.0, max_grad_norm=1e30)


def test_it_tells_how_far_it_is(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    with caplog.at_level("INFO"):
        train(tmp_path)
    lines = [record.getMessage() for record in caplog.records if record.name == "convexprune.jobs.progress"]
    assert lines and all(re.fullmatch(r"training: \d of 8, .*step.*, .* left", line) for line in lines)
