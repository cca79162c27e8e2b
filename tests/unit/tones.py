"""A task that a tiny random encoder learns in a second, shared by the tests of fine-tuning."""

import tempfile
from pathlib import Path

import numpy as np
from convexprune.data import corpus
from convexprune.finetuning import finetune
from convexprune.finetuning.recipe import Recipe
from convexprune.models import devices, encoders
from convexprune.setup.experiment import Run
from encoder_factory import LAYERS, make_encoder, make_feature_extractor

# Three words, told apart by their pitch.
PITCHES = {"high": 3000, "low": 200, "middle": 800}
SETTINGS = {
    "batch_size": 12,
    "cache_features": "none",
    "eval_steps": 10,
    "freeze_feature_encoder": True,
    "full_layers": LAYERS,
    "layerdrop": 0.0,
    "learning_rate": 1e-2,
    "lr_scheduler": "linear",
    "max_grad_norm": 1.0,
    "max_steps": 80,
    "patience": 10,
    "precision": "auto",
    "projector_size": 8,
    "spec_augment": False,
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
}
WIDER = {"conv_dim": [32, 16]}  # random filters: enough of them to tell pitches apart
NAMES = {"model": "tiny", "task": "words"}


def tone(word: str, generator: np.random.Generator) -> np.ndarray:
    """Between a half and one and a half seconds of a pitch in noise, as 16-bit samples."""
    time = np.arange(generator.integers(8000, 24000)) / corpus.SAMPLING_RATE
    wave = np.sin(2 * np.pi * PITCHES[word] * generator.uniform(0.9, 1.1) * time + generator.uniform(0, 6))
    return (6000 * wave + 1000 * generator.standard_normal(len(time))).astype(np.int16)


def write_tones(folder: Path) -> None:
    """Write a corpus of tones, its dataset words.csv, and a random encoder in tiny/."""
    generator = np.random.default_rng(0)
    samples = folder / "corpus.h5"
    with corpus.write_corpus(samples, folder / "corpus.csv", folder / "corpus.sha256") as writer:
        for split, takes in {"train": 12, "validation": 6, "test": 8}.items():
            for take in range(takes):
                for word in PITCHES:
                    name = f"{word}/{split}{take}.wav"
                    writer.add(name, word, f"{split}{take % 3}", split, tone(word, generator))
    table = corpus.read_table(folder / "corpus.csv")
    table["start"], table["end"] = table["offset"], table["offset"] + table["n_samples"]
    words = table.rename(columns={"path": "item", "word": "label"})
    words[["item", "start", "end", "label", "speaker", "split"]].to_csv(folder / "words.csv", index=False)
    encoder = make_encoder("hubert", stable=True, **WIDER, mask_time_length=2)
    origin = {"source": "path", "id": "some/tiny", "revision": "abc"}
    encoders.save_encoder(folder / "tiny", encoder, make_feature_extractor(), origin)


def train(folder, layers=2, seed=0, dataset="words.csv", options=(), **changes):
    """A run, by the recipe with `changes`; options: those of `finetune` and of `begin`."""
    recipe = Recipe(**SETTINGS | changes)
    options = dict(options)
    inputs = {key: options.pop(key) for key in ("cached", "checkpoint") if key in options}
    machine = devices.begin(**{"gpus": 0, "threads": 1, "precision": recipe.precision} | options)
    with tempfile.TemporaryDirectory() as scratch:
        return finetune.finetune(
            folder / "tiny",
            corpus.Corpus(folder / "corpus.h5"),
            folder / dataset,
            recipe,
            Run(**NAMES, layers=layers, seed=seed),
            machine=machine,
            **{"checkpoint": f"{scratch}/checkpoint"} | inputs,
        )


def weights(fine_tuned):
    return fine_tuned.model.state_dict()


def measured(fine_tuned):
    """All metrics that a repeated run must give again."""
    return {key: value for key, value in fine_tuned.metrics.items() if key != "training_time"}
