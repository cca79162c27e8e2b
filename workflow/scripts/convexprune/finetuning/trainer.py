"""Training by Transformers' Trainer: a killed run resumes where it was, with the same result.

This module knows models and clips, not tasks or files of the workflow.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from safetensors.torch import load_model
from torch.utils.data import Dataset, Sampler
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from convexprune.finetuning import sampling, trackers
from convexprune.finetuning.callbacks import LOG_COLUMNS, Stopwatch, Watch
from convexprune.finetuning.recipe import Recipe
from convexprune.finetuning.resuming import find_checkpoint, is_finished, read_state
from convexprune.models import loading
from convexprune.models.devices import Machine

log = logging.getLogger(__name__)


class Clips(Protocol):
    """The data of a training: batches as the model takes them.

    Attributes:
        heard: the samples (N,) that the model hears of each clip; None if all are padded to one length.
    """

    heard: np.ndarray | None

    def __len__(self) -> int: ...

    def __getitems__(self, indices: list[int]) -> dict[str, ArrayLike]:
        """The model's inputs, (B, ...) each, and "labels" (B,)."""


def accuracy(result: EvalPrediction) -> float:
    """The share of items (0 to 1) whose label has the highest score."""
    return float(np.mean(result.predictions.argmax(-1) == result.label_ids))


def mean_cross_entropy(
    outputs: dict[str, torch.Tensor], labels: torch.Tensor, num_items_in_batch: torch.Tensor
) -> torch.Tensor:
    """A micro batch's share in the mean over the `num_items_in_batch` clips of a step.

    A mean of the means would give more weight to the clips of the smaller micro batch at the end of a pass.
    """
    return torch.nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch


def to_tensors(batch: dict[str, ArrayLike]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values) for name, values in batch.items()}


class Loop(Trainer):
    """The Trainer, with clips of like length in a batch where their lengths differ."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        clips = self.train_dataset if train_dataset is None else train_dataset
        if clips.heard is None:
            return super()._get_train_sampler(train_dataset)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return sampling.LikeLengths(clips.heard, size, self.args.data_seed)


def make_trainer(
    model: PreTrainedModel,
    training: Clips,
    validation: Clips,
    recipe: Recipe,
    *,
    seed: int,
    machine: Machine,
    folder: Path,
    name: str = "training",
) -> Trainer:
    """The Trainer of a run whose checkpoints are kept in `folder`. Its progress is shown with `name`.

    It evaluates and saves every eval_steps and at the end, and keeps the last checkpoint and the best one.
    Raises ValueError unless the batch is a whole number of micro batches, if it sees several GPUs, and for a
    tracker that is not installed.
    """
    trackers.check_installed(machine.report_to)
    size = machine.micro_batch_size or recipe.batch_size
    if recipe.batch_size % size:
        raise ValueError(
            f"finetuning.micro_batch_size is {size}, but must divide the batch_size, {recipe.batch_size}"
        )
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed * 1_000_003,  # a pass adds its number to this: no two seeds share an order
        per_device_train_batch_size=size,
        gradient_accumulation_steps=recipe.batch_size // size,
        per_device_eval_batch_size=size,
        activation_checkpointing=machine.gradient_checkpointing,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler,
        warmup_steps=round(recipe.warmup_ratio * recipe.max_steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        max_steps=recipe.max_steps,
        eval_strategy="steps",
        eval_steps=recipe.eval_steps,
        logging_steps=recipe.eval_steps,
        logging_nan_inf_filter=False,  # so that a diverging run shows
        save_strategy="steps",
        save_steps=recipe.eval_steps,
        save_total_limit=2,  # the last and the best
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        use_cpu=machine.device == "cpu",
        bf16=machine.precision == "bfloat16",
        fp16=machine.precision == "float16",
        dataloader_num_workers=machine.threads if machine.device == "cuda" else 0,
        dataloader_pin_memory=machine.device == "cuda",
        remove_unused_columns=False,
        report_to=[tracker for tracker in machine.report_to if tracker != "tensorboard"],
        run_name=name,
        disable_tqdm=True,
    )
    if arguments.n_gpu > 1:  # a step would then take n_gpu batches
        raise ValueError(f"training takes one GPU, and sees {arguments.n_gpu}: set CUDA_VISIBLE_DEVICES")
    trainer = Loop(
        model=model,
        args=arguments,
        data_collator=to_tensors,
        train_dataset=training,
        eval_dataset=validation,
        compute_loss_func=mean_cross_entropy,
        compute_metrics=lambda result: {"accuracy": accuracy(result)},
        callbacks=[EarlyStoppingCallback(recipe.patience), Watch(name), Stopwatch()],
    )
    trainer.remove_callback(PrinterCallback)
    if "tensorboard" in machine.report_to:
        resumed = find_checkpoint(folder) is not None
        trainer.add_callback(trackers.report_to_tensorboard(folder, resumed=resumed))
    trainer.model_accepts_loss_kwargs = False  # the loss is taken outside the model
    return trainer


def train(trainer: Trainer, patience: int) -> float:
    """Train until validation accuracy stops rising or max_steps are done; the model gets the best weights.

    A run with a checkpoint resumes from there. Returns the seconds that all its parts took.
    """
    checkpoint = find_checkpoint(Path(trainer.args.output_dir))
    if checkpoint is None or not is_finished(state := read_state(checkpoint), patience):
        with loading.quietly():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return next(
            callback.read()
            for callback in trainer.callback_handler.callbacks
            if isinstance(callback, Stopwatch)
        )
    # The run is finished, but the Trainer would take another step.
    trainer.state = state
    load_model(trainer.model, Path(state.best_model_checkpoint) / "model.safetensors")
    return state.stateful_callbacks["Stopwatch"]["attributes"]["seconds"]


def predict(trainer: Trainer, clips: Clips) -> np.ndarray:
    """Scores (N, classes) of clips: in float32, like the saved model, whatever the precision of training."""
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    with torch.inference_mode():
        scores = [
            model(**{name: values for name, values in batch.items() if name != "labels"}).logits.cpu()
            for batch in trainer.get_test_dataloader(clips)
        ]
    return torch.cat(scores).numpy()


def tabulate_history(history: list[dict[str, float]]) -> pd.DataFrame:
    """The Trainer's log history as LOG_COLUMNS: training loss and evaluation of a step in one row."""
    rows = pd.DataFrame(history).reindex(columns=LOG_COLUMNS)
    values = LOG_COLUMNS[2:]
    return rows.dropna(subset=values, how="all").groupby("step", as_index=False).first()[LOG_COLUMNS]
