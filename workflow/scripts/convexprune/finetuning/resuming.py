"""Resuming a training that was killed: its checkpoints, and the process that may use them."""

from __future__ import annotations

import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import TrainerState

from convexprune.jobs import files, locks

log = logging.getLogger(__name__)


def read_state(checkpoint: Path) -> TrainerState:
    return TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


def is_finished(state: TrainerState, patience: int) -> bool:
    """Whether a run's last checkpoint is its end."""
    stale = state.stateful_callbacks["EarlyStoppingCallback"]["attributes"]["early_stopping_patience_counter"]
    return state.global_step >= state.max_steps or stale >= patience


def find_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint in `folder`. Removes checkpoints that are damaged or that a kill cut off."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            state = read_state(path)  # the file that the Trainer writes last
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
    """Hold the checkpoint folder of a run as its only process; remove the checkpoints of another run.

    `key` is a digest of everything that determines the run's result. Raises ValueError if another process
    holds the folder, and DiskFullError if the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "lock"
    try:
        with files.naming_full_disk(folder), locks.hold(lock):
            lock.write_text(f"process {os.getpid()}\n", encoding="utf-8")
            record = folder / "run.json"
            content = json.dumps({"key": key})
            if not record.exists() or record.read_bytes() != content.encode():
                for path in folder.glob("checkpoint-*"):
                    log.info("%s is of other settings, inputs, code or versions: starting again", path)
                    shutil.rmtree(path)
                with files.atomic(record, durable=True) as temporary:
                    temporary.write_text(content, encoding="utf-8")
            yield
    except locks.HeldError as error:
        holder = lock.read_text(encoding="utf-8").strip() or "another process"
        raise ValueError(f"{holder} trains in {folder}: stop it, or wait for its end") from error
