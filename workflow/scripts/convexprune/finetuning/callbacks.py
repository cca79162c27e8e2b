"""Callbacks of a training: its progress, logs and time."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from convexprune.jobs.progress import Progress

log = logging.getLogger(__name__)

LOG_COLUMNS = ["step", "epoch", "loss", "learning_rate", "eval_accuracy", "eval_loss"]


class Stopwatch(TrainerCallback, ExportableState):
    """The seconds of a run, including those before it was resumed."""

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
    """Shows progress, logs every evaluation, evaluates at the last step, and ends a run that diverges."""

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
