"""Stored outputs of an encoder's convolutional front end, so that no epoch computes them again.

A frozen front end gives the same features for the same clip in every epoch, run and seed. They are computed
once for a dataset's training and validation splits and stored as `features` (N, channels, frames), a chunk
per clip; row i belongs to row i of the dataset. Rows of the test split are never written: the test accuracy
is always that of the saved model, on waveforms.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convexprune.data import corpus
from convexprune.data.corpus import Corpus
from convexprune.jobs import hdf5, provenance
from convexprune.jobs.progress import Progress
from convexprune.models import encoders
from convexprune.models.devices import Machine

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


def front_end(model: PreTrainedModel) -> torch.nn.Module:
    """The convolutional front end of a bare encoder or of one with a head.

    Raises ValueError for a model without one.
    """
    found = getattr(encoders.base_encoder(model), "feature_extractor", None)
    if found is None:
        raise ValueError(
            f"a {type(model).__name__} has no convolutional front end on waveforms whose features could be "
            "stored: set finetuning.cache_features to none"
        )
    return found


def run_front_end(convolutions: torch.nn.Module, waves: torch.Tensor, dtype: torch.dtype) -> np.ndarray:
    """Outputs, float32 (B, channels, frames), of `convolutions` for waveforms (B, samples), in `dtype`."""
    import torch

    mixed = torch.autocast(waves.device.type, dtype, enabled=dtype != torch.float32)
    with torch.inference_mode(), mixed:
        return convolutions(waves).float().cpu().numpy()


@contextmanager
def bypass_front_end(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, `model` takes the front end's outputs in place of waveforms."""
    import torch

    encoder, original = encoders.base_encoder(model), front_end(model)
    encoder.feature_extractor = torch.nn.Identity()
    try:
        yield
    finally:
        encoder.feature_extractor = original


def cache_features(
    output: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str],
    recordings: Corpus,
    dataset: str | os.PathLike[str],
    kind: str,
    seconds: float = 1,
    batch_size: int,
    machine: Machine,
) -> None:
    """Write the front end's features of the training and validation rows of `dataset`.

    `folder` is the encoder's, `dataset` a table that points into the corpus `recordings`. The features are
    those of clips of `seconds`, computed as in training on `machine`. `kind` is float32 or float16.
    """
    import torch

    dtype = getattr(torch, machine.precision)
    torch.use_deterministic_algorithms(machine.device == "cpu")
    model, feature_extractor = encoders.load_encoder(folder)
    convolutions = front_end(model).to(machine.device)
    table = corpus.read_dataset(dataset)
    rows = np.flatnonzero(table["split"] != "test")
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    with hdf5.create(output) as file:
        stored = None
        firsts = range(0, len(rows), batch_size)
        for first in Progress(firsts, desc=f"features of {Path(folder).name}", unit="batch"):
            batch = rows[first : first + batch_size]
            clips = corpus.read_clips(recordings.samples, starts[batch], ends[batch], seconds)
            waves = encoders.prepare(feature_extractor, clips)["input_values"].to(machine.device)
            values = run_front_end(convolutions, waves, dtype)
            if stored is None:
                shape = (len(table), *values.shape[1:])
                chunks = (1, *values.shape[1:])
                stored = file.create_dataset("features", shape, kind, chunks=chunks, **hdf5.SUMS)
                log.info(
                    "%d clips, %d values a clip, as %s, on %s",
                    len(rows),
                    values[0].size,
                    kind,
                    machine.device,
                )
            for row, value in zip(batch, values, strict=True):
                stored[row] = value
            file.check()
        file.attrs["encoder"] = encoders.read_base(folder)["fingerprint"]
        file.attrs["seconds"] = seconds
        file.attrs["inputs"] = provenance.fingerprint(recordings.fingerprint, dataset)


def check_features(path: str | os.PathLike[str], encoder: str, inputs: str, seconds: float) -> None:
    """Raise ValueError unless `path` holds all features of that encoder and those inputs (fingerprints).

    They must be of clips of `seconds`.
    """
    with hdf5.read(path, "features") as file:
        found = {name: file.attrs.get(name) for name in ("encoder", "inputs", "seconds")}
    if found != {"encoder": encoder, "inputs": inputs, "seconds": seconds}:
        raise ValueError(
            f"{path} holds features of other weights, recordings or clips; delete it and run again"
        )


def read_features(path: str | os.PathLike[str], rows: np.ndarray) -> np.ndarray:
    """The features of `rows` of the dataset, float32 (B, channels, frames)."""
    with hdf5.read(path, "features") as file:
        stored = file["features"]
        found = np.empty((len(rows), *stored.shape[1:]), np.float32)
        for value, row in zip(found, rows, strict=True):
            stored.read_direct(value, np.s_[int(row)])
    return found
