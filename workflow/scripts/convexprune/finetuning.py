"""Fine-tuning: one function trains full, pruned and sweep models alike (paper, sections 2.3 and 3.3).

The model is Transformers' audio classifier: the encoder pruned to `layers` layers, a linear projector,
the mean over all frames, a linear layer to the classes, trained with cross-entropy and early stopping on
validation accuracy. The test split is looked at once, after training, with the best weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from convexprune import (
    corpus,
    devices,
    encoders,
    features,
    memory,
    metrics,
    positions,
    provenance,
    pruning,
    training,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformers import PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model and all that is kept of its training."""

    model: PreTrainedModel
    feature_extractor: SequenceFeatureExtractor
    metrics: dict[str, Any]
    training_log: pd.DataFrame  # training.LOG_COLUMNS, a row an evaluation
    predictions: pd.DataFrame  # item, label, predicted: the test split
    checkpoint: Path  # folder of what a resumed run would need

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a Hugging Face folder with metrics.json, training_log.csv and predictions.csv in it.

        Only then are the run's checkpoints removed.
        """
        folder = Path(folder)
        encoders.save_folder(folder, self.model, self.feature_extractor)
        provenance.write_csv(folder / "training_log.csv", self.training_log)
        provenance.write_csv(folder / "predictions.csv", self.predictions)
        provenance.write_json(folder / "metrics.json", self.metrics)
        shutil.rmtree(self.checkpoint)


class Clips:
    """Rows of a dataset as the model takes them: normalised waveforms and labels as numbers.

    Items come as batches: what `encoders.prepare` makes of clips that are zero-padded to one second, for the
    paper's models {"input_values": float32 (B, 16000)}, and "labels" (B,). Nothing is read before it is
    asked for.
    """

    def __init__(
        self,
        samples: str | os.PathLike[str],
        table: pd.DataFrame,
        feature_extractor: SequenceFeatureExtractor,
        label2id: dict[str, int],
    ) -> None:
        self.samples = samples
        self.starts, self.ends = table["start"].to_numpy(), table["end"].to_numpy()
        self.labels = np.array(table["label"].map(label2id))
        self.feature_extractor = feature_extractor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, ArrayLike]:
        clips = corpus.read_clips(self.samples, self.starts[indices], self.ends[indices])
        return {
            **encoders.prepare(self.feature_extractor, clips),
            "labels": self.labels[indices],
        }


class CachedClips:
    """The same rows as `Clips`, with their stored features in place of waveforms (see `features`)."""

    def __init__(self, path: str | os.PathLike[str], table: pd.DataFrame, label2id: dict[str, int]) -> None:
        self.path = path
        self.rows = table.index.to_numpy()
        self.labels = np.array(table["label"].map(label2id))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, ArrayLike]:
        return {
            "input_values": features.read_features(self.path, self.rows[indices]),
            "labels": self.labels[indices],
        }


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


def build_classifier(
    encoder: str | os.PathLike[str], labels: list[str], layers: int, settings: dict[str, Any]
) -> tuple[PreTrainedModel, int]:
    """The classifier of `labels` on `encoder` pruned to `layers` layers, and the full one's parameter count.

    The new head is drawn from torch's generator. Raises ValueError if the encoder does not have
    `settings["full_layers"]` layers.
    """
    full = encoders.load_classifier(
        encoder,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        classifier_proj_size=settings["projector_size"],
        use_weighted_layer_sum=False,  # the head sees the last layer alone
        apply_spec_augment=settings["spec_augment"],
        layerdrop=settings["layerdrop"],
    )
    encoders.check_layers(full, settings["full_layers"], str(encoder))
    model = pruning.prune(full, layers)
    if settings["freeze_feature_encoder"]:
        encoders.freeze_front_end(model)
    return model, full.num_parameters()


def identify_run(*facts: Any) -> str:
    """A digest (hex) of everything that determines a run's result: its checkpoint serves no other run."""
    modules = (corpus, devices, encoders, features, metrics, positions, pruning, training)
    code = provenance.fingerprint(__file__, *(str(module.__file__) for module in modules))
    known = [provenance.versions("accelerate", "torch", "transformers"), code, *facts]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def finetune(
    encoder: str | os.PathLike[str],
    samples: str | os.PathLike[str],
    fingerprint: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    settings: dict[str, Any],
    names: dict[str, str],
    *,
    cached: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str],
    layers: int,
    seed: int,
    threads: int,
    gpus: int,
    micro_batch_size: int = 0,
    gradient_checkpointing: bool = False,
) -> FineTuned:
    """Fine-tune the encoder folder `encoder`, pruned to `layers` layers, to tell a dataset's labels.

    `samples` and `fingerprint` are the corpus' files, `dataset` the table that points into it, `names` (model
    and task) goes into the metrics. `cached` is the file of the encoder's stored features, if training is to
    read those (the test split never does). `checkpoint` is a folder of the run's own: a run that was killed
    goes on from there with the same results, timings apart.

    On the CPU a seed and a number of threads determine the result. Where memory is short,
    `micro_batch_size` clips go through the model at a time (0: the whole batch), and
    `gradient_checkpointing` computes activations twice instead of keeping them: the steps taken are of the
    same batches.

    `settings` (in brackets what the paper says, or our choice where it says nothing):

    - full_layers: transformer layers of the encoder, checked
    - learning_rate: peak of AdamW's learning rate (paper: by task, full or pruned)
    - batch_size: clips a step (paper: 32)
    - max_steps: steps at most (paper: 18,000)
    - eval_steps: steps between evaluations on the validation split (ours: 500)
    - patience: evaluations without a better accuracy after which training stops (ours: 5)
    - warmup_ratio: share of max_steps in which the rate rises from 0 (ours: 0.1)
    - lr_scheduler: linear, cosine or constant_with_warmup (ours: linear)
    - weight_decay: of AdamW (ours: 0)
    - max_grad_norm: length to which longer gradients are cut (ours: 1)
    - freeze_feature_encoder: keep the convolutional front end as pretrained (ours: true)
    - spec_augment: mask spans of frames in training, as the checkpoint's config says (ours: true)
    - layerdrop: probability of skipping a layer in training (ours: 0, so that every kept layer is trained)
    - projector_size: width of the projector (paper, by its parameter counts: 256)
    - precision: auto (by device), float32, bfloat16 or float16
    - cache_features: none, or the precision of the features in `cached`

    Raises ValueError for a dataset that cannot be learnt (`read_splits`), for layers the encoder lacks, for
    features of other inputs, and for training that diverges.
    """
    import torch
    from transformers import AutoFeatureExtractor, set_seed

    splits = read_splits(dataset)
    labels = sorted(set(splits["train"]["label"]))
    base = encoders.read_base(encoder)
    device = devices.claim_device(gpus)
    memory.keep_memory(device)
    devices.use_float32()
    machine = training.Machine(
        device=device,
        precision=devices.choose_precision(settings["precision"], device),
        workers=threads if device == "cuda" else 0,
        micro_batch_size=micro_batch_size,
        gradient_checkpointing=gradient_checkpointing,
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device == "cpu")
    set_seed(seed)
    model, full_parameters = build_classifier(encoder, labels, layers, settings)
    model.to(device)  # all of it, also what stored features stand in for in training
    feature_extractor = AutoFeatureExtractor.from_pretrained(encoder, local_files_only=True)
    clips: dict[str, training.Clips] = {
        split: Clips(samples, table, feature_extractor, model.config.label2id)
        for split, table in splits.items()
    }
    inputs = provenance.fingerprint(fingerprint, dataset)
    key = identify_run(base, inputs, settings, layers, seed, threads, dataclasses.asdict(machine))
    faster = contextlib.ExitStack()
    if cached:
        features.check_features(cached, base["fingerprint"], inputs)
        for split in ("train", "validation"):
            clips[split] = CachedClips(cached, splits[split], model.config.label2id)
        faster.enter_context(features.bypass_front_end(model))
    if (machine.device, machine.precision) == ("cpu", "float32"):
        faster.enter_context(positions.by_fourier(model))
    with training.claim(Path(checkpoint), key):
        trainer = training.make_trainer(
            model,
            clips["train"],
            clips["validation"],
            settings,
            seed=seed,
            machine=machine,
            folder=Path(checkpoint),
            name=f"{names['model']} {names['task']}, {layers} layers",
        )
        with faster:
            training_time = training.train(trainer, settings["patience"])
        scores = training.predict(trainer, clips["test"])

    predictions = splits["test"][["item", "label"]].assign(
        predicted=[labels[index] for index in scores.argmax(-1)]
    )
    accuracy = float((predictions["label"] == predictions["predicted"]).mean())
    log.info(
        "%d layers, seed %d: test accuracy %.4f, trained in %.1f s", layers, seed, accuracy, training_time
    )
    return FineTuned(
        model=model,
        feature_extractor=feature_extractor,
        metrics={
            **names,
            "layers": layers,
            "full_layers": settings["full_layers"],
            "seed": seed,
            "accuracy": accuracy,
            "sigma": metrics.binomial_sigma(accuracy, len(predictions)),
            "n_test": len(predictions),
            "validation_accuracy": trainer.state.best_metric,
            "training_time": training_time,
            "steps": trainer.state.global_step,
            "best_step": trainer.state.best_global_step,
            "epochs": trainer.state.epoch,
            "parameters": model.num_parameters(),
            "full_parameters": full_parameters,
            "learning_rate": settings["learning_rate"],
            "cached_features": settings["cache_features"] if cached else "none",
            "settings": settings,
            "versions": provenance.versions("accelerate", "torch", "transformers"),
            "device": devices.name_device(device),
            "precision": machine.precision,
            "threads": threads,
            "micro_batch_size": micro_batch_size or settings["batch_size"],
            "gradient_checkpointing": gradient_checkpointing,
            "base": base,
        },
        training_log=training.tabulate_history(trainer.state.log_history),
        predictions=predictions,
        checkpoint=Path(checkpoint),
    )
