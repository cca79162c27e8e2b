"""Trackers of experiments, to which a training may report its losses and accuracies besides its own log."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback


def check_installed(trackers: Sequence[str]) -> None:
    """Raise ValueError for a tracker whose package is not installed."""
    if absent := [name for name in trackers if find_spec(name) is None]:
        raise ValueError(
            f"finetuning.report_to: {', '.join(absent)} is not installed: run "
            f"`pip install {' '.join(absent)}`, or leave it out of report_to"
        )


def report_to_tensorboard(checkpoint: Path, *, resumed: bool) -> TrainerCallback:
    """A callback that writes TensorBoard's files into the folder `tensorboard` beside `checkpoint`.

    Unless the training is `resumed`, files of an earlier one are deleted first.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = checkpoint.with_name("tensorboard")
    if not resumed:
        shutil.rmtree(folder, ignore_errors=True)
    return TensorBoardCallback(SummaryWriter(log_dir=str(folder)))
