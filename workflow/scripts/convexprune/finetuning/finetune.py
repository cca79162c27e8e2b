"""Fine-tuning: one function trains full, pruned and sweep models alike (paper, sections 2.3 and 3.3).

The model is Transformers' audio classifier: the encoder pruned to `layers` layers, a linear projector,
the mean over all frames, a linear layer to the classes, trained with cross-entropy and early stopping on
validation accuracy. The test split is used once, after training, with the best weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from convexprune.data import corpus
from convexprune.data.corpus import Corpus
from convexprune.finetuning import features, metrics, resuming, trainer
from convexprune.finetuning.recipe import Recipe
from convexprune.jobs import csv_files, files, provenance
from convexprune.models import devices, encoders, loading, padding, positions, pruning
from convexprune.models.architectures import layout_of
from convexprune.models.devices import Machine
from convexprune.setup import imports, model_files
from convexprune.setup.experiment import Run

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformers import PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model and the record of its training."""

    model: PreTrainedModel
    feature_extractor: SequenceFeatureExtractor
    metrics: dict[str, Any]
    training_log: pd.DataFrame  # trainer.LOG_COLUMNS and the run's names, a row per evaluation
    predictions: pd.DataFrame  # item, label, predicted; of the test split
    checkpoint: Path  # the folder from which the run could be resumed

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a Hugging Face folder with metrics.json, training_log.csv and predictions.csv in it.

        Removes the run's checkpoints afterwards.
        """
        folder = Path(folder)
        encoders.save_folder(folder, self.model, self.feature_extractor)
        csv_files.write(folder / "training_log.csv", self.training_log)
        csv_files.write(folder / "predictions.csv", self.predictions)
        files.write_json(folder / "metrics.json", self.metrics)
        shutil.rmtree(self.checkpoint)


class Clips:
    """Rows of a dataset as the model takes them: normalised waveforms and labels as numbers.

    Items come as batches: clips of `seconds`, prepared by `encoders.prepare` (for the paper's models
    {"input_values": float32 (B, samples)}), and "labels" (B,). A clip is read only when its batch is
    requested. With `heard` (N,), the model hears so many samples of each.
    """

    def __init__(
        self,
        samples: str | os.PathLike[str],
        table: pd.DataFrame,
        feature_extractor: SequenceFeatureExtractor,
        label2id: dict[str, int],
        seconds: float = 1,
        heard: np.ndarray | None = None,
    ) -> None:
        self.samples, self.seconds, self.heard = samples, seconds, heard
        self.starts, self.ends = table["start"].to_numpy(), table["end"].to_numpy()
        self.labels = np.array(table["label"].map(label2id))
        self.feature_extractor = feature_extractor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, ArrayLike]:
        clips = corpus.read_clips(self.samples, self.starts[indices], self.ends[indices], self.seconds)
        heard = None if self.heard is None else self.heard[indices]
        return {
            **encoders.prepare(self.feature_extractor, clips, heard),
            "labels": self.labels[indices],
        }


class CachedClips:
    """The same rows as `Clips`, with their stored features in place of waveforms (see `features`)."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        table: pd.DataFrame,
        label2id: dict[str, int],
        heard: np.ndarray | None = None,
    ) -> None:
        self.path, self.heard = path, heard
        self.rows = table.index.to_numpy()
        self.labels = np.array(table["label"].map(label2id))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, ArrayLike]:
        values = features.read_features(self.path, self.rows[indices])
        mask = {} if self.heard is None else {"attention_mask": padding.make_mask(self.heard[indices])}
        return {"input_values": values, **mask, "labels": self.labels[indices]}


def read_splits(dataset: str | os.PathLike[str]) -> dict[str, pd.DataFrame]:
    """The train, validation and test rows of a dataset table.

    Raises ValueError for a split without rows, for fewer than two training labels, and for items of
    validation or test whose label is not in train.
    """
    table = corpus.read_dataset(dataset)
    splits = {split: table[table["split"] == split] for split in corpus.SPLITS}
    empty = [split for split, rows in splits.items() if rows.empty]
    if empty:
        raise ValueError(f"{dataset} has no items in split {', '.join(empty)}; fine-tuning needs all three")
    known = set(splits["train"]["label"])
    if len(known) < 2:
        raise ValueError(f"{dataset} has one label in split train, {known.pop()!r}; classifying needs two")
    for split in ("validation", "test"):
        strangers = splits[split][~splits[split]["label"].isin(known)]
        if not strangers.empty:
            raise ValueError(
                f"{dataset}: {len(strangers)} items of split {split} have labels that split train lacks "
                f"({', '.join(sorted(set(strangers['label']))[:10])}), first {strangers['item'].iloc[0]}; "
                "leave them out or give train items of these labels"
            )
    return splits


def sort_by_length(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The rows of a dataset, the longest clips first if clips keep their lengths."""
    if recipe.padding == "zeros":
        return table
    lengths = measure_clips(table, recipe)
    return table.iloc[np.argsort(-lengths, kind="stable")]


def measure_clips(table: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    """The samples (N,) of each clip of a dataset, without padding."""
    return corpus.measure_clips(table["start"].to_numpy(), table["end"].to_numpy(), recipe.seconds)


def measure_heard(model: PreTrainedModel, table: pd.DataFrame, recipe: Recipe) -> np.ndarray | None:
    """The samples (N,) that `model` hears of each clip of a dataset; None if it hears the padding too."""
    masked = recipe.padding == "mask" and layout_of(model.config).masks
    return padding.measure_heard(model.config, measure_clips(table, recipe)) if masked else None


def build_classifier(
    encoder: str | os.PathLike[str], labels: list[str], layers: int, recipe: Recipe
) -> tuple[PreTrainedModel, int]:
    """The classifier of `labels` on `encoder` pruned to `layers` layers, and the full one's parameter count.

    If the recipe starts from a folded model, that is in the folder `encoder` (`folds.fold_model`). Otherwise
    torch's generator draws the new head. Raises ValueError if the encoder does not have `recipe.full_layers`
    layers or cannot take the clips, and if its config asks for masks that do not fit into a clip.
    """
    if recipe.start == "folded":
        return load_folded(encoder, labels, layers, recipe)
    full = encoders.load_classifier(
        encoder,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        classifier_proj_size=recipe.projector_size,
        use_weighted_layer_sum=False,  # the head sees only the last layer
        apply_spec_augment=recipe.spec_augment,
        layerdrop=recipe.layerdrop,
    )
    encoders.check_layers(full, recipe.full_layers, str(encoder))
    encoders.check_length(full, recipe.seconds, str(encoder))
    stated = full.config.to_dict() if recipe.spec_augment else {}
    for problem in model_files.find_mask_problems(stated, recipe.seconds):
        raise ValueError(
            f"the config.json of {encoder} says {problem}: set finetuning.spec_augment to false, or change it"
        )
    model = pruning.prune(full, layers)
    if recipe.freeze_feature_encoder:
        encoders.freeze_front_end(model)
    return model, full.num_parameters()


def load_folded(
    folder: str | os.PathLike[str], labels: list[str], layers: int, recipe: Recipe
) -> tuple[PreTrainedModel, int]:
    """The classifier in `folder`, folded to `layers` layers, and the parameter count of the full one.

    Raises ValueError if it has other layers or labels.
    """
    model = encoders.load_classifier(folder)
    encoders.check_layers(model, layers, str(folder))
    if model.config.label2id != {label: index for index, label in enumerate(labels)}:
        raise ValueError(f"{folder} has other labels than the dataset; delete it and run again")
    if recipe.freeze_feature_encoder:
        encoders.freeze_front_end(model)
    return model, encoders.read_base(folder)["full_parameters"]


@contextlib.contextmanager
def faster(model: PreTrainedModel, machine: Machine, *, cached: bool) -> Iterator[None]:
    """Within the block, `model` trains faster with the same results; on stored features if `cached`.

    The block may stand in one of `padding.ignored`, not around it.
    """
    with contextlib.ExitStack() as ways:
        if cached:
            ways.enter_context(features.bypass_front_end(model))
        if (machine.device, machine.precision) == ("cpu", "float32"):
            ways.enter_context(positions.by_fourier(model))
        yield


def identify_run(*facts: Any) -> str:
    """A digest (hex) of everything that determines a run's result. No other run may use its checkpoint."""
    code = provenance.fingerprint(__file__, *imports.find_code(Path(__file__)))
    known = [provenance.versions("accelerate", "torch", "transformers"), code, *facts]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def finetune(
    encoder: str | os.PathLike[str],
    recordings: Corpus,
    dataset: str | os.PathLike[str],
    recipe: Recipe,
    run: Run,
    *,
    machine: Machine,
    checkpoint: str | os.PathLike[str],
    cached: str | os.PathLike[str] | None = None,
) -> FineTuned:
    """Fine-tune the encoder folder `encoder`, pruned to `run.layers` layers, to classify a dataset's labels.

    With `recipe.start` folded, `encoder` is the folder of `folds.fold_model` with these layers.
    `dataset` is a table that points into the corpus `recordings`. `cached` is the file of the encoder's
    stored features, if training reads those (the test split never does). `checkpoint` is a folder of this run
    alone: a killed run resumes from there, with the same results except timings. On the CPU, the seed and the
    number of threads determine the result.

    Raises ValueError for a dataset that cannot be learnt (`read_splits`), for layers the encoder lacks, for
    features of other inputs, and for training that diverges.
    """
    import torch
    from transformers import set_seed

    splits = {split: sort_by_length(table, recipe) for split, table in read_splits(dataset).items()}
    labels = sorted(set(splits["train"]["label"]))
    base = encoders.read_base(encoder)
    torch.use_deterministic_algorithms(machine.device == "cpu")
    set_seed(run.seed)
    model, full_parameters = build_classifier(encoder, labels, run.layers, recipe)
    model.to(machine.device)  # the front end too: the test split runs through it even with cached features
    feature_extractor = loading.load_feature_extractor(encoder)
    heard = {split: measure_heard(model, table, recipe) for split, table in splits.items()}
    label2id = model.config.label2id
    clips: dict[str, trainer.Clips] = {
        split: Clips(recordings.samples, table, feature_extractor, label2id, recipe.seconds, heard[split])
        for split, table in splits.items()
    }
    inputs = provenance.fingerprint(recordings.fingerprint, dataset)
    settings = dict(sorted(dataclasses.asdict(recipe).items()))
    computed = dataclasses.asdict(dataclasses.replace(machine, report_to=()))
    key = identify_run(base, inputs, settings, run.layers, run.seed, computed)
    if cached:
        features.check_features(cached, base["fingerprint"], inputs, recipe.seconds, recipe.padding)
        for split in ("train", "validation"):
            clips[split] = CachedClips(cached, splits[split], label2id, heard[split])
    with resuming.claim(Path(checkpoint), key), padding.ignored(model):
        loop = trainer.make_trainer(
            model,
            clips["train"],
            clips["validation"],
            recipe,
            seed=run.seed,
            machine=machine,
            folder=Path(checkpoint),
            name=f"{run.model} {run.task}, {run.layers} layers",
        )
        with faster(model, machine, cached=bool(cached)):
            training_time = trainer.train(loop, recipe.patience)
        scores = trainer.predict(loop, clips["test"])

    predictions = (
        splits["test"][["item", "label"]]
        .assign(predicted=[labels[index] for index in scores.argmax(-1)])
        .sort_index()
    )
    accuracy = float((predictions["label"] == predictions["predicted"]).mean())
    log.info("%s: test accuracy %.4f, trained in %.1f s", run, accuracy, training_time)
    return FineTuned(
        model=model,
        feature_extractor=feature_extractor,
        metrics={
            "model": run.model,
            "task": run.task,
            "layers": run.layers,
            "full_layers": recipe.full_layers,
            "seed": run.seed,
            "accuracy": accuracy,
            "sigma": metrics.binomial_sigma(accuracy, len(predictions)),
            "n_test": len(predictions),
            "validation_accuracy": loop.state.best_metric,
            "training_time": training_time,
            "steps": loop.state.global_step,
            "best_step": loop.state.best_global_step,
            "epochs": loop.state.epoch,
            "parameters": model.num_parameters(),
            "full_parameters": full_parameters,
            "learning_rate": recipe.learning_rate,
            "cached_features": recipe.cache_features if cached else "none",
            "settings": settings,
            "versions": provenance.versions("accelerate", "torch", "transformers"),
            "device": devices.name_device(machine.device),
            "precision": machine.precision,
            "threads": machine.threads,
            "micro_batch_size": machine.micro_batch_size or recipe.batch_size,
            "gradient_checkpointing": machine.gradient_checkpointing,
            "base": base,
        },
        training_log=trainer.tabulate_history(loop.state.log_history).assign(**dataclasses.asdict(run)),
        predictions=predictions,
        checkpoint=Path(checkpoint),
    )
