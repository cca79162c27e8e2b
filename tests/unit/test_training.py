import copy
import itertools

import numpy as np
import pytest
import torch
from convexprune import training
from encoder_factory import make_encoder
from transformers import Trainer, TrainingArguments, get_scheduler

SETTINGS = {
    "batch_size": 5,
    "eval_steps": 4,
    "learning_rate": 1e-2,
    "lr_scheduler": "linear",
    "max_grad_norm": 0.5,
    "max_steps": 8,
    "patience": 5,
    "warmup_ratio": 0.25,
    "weight_decay": 0.1,
}
CALM = dict.fromkeys(
    ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"), 0.0
)
CPU = training.Machine("cpu")


class Noise:
    """Random clips with random labels, 12 of them: three batches of five a pass, the last one smaller."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.waves = generator.standard_normal((12, 1600)).astype(np.float32)
        self.labels = generator.integers(3, size=12)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, indices):
        return {"input_values": self.waves[indices], "labels": self.labels[indices]}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def build(**changes):
    model = make_encoder("wav2vec2", head=True, **CALM, apply_spec_augment=False, **changes)
    model.freeze_feature_encoder()
    return model


def train(folder, machine=CPU, model=None, seed=3, **changes):
    model = model or build()
    progress = training.train(
        model,
        Noise(),
        Noise(),
        SETTINGS | changes,
        seed=seed,
        machine=machine,
        checkpoints=training.Checkpoints(folder, "key"),
    )
    return model, progress


def last_weights(folder):
    return training.read_state(folder / "last.pt")["model"]


def differences(one, other):
    return {name: (one[name] - other[name]).abs().max().item() for name in one}


def test_the_steps_are_those_of_transformers_own_loop(tmp_path):
    model, reference = build(), build()
    start = copy.deepcopy(reference.state_dict())
    _, progress = train(tmp_path, model=model)

    class Ordered(Trainer):
        def get_train_dataloader(self):
            batches = training.order_batches(12, 5, seed=3)
            return [
                {name: torch.as_tensor(values) for name, values in Noise()[next(batches)].items()}
                for _ in range(SETTINGS["max_steps"])
            ]

    trainer = Ordered(
        model=reference,
        args=TrainingArguments(
            output_dir=tmp_path / "reference",
            max_steps=SETTINGS["max_steps"],
            learning_rate=SETTINGS["learning_rate"],
            lr_scheduler_type=SETTINGS["lr_scheduler"],
            warmup_steps=2,
            weight_decay=SETTINGS["weight_decay"],
            max_grad_norm=SETTINGS["max_grad_norm"],
            logging_steps=4,
            save_strategy="no",
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.train()
    ours, theirs = last_weights(tmp_path), reference.state_dict()
    assert max(differences(theirs, start).values()) > 1e-2
    assert max(differences(ours, theirs).values()) < 1e-5
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["loss"] for entry in progress.history] == pytest.approx(losses, abs=1e-4)


@pytest.mark.parametrize("micro_batch_size", [None, 2, 4])
def test_gradients_are_those_of_the_whole_batch(micro_batch_size):
    model, machine = build(), training.Machine("cpu", micro_batch_size=micro_batch_size)
    batch = {name: torch.as_tensor(values) for name, values in Noise()[np.arange(7)].items()}
    loss = training.step_gradients(model, batch, machine, torch.amp.GradScaler("cpu", enabled=False))
    found = {name: weights.grad for name, weights in model.named_parameters() if weights.grad is not None}
    model.zero_grad()
    expected = model(**batch).loss
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert len(found) > 10
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, model.get_parameter(name).grad, atol=1e-5, rtol=1e-4)


def test_activations_computed_twice_change_nothing(tmp_path):
    model = make_encoder("wav2vec2", head=True, mask_time_length=2)
    again = copy.deepcopy(model)
    again.activation_checkpointing_enable()
    train(tmp_path / "kept", model=model)
    train(tmp_path / "again", model=again)
    assert set(differences(last_weights(tmp_path / "kept"), last_weights(tmp_path / "again")).values()) == {0}


def test_bfloat16_computes_coarsely_but_keeps_full_weights(tmp_path):
    train(tmp_path / "full")
    model, _ = train(tmp_path / "half", training.Machine("cpu", "bfloat16"))
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}
    changes = differences(last_weights(tmp_path / "full"), last_weights(tmp_path / "half"))
    assert 1e-6 < max(changes.values()) < 0.1


@pytest.mark.parametrize(
    ("wanted", "device", "has_bfloat16", "expected"),
    [
        ("auto", "cpu", False, "float32"),
        ("auto", "cuda", True, "bfloat16"),
        ("auto", "cuda", False, "float16"),
        ("float32", "cuda", True, "float32"),
        ("bfloat16", "cpu", False, "bfloat16"),
    ],
)
def test_precision_is_chosen_by_device(monkeypatch, wanted, device, has_bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert training.choose_precision(wanted, device) == expected


def test_float16_on_a_cpu_is_refused():
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        training.choose_precision("float16", "cpu")


@pytest.mark.parametrize("name", ["linear", "cosine", "constant_with_warmup"])
def test_rates_are_those_of_transformers_schedules(name):
    settings = SETTINGS | {"lr_scheduler": name, "max_steps": 40, "warmup_ratio": 0.1}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=settings["learning_rate"])
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=4, num_training_steps=40)
    expected = []
    for _ in range(40):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert [training.rate_at(step, settings) for step in range(40)] == pytest.approx(expected)


def take(count, *arguments):
    return [batch.tolist() for batch in itertools.islice(training.order_batches(*arguments), count)]


def test_every_pass_has_each_clip_once_in_an_order_of_its_own():
    batches = take(9, 12, 5, 0)
    assert [len(batch) for batch in batches] == [5, 5, 2] * 3
    passes = np.concatenate([*batches, *take(3, 12, 5, 1)]).reshape(4, 12)
    assert (np.sort(passes) == np.arange(12)).all()
    assert len(np.unique(passes, axis=0)) == 4


@pytest.mark.parametrize("first", [1, 3, 4, 7])
def test_an_order_goes_on_from_any_step(first):
    assert take(4, 12, 5, 0, first) == take(first + 4, 12, 5, 0)[first:]


def test_training_that_diverges_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"diverged before step 4.*smaller learning rate"):
        train(tmp_path, learning_rate=1e30, warmup_ratio=0.0, max_grad_norm=1e30)


def test_predictions_are_in_the_order_of_the_clips():
    model = build()
    with torch.no_grad():
        expected = model(torch.from_numpy(Noise().waves)).logits.numpy()
    np.testing.assert_allclose(training.predict(model, Noise(), 5, CPU), expected, atol=1e-5)
