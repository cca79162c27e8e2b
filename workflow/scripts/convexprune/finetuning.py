"""Fine-tuning: one function trains full, pruned and sweep models alike (paper, sections 2.3 and 3.3).

The model is Transformers' audio classifier: the encoder pruned to `layers` layers, a linear projector,
the mean over all frames, a linear layer to the classes, trained with cross-entropy and early stopping on
validation accuracy. The test split is looked at once, after training, with the best weights.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from convexprune import corpus, devices, encoders, metrics, provenance, pruning

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SequenceFeatureExtractor, TrainerCallback

log = logging.getLogger(__name__)

LOG_COLUMNS = ["step", "epoch", "loss", "learning_rate", "eval_accuracy", "eval_loss"]


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model and all that is kept of its training."""

    model: PreTrainedModel
    feature_extractor: SequenceFeatureExtractor
    metrics: dict[str, Any]
    training_log: pd.DataFrame  # LOG_COLUMNS, a row an evaluation
    predictions: pd.DataFrame  # item, label, predicted: the test split

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a Hugging Face folder with metrics.json, training_log.csv and predictions.csv in it."""
        folder = Path(folder)
        encoders.save_folder(folder, self.model, self.feature_extractor)
        provenance.write_csv(folder / "training_log.csv", self.training_log)
        provenance.write_csv(folder / "predictions.csv", self.predictions)
        provenance.write_json(folder / "metrics.json", self.metrics)


class Clips:
    """One split of a dataset as the Trainer reads it, a batch at a time.

    Item i is what `encoders.prepare` makes of the clip, zero-padded to one second, and its label: for the
    paper's models {"input_values": float32 (16000,), "labels": int}. Nothing is read before it is asked for.
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
        self.labels = table["label"].map(label2id).to_numpy()
        self.feature_extractor = feature_extractor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        clips = corpus.read_clips(self.samples, self.starts[indices], self.ends[indices])
        [(name, values)] = encoders.prepare(self.feature_extractor, clips).items()
        return [
            {name: clip, "labels": int(label)}
            for clip, label in zip(values, self.labels[indices], strict=True)
        ]


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
        apply_spec_augment=settings["spec_augment"],
        layerdrop=settings["layerdrop"],
    )
    encoders.check_layers(full, settings["full_layers"], str(encoder))
    model = pruning.prune(full, layers)
    if settings["freeze_feature_encoder"]:
        encoders.freeze_front_end(model)
    return model, full.num_parameters()


def read_base(encoder: str | os.PathLike[str]) -> dict[str, Any]:
    """Which weights an encoder folder holds: id, revision and fingerprint of its provenance.json."""
    record = json.loads((Path(encoder) / "provenance.json").read_text())
    return {key: record[key] for key in ("id", "revision", "fingerprint")}


def progress() -> TrainerCallback:
    """A callback that logs every evaluation, instead of the Trainer's prints to stdout."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs) -> None:
            shown = {key: logs[key] for key in LOG_COLUMNS if key in logs and key != "epoch"}
            if shown:
                numbers = ", ".join(f"{key} {value:.4g}" for key, value in shown.items())
                log.info("step %d of %d: %s", state.global_step, state.max_steps, numbers)

    return Progress()


def tabulate_history(history: list[dict[str, float]]) -> pd.DataFrame:
    """The Trainer's log history as LOG_COLUMNS: training loss and evaluation of a step in one row."""
    rows = pd.DataFrame(history).reindex(columns=LOG_COLUMNS)
    values = LOG_COLUMNS[2:]
    return rows.dropna(subset=values, how="all").groupby("step", as_index=False).first()[LOG_COLUMNS]


def finetune(
    encoder: str | os.PathLike[str],
    samples: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    settings: dict[str, Any],
    names: dict[str, str],
    *,
    layers: int,
    seed: int,
    threads: int,
    gpus: int,
) -> FineTuned:
    """Fine-tune the encoder folder `encoder`, pruned to `layers` layers, to tell a dataset's labels.

    `samples` is the corpus' HDF5, `dataset` the table that points into it, `names` (model and task) goes
    into the metrics. On the CPU a seed and a number
    of threads determine the result; a GPU trains in bfloat16, or float16 where it lacks that.

    `settings` (in brackets what the paper says, or our choice where it says nothing):

    - full_layers: transformer layers of the encoder, checked
    - learning_rate: peak of AdamW's learning rate (paper: by task, full or pruned)
    - batch_size: clips a step (paper: 32)
    - max_steps: steps at most (paper: 18,000)
    - eval_steps: steps between evaluations on the validation split (ours: 500)
    - patience: evaluations without a better accuracy after which training stops (ours: 5)
    - warmup_ratio: share of max_steps in which the rate rises from 0 (ours: 0.1)
    - lr_scheduler: a name Transformers knows, such as linear, cosine, constant_with_warmup (ours: linear)
    - weight_decay: of AdamW (ours: 0)
    - freeze_feature_encoder: keep the convolutional front end as pretrained (ours: true)
    - spec_augment: mask spans of frames in training, as the checkpoint's config says (ours: true)
    - layerdrop: probability of skipping a layer in training (ours: 0, so that every kept layer is trained)
    - projector_size: width of the projector (paper, by its parameter counts: 256)

    Raises ValueError for a dataset that cannot be learnt (`read_splits`) and for layers the encoder lacks.
    """
    import torch
    from transformers import (
        AutoFeatureExtractor,
        EarlyStoppingCallback,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        set_seed,
    )
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    splits = read_splits(dataset)
    labels = sorted(set(splits["train"]["label"]))
    gpu = devices.claim_device(gpus) == "cuda"
    bf16 = gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(not gpu)
    set_seed(seed)
    model, full_parameters = build_classifier(encoder, labels, layers, settings)
    feature_extractor = AutoFeatureExtractor.from_pretrained(encoder, local_files_only=True)
    clips = {
        split: Clips(samples, table, feature_extractor, model.config.label2id)
        for split, table in splits.items()
    }

    with tempfile.TemporaryDirectory(prefix="convexprune-") as checkpoints:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=checkpoints,
                seed=seed,
                per_device_train_batch_size=settings["batch_size"],
                per_device_eval_batch_size=settings["batch_size"],
                learning_rate=settings["learning_rate"],
                lr_scheduler_type=settings["lr_scheduler"],
                warmup_steps=round(settings["warmup_ratio"] * settings["max_steps"]),
                weight_decay=settings["weight_decay"],
                max_steps=settings["max_steps"],
                eval_strategy="steps",
                eval_steps=settings["eval_steps"],
                logging_steps=settings["eval_steps"],
                logging_nan_inf_filter=False,  # a run that diverges shows it
                save_strategy="best",
                save_total_limit=1,
                save_only_model=True,
                load_best_model_at_end=True,
                metric_for_best_model="accuracy",
                greater_is_better=True,
                use_cpu=not gpu,
                bf16=bf16,
                fp16=gpu and not bf16,
                dataloader_num_workers=threads if gpu else 0,
                dataloader_pin_memory=gpu,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=clips["train"],
            eval_dataset=clips["validation"],
            compute_metrics=lambda result: {
                "accuracy": float(np.mean(result.predictions.argmax(-1) == result.label_ids))
            },
            callbacks=[EarlyStoppingCallback(settings["patience"]), progress()],
        )
        trainer.remove_callback(PrinterCallback)
        started = time.perf_counter()
        trainer.train()
        training_time = time.perf_counter() - started
        scores = trainer.predict(clips["test"]).predictions

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
            "settings": settings,
            "versions": provenance.versions("torch", "transformers", "accelerate"),
            "device": torch.cuda.get_device_name() if gpu else platform.processor() or platform.machine(),
            "precision": "bfloat16" if bf16 else "float16" if gpu else "float32",
            "threads": threads,
            "base": read_base(encoder),
        },
        training_log=tabulate_history(trainer.state.log_history),
        predictions=predictions,
    )
