"""Fine-tuned models folded to every depth, and how accurate they are there: nothing is trained."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from convexprune.data.corpus import Corpus
from convexprune.finetuning import finetune, metrics
from convexprune.jobs.progress import Progress
from convexprune.models import encoders, folding, loading, positions
from convexprune.models.devices import Machine

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


def read_batches(
    clips: finetune.Clips, size: int, name: str, *, labelled: bool = True
) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of `size` clips in their order, without "labels" unless `labelled`; progress has a `name`."""
    for first in Progress(range(0, len(clips), size), desc=name, unit="batch"):
        batch = clips.__getitems__([*range(len(clips))[first : first + size]])
        yield {key: torch.as_tensor(batch[key]) for key in batch if labelled or key != "labels"}


def fold_clips(
    model: PreTrainedModel,
    clips: Mapping[str, finetune.Clips],
    batch_size: int,
    machine: Machine,
    *,
    labelled: bool = True,
) -> folding.Folding:
    """`folding.fold_depths` of `model`, moved to the machine's device, over the clips of each split."""
    model.to(machine.device)
    splits = {
        split: read_batches(of_split, batch_size, f"folding, {split}", labelled=labelled)
        for split, of_split in clips.items()
    }
    with positions.by_fourier(model) if machine.device == "cpu" else contextlib.nullcontext():
        return folding.fold_depths(model, splits)


def fold_layers(
    folder: str | os.PathLike[str],
    recordings: Corpus,
    dataset: str | os.PathLike[str],
    *,
    full_layers: int,
    seconds: float,
    batch_size: int,
    machine: Machine,
) -> pd.DataFrame:
    """The fine-tuned full model in `folder`, cut and folded to each of 0 to `full_layers`: a row per depth.

    `dataset` is the table that it was fine-tuned on, which points into the corpus `recordings`; clips have
    `seconds`. Columns: those of `folding.Folding.depths`; `sigma` of the accuracy, `n_train`, `n_validation`,
    `n_test`; `pass_seconds` and `fold_seconds` of the whole model, the same in each row.

    Raises ValueError for a model that has other layers or labels.
    """
    model, extractor = encoders.load_classifier(folder), loading.load_feature_extractor(folder)
    encoders.check_layers(model, full_layers, str(folder))
    splits = finetune.read_splits(dataset)
    if strangers := sorted(set(splits["train"]["label"]) - set(model.config.label2id)):
        raise ValueError(f"{folder} does not know the labels {', '.join(strangers[:10])} of {dataset}")
    clips = {
        split: finetune.Clips(recordings.samples, table, extractor, model.config.label2id, seconds)
        for split, table in splits.items()
    }
    found = fold_clips(model, clips, batch_size, machine)
    table = found.depths.reset_index()
    table.insert(1, "full_layers", full_layers)
    table["sigma"] = [metrics.binomial_sigma(share, len(splits["test"])) for share in table["accuracy"]]
    counts = {f"n_{split}": len(rows) for split, rows in splits.items()}
    times = {"pass_seconds": found.pass_seconds, "fold_seconds": found.fold_seconds}
    log.info("%s: %.1f s of passes, %.1f s of folding\n%s", Path(folder), *times.values(), table.to_string())
    return table.assign(**counts, **times)
