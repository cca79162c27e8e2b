"""Time a training step of a full model and its pruned one in turn, each by the loop that trained it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from greenlet import greenlet
from transformers import Trainer, TrainerCallback, TrainerControl

from convexprune.finetuning import features, finetune, trainer
from convexprune.finetuning.recipe import Recipe
from convexprune.models import devices, encoders, loading, padding, timing
from convexprune.models.devices import Machine

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformers import PreTrainedModel

WARMUP = 3  # untimed steps of each model: the first ones allocate the optimizer's state


class Stepper(TrainerCallback):
    """A training that takes one whole step per call: batch, forward and backward pass, and optimizer.

    The loop is the Trainer's own, as a coroutine that pauses at the end of each step. It neither evaluates
    nor saves.
    """

    def __init__(self, trainer: Trainer) -> None:
        trainer.add_callback(self)
        self.loop = greenlet(trainer.train)

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **kwargs: Any) -> None:
        control.should_evaluate = control.should_save = control.should_log = False
        self.loop.parent.switch()

    def __call__(self) -> None:
        self.loop.switch()

    def close(self) -> None:
        """End the loop where it pauses."""
        self.loop.throw()


class HeldFeatures:
    """In memory: features of clips, which the model takes in place of waveforms.

    `values` are those of each clip, (channels, frames), `labels` (N,) numbers, `heard` as in `Clips`.
    """

    def __init__(self, values: list[np.ndarray], labels: np.ndarray, heard: np.ndarray | None) -> None:
        self.values, self.labels, self.heard = values, labels, heard

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, ArrayLike]:
        found = [self.values[index] for index in indices]
        longest = max(value.shape[1] for value in found)
        values = np.stack([np.pad(value, ((0, 0), (0, longest - value.shape[1]))) for value in found])
        mask = {} if self.heard is None else {"attention_mask": padding.make_mask(self.heard[indices])}
        return {"input_values": values, **mask, "labels": self.labels[indices]}


def hold_features(clips: finetune.Clips, model: PreTrainedModel, machine: Machine) -> HeldFeatures:
    """Features of `clips` as the module `features` would store them, computed clip by clip."""
    convolutions, dtype = features.front_end(model), getattr(torch, machine.precision)
    waves = (torch.as_tensor(clips.__getitems__([index])["input_values"]) for index in range(len(clips)))
    values = [features.run_front_end(convolutions, wave.to(machine.device), dtype)[0] for wave in waves]
    return HeldFeatures(values, clips.labels, clips.heard)


def pick_clips(table: pd.DataFrame, batch_size: int, steps: int) -> pd.DataFrame:
    """The first rows of `table` that fill whole batches, at most `steps`; all rows if they fill none."""
    batches = min(steps, len(table) // batch_size)
    return table.iloc[: batches * batch_size] if batches else table


@contextlib.contextmanager
def resume(
    folder: Path, samples: str | os.PathLike[str], table: pd.DataFrame, steps: int, machine: Machine
) -> Iterator[tuple[Stepper, dict[str, Any]]]:
    """Train the model in `folder` again, for `steps` steps at most, as its metrics.json says it was trained.

    Yields a Stepper, and how the steps are taken.
    """
    run = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    recipe = Recipe(**run["settings"])
    machine = dataclasses.replace(
        machine,
        precision=devices.choose_precision(recipe.precision, machine.device),
        micro_batch_size=run["micro_batch_size"],
        gradient_checkpointing=run["gradient_checkpointing"],
    )
    how = {key: run[key] for key in ("micro_batch_size", "gradient_checkpointing", "cached_features")}
    how |= {"batch_size": recipe.batch_size, "precision": machine.precision}
    torch.use_deterministic_algorithms(machine.device == "cpu")
    model = encoders.load_classifier(folder).to(machine.device)
    if recipe.freeze_feature_encoder:
        encoders.freeze_front_end(model)
    feature_extractor = loading.load_feature_extractor(folder)
    rows = pick_clips(table, recipe.batch_size, steps)
    heard = finetune.measure_heard(model, rows, recipe)
    waves = finetune.Clips(samples, rows, feature_extractor, model.config.label2id, recipe.seconds, heard)
    cached = run["cached_features"] != "none"
    clips = hold_features(waves, model, machine) if cached else waves
    with (
        tempfile.TemporaryDirectory() as scratch,
        padding.ignored(model),
        finetune.faster(model, machine, cached=cached),
    ):
        loop = trainer.make_trainer(
            model,
            clips,
            clips,
            dataclasses.replace(recipe, max_steps=steps + 1),  # the run never reaches its end
            seed=run["seed"],
            machine=machine,
            folder=Path(scratch),
            name=f"steps of {run['layers']} layers",
        )
        with contextlib.closing(Stepper(loop)) as stepper:
            yield stepper, how


def time_steps(
    full: str | os.PathLike[str],
    pruned: str | os.PathLike[str],
    samples: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    steps: int,
    machine: Machine,
) -> dict[str, Any]:
    """Seconds of a training step of the fine-tuned models in the folders `full` and `pruned`, in turn.

    Each trains as its run did, by its metrics.json: batch and micro batches, precision, masks, front end
    frozen or not, optimizer. They were trained on `samples` and `dataset`; `steps` steps of each are timed.
    A step reads its clips from disk; stored features are in memory. The keys are those of `timing.compare`
    and how a step was taken, all with the prefix `step_`.
    """
    table = finetune.read_splits(dataset)["train"]
    with contextlib.ExitStack() as running:
        (by_full, how), (by_pruned, _) = (
            running.enter_context(resume(Path(folder), samples, table, WARMUP + steps, machine))
            for folder in (full, pruned)
        )
        measured = timing.compare(by_full, by_pruned, runs=steps, warmup=WARMUP, device=machine.device)
    return {f"step_{key}": value for key, value in (how | measured).items()}
