"""Training by Transformers' Trainer: a run that was killed goes on where it was, with the same result.

It knows models and clips, not tasks or files of the workflow.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from safetensors.torch import load_model
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import ExportableState

from convexprune import provenance
from convexprune.progress import Progress

log = logging.getLogger(__name__)

LOG_COLUMNS = ["step", "epoch", "loss", "learning_rate", "eval_accuracy", "eval_loss"]


class Clips(Protocol):
    """What is trained on: a batch at a time, as the model takes it."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: list[int]) -> dict[str, ArrayLike]:
        """The model's inputs, (B, ...) each, and "labels" (B,)."""


@dataclass(frozen=True)
class Machine:
    """Where and how a model computes. Nothing here changes results but for rounding and dropout masks."""

    device: str  # cuda or cpu
    precision: str = "float32"  # of autocast: float32, bfloat16, float16
    workers: int = 0  # processes that read clips ahead
    micro_batch_size: int = 0  # clips in a forward pass, where the whole batch does not fit; 0: all
    gradient_checkpointing: bool = False  # compute activations twice instead of keeping them


class Stopwatch(TrainerCallback, ExportableState):
    """The seconds of a run, those before it was resumed included."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.started = time.perf_counter()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()

    def read(self) -> float:
        return self.seconds + time.perf_counter() - self.started

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"seconds": self.read()}}


class Watch(TrainerCallback):
    """Shows progress, logs every evaluation, makes the last step one, and ends a run that diverges."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        done, total = state.global_step, state.max_steps
        self.progress = Progress(desc=self.name, initial=done, total=total, unit="step")

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        self.progress.close()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            raise ValueError(
                f"training diverged before step {state.global_step}, where its loss is {logs['loss']}: "
                "give a smaller learning rate"
            )
        if shown := {key: logs[key] for key in LOG_COLUMNS if key in logs and key != "epoch"}:
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in shown.items())
            log.info("step %d of %d: %s", state.global_step, state.max_steps, numbers)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.progress.update()
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_log = True


def accuracy(result: EvalPrediction) -> float:
    """The share of items (0 to 1) whose label has the highest score."""
    return float(np.mean(result.predictions.argmax(-1) == result.label_ids))


def mean_cross_entropy(
    outputs: dict[str, torch.Tensor], labels: torch.Tensor, num_items_in_batch: torch.Tensor
) -> torch.Tensor:
    """A micro batch's share in the mean over the `num_items_in_batch` clips of a step.

    The mean of the micro batches' means would give the clips of a smaller one, at a pass's end, more weight.
    """
    return torch.nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch


def to_tensors(batch: dict[str, ArrayLike]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values) for name, values in batch.items()}


def make_trainer(
    model: PreTrainedModel,
    training: Clips,
    validation: Clips,
    settings: dict[str, Any],
    *,
    seed: int,
    machine: Machine,
    folder: Path,
    name: str = "training",
) -> Trainer:
    """The Trainer of a run whose checkpoints are kept in `folder`. Settings: those of `finetuning.finetune`.

    `name` stands beside its progress.

    It evaluates and saves every eval_steps and at the end, and keeps the last checkpoint and the best one.
    Raises ValueError unless the batch is a whole number of micro batches, and where it sees several GPUs.
    """
    size = machine.micro_batch_size or settings["batch_size"]
    if settings["batch_size"] % size:
        raise ValueError(
            f"finetuning.micro_batch_size is {size}, but must divide the batch_size, {settings['batch_size']}"
        )
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed * 1_000_003,  # a pass adds its number: no two seeds share the order of a pass
        per_device_train_batch_size=size,
        gradient_accumulation_steps=settings["batch_size"] // size,
        per_device_eval_batch_size=size,
        activation_checkpointing=machine.gradient_checkpointing,
        learning_rate=settings["learning_rate"],
        lr_scheduler_type=settings["lr_scheduler"],
        warmup_steps=round(settings["warmup_ratio"] * settings["max_steps"]),
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        max_steps=settings["max_steps"],
        eval_strategy="steps",
        eval_steps=settings["eval_steps"],
        logging_steps=settings["eval_steps"],
        logging_nan_inf_filter=False,  # a run that diverges shows it
        save_strategy="steps",
        save_steps=settings["eval_steps"],
        save_total_limit=2,  # the last and the best
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        use_cpu=machine.device == "cpu",
        bf16=machine.precision == "bfloat16",
        fp16=machine.precision == "float16",
        dataloader_num_workers=machine.workers,
        dataloader_pin_memory=machine.device == "cuda",
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
    )
    if arguments.n_gpu > 1:  # it would train on each batch times their number
        raise ValueError(f"training takes one GPU, and sees {arguments.n_gpu}: set CUDA_VISIBLE_DEVICES")
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=to_tensors,
        train_dataset=training,
        eval_dataset=validation,
        compute_loss_func=mean_cross_entropy,
        compute_metrics=lambda result: {"accuracy": accuracy(result)},
        callbacks=[EarlyStoppingCallback(settings["patience"]), Watch(name), Stopwatch()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.model_accepts_loss_kwargs = False  # the loss is taken outside the model
    return trainer


def train(trainer: Trainer, patience: int) -> float:
    """Train until validation accuracy stays or max_steps are taken; the model ends with the best weights.

    A run that has a checkpoint goes on from there. Returns the seconds that all its parts took.
    """
    checkpoint = find_checkpoint(Path(trainer.args.output_dir))
    if checkpoint is None or not is_finished(state := read_state(checkpoint), patience):
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return next(
            callback.read()
            for callback in trainer.callback_handler.callbacks
            if isinstance(callback, Stopwatch)
        )
    # The Trainer would take another step.
    trainer.state = state
    load_model(trainer.model, Path(state.best_model_checkpoint) / "model.safetensors")
    return state.stateful_callbacks["Stopwatch"]["attributes"]["seconds"]


def predict(trainer: Trainer, clips: Clips) -> np.ndarray:
    """Scores (N, classes) of clips: in float32, as of the model that is saved, whatever it was trained in."""
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    with torch.inference_mode():
        scores = [
            model(**{name: values for name, values in batch.items() if name != "labels"}).logits.cpu()
            for batch in trainer.get_test_dataloader(clips)
        ]
    return torch.cat(scores).numpy()


def read_state(checkpoint: Path) -> TrainerState:
    return TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


def is_finished(state: TrainerState, patience: int) -> bool:
    """Whether a run's last checkpoint is its end."""
    stale = state.stateful_callbacks["EarlyStoppingCallback"]["attributes"]["early_stopping_patience_counter"]
    return state.global_step >= state.max_steps or stale >= patience


def find_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in `folder`. Those that a kill cut off or that are damaged are removed."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            state = read_state(path)  # what the Trainer writes last
            for name in ("optimizer.pt", "scheduler.pt"):
                if zipfile.ZipFile(path / name).testzip():  # torch does not compare check sums
                    raise ValueError(f"{name} is damaged")
            if not (Path(state.best_model_checkpoint) / "model.safetensors").exists():
                raise FileNotFoundError(state.best_model_checkpoint)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            if isinstance(error, PermissionError):
                raise
            log.warning("%s cannot be resumed from (%s: %s)", path, type(error).__name__, error)
            shutil.rmtree(path)
        else:
            log.info("going on after step %d", state.global_step)
            return path
    return None


@contextmanager
def claim(folder: Path, key: str) -> Iterator[None]:
    """Hold the checkpoint folder of a run as its only process; checkpoints of another run are removed.

    `key` is a digest of everything that determines the run's result. Raises ValueError if another process
    holds the folder, and DiskFullError if the disk cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with provenance.naming_full_disk(folder), open(folder / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise ValueError(
                f"{lock.read().strip() or 'another process'} trains in {folder}: stop it, or wait for its end"
            ) from error
        except OSError as error:  # some network file systems have no locks
            log.warning("%s cannot be locked (%s): let no other run train in it", folder, error)
        lock.truncate(0)
        lock.write(f"process {os.getpid()}\n")
        lock.flush()
        record = folder / "run.json"
        content = json.dumps({"key": key})
        if not record.exists() or record.read_bytes() != content.encode():
            for path in folder.glob("checkpoint-*"):
                log.info("%s is of other settings, inputs, code or versions: starting again", path)
                shutil.rmtree(path)
            with provenance.atomic(record, durable=True) as temporary:
                temporary.write_text(content)
        yield


def tabulate_history(history: list[dict[str, float]]) -> pd.DataFrame:
    """The Trainer's log history as LOG_COLUMNS: training loss and evaluation of a step in one row."""
    rows = pd.DataFrame(history).reindex(columns=LOG_COLUMNS)
    values = LOG_COLUMNS[2:]
    return rows.dropna(subset=values, how="all").groupby("step", as_index=False).first()[LOG_COLUMNS]
