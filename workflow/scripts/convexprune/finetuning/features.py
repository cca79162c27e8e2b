"""Stored outputs of an encoder's convolutional front end, so that no epoch computes them again.

A frozen front end gives the same features for the same clip in every epoch, run and seed. They are computed
once for a dataset's training and validation splits and stored as `features` (N, channels, frames), a chunk
per clip, of which `frames` (N,) are the clip's and the rest zeros. Row i belongs to row i of the dataset.
Rows of the test split are never written: the test accuracy is always that of the saved model, on waveforms.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexprune.data import corpus
from convexprune.data.corpus import Corpus
from convexprune.jobs import hdf5, provenance
from convexprune.jobs.progress import Progress
from convexprune.models import encoders, padding
from convexprune.models.devices import Machine
from convexprune.setup import model_files

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


class Stored(NamedTuple):
    """How features are stored (`kind`, float32 or float16), and of which clips (the config's `clips`)."""

    kind: str
    seconds: float = 1
    padding: str = "zeros"


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


def run_front_end(
    convolutions: torch.nn.Module, waves: torch.Tensor, dtype: torch.dtype, heard: np.ndarray | None = None
) -> np.ndarray:
    """Outputs, float32 (B, channels, frames), of `convolutions` for waveforms (B, samples), in `dtype`.

    With `heard` (B,), those of so many samples of each; the rest are zeros.
    """
    import torch

    lengths = np.full(len(waves), waves.shape[1]) if heard is None else heard
    mixed = torch.autocast(waves.device.type, dtype, enabled=dtype != torch.float32)
    with torch.inference_mode(), mixed:
        return padding.run_by_length(convolutions, waves, lengths, -1).float().cpu().numpy()


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
    stored: Stored,
    batch_size: int,
    machine: Machine,
) -> None:
    """Write the front end's features of the training and validation rows of `dataset`.

    `folder` is the encoder's, `dataset` a table that points into the corpus `recordings`. The features are
    computed as in training on `machine`.
    """
    import torch

    dtype = getattr(torch, machine.precision)
    torch.use_deterministic_algorithms(machine.device == "cpu")
    model, feature_extractor = encoders.load_encoder(folder)
    convolutions = front_end(model).to(machine.device)
    table = corpus.read_dataset(dataset)
    rows = np.flatnonzero(table["split"] != "test")
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    heard = None
    lengths = np.full(len(table), corpus.count_samples(stored.seconds))
    if stored.padding == "mask":
        measured = corpus.measure_clips(starts, ends, stored.seconds)
        heard = lengths = padding.measure_heard(model.config, measured)
    frames = np.array([count_frames(model, samples) for samples in lengths])
    with hdf5.create(output) as file:
        file.create_dataset("frames", data=frames, **hdf5.SUMS)
        shape = (model.config.conv_dim[-1], max(frames))
        values = file.create_dataset(
            "features", (len(table), *shape), stored.kind, chunks=(1, *shape), **hdf5.SUMS
        )
        log.info("%d clips, %s values a clip, as %s, on %s", len(rows), shape, stored.kind, machine.device)
        firsts = range(0, len(rows), batch_size)
        for first in Progress(firsts, desc=f"features of {Path(folder).name}", unit="batch"):
            batch = rows[first : first + batch_size]
            clips = corpus.read_clips(recordings.samples, starts[batch], ends[batch], stored.seconds)
            part = None if heard is None else heard[batch]
            waves = encoders.prepare(feature_extractor, clips, part)["input_values"].to(machine.device)
            found = run_front_end(convolutions, waves, dtype, part)
            for row, value in zip(batch, found, strict=True):
                values[row, :, : value.shape[-1]] = value
            file.check()
        file.attrs["encoder"] = encoders.read_base(folder)["fingerprint"]
        file.attrs["seconds"] = stored.seconds
        file.attrs["padding"] = stored.padding
        file.attrs["inputs"] = provenance.fingerprint(recordings.fingerprint, dataset)


def count_frames(model: PreTrainedModel, samples: int) -> int:
    """The frames that the front end makes of so many samples."""
    kernels, strides = model.config.conv_kernel, model.config.conv_stride
    return model_files.count_frames(kernels, strides, samples / corpus.SAMPLING_RATE)


def check_features(
    path: str | os.PathLike[str], encoder: str, inputs: str, seconds: float, padding: str
) -> None:
    """Raise ValueError unless `path` holds all features of that encoder and those inputs (fingerprints).

    They must be of clips of `seconds`, with that `padding`.
    """
    names = ("encoder", "inputs", "seconds", "padding")
    with hdf5.read(path, "features", "frames") as file:
        found = [file.attrs.get(name) for name in names]
    if found != [encoder, inputs, seconds, padding]:
        raise ValueError(
            f"{path} holds features of other weights, recordings or clips; delete it and run again"
        )


def read_features(path: str | os.PathLike[str], rows: np.ndarray) -> np.ndarray:
    """The features of `rows` of the dataset, float32 (B, channels, frames of the longest)."""
    with hdf5.read(path, "features", "frames") as file:
        stored = file["features"]
        found = np.empty((len(rows), *stored.shape[1:]), np.float32)
        for value, row in zip(found, rows, strict=True):
            stored.read_direct(value, np.s_[int(row)])
        longest = file["frames"][:][rows].max()
    return found[..., :longest]
