"""Fine-tuned models folded to every depth, and how accurate they are there: nothing is trained."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from convexprune.data.corpus import Corpus
from convexprune.finetuning import finetune, metrics
from convexprune.finetuning.recipe import Recipe
from convexprune.jobs import files, provenance
from convexprune.jobs.progress import Progress
from convexprune.models import encoders, folding, loading, padding, positions
from convexprune.models.devices import Machine

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SequenceFeatureExtractor

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
    faster = positions.by_fourier(model) if machine.device == "cpu" else contextlib.nullcontext()
    with padding.ignored(model), faster:
        return folding.fold_depths(model, splits)


def open_splits(
    folder: str | os.PathLike[str],
    recordings: Corpus,
    dataset: str | os.PathLike[str],
) -> tuple[PreTrainedModel, SequenceFeatureExtractor, dict[str, finetune.Clips]]:
    """The fine-tuned full model in `folder`, its feature extractor, and the clips of each split of `dataset`.

    Clips are as long, and padded, as in its fine-tuning (metrics.json). Raises ValueError for labels that the
    model does not know.
    """
    model, extractor = encoders.load_classifier(folder), loading.load_feature_extractor(folder)
    recipe = Recipe(**json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))["settings"])
    splits = {
        split: finetune.sort_by_length(table, recipe)
        for split, table in finetune.read_splits(dataset).items()
    }
    if strangers := sorted(set(splits["train"]["label"]) - set(model.config.label2id)):
        raise ValueError(f"{folder} does not know the labels {', '.join(strangers[:10])} of {dataset}")
    clips = {
        split: finetune.Clips(
            recordings.samples,
            table,
            extractor,
            model.config.label2id,
            recipe.seconds,
            finetune.measure_heard(model, table, recipe),
        )
        for split, table in splits.items()
    }
    return model, extractor, clips


def fold_layers(
    folder: str | os.PathLike[str],
    recordings: Corpus,
    dataset: str | os.PathLike[str],
    *,
    batch_size: int,
    machine: Machine,
) -> pd.DataFrame:
    """The fine-tuned full model in `folder`, cut and folded to each depth: a row for each.

    `dataset` is the table that it was fine-tuned on, which points into the corpus `recordings`.
    Columns: those of `folding.Folding.depths`; `sigma` of the accuracy, `n_train`, `n_validation`,
    `n_test`; `pass_seconds` and `fold_seconds` of the whole model, the same in each row.

    Raises ValueError for labels that the model does not know.
    """
    model, _, clips = open_splits(folder, recordings, dataset)
    found = fold_clips(model, clips, batch_size, machine)
    table = found.depths.reset_index()
    table.insert(1, "full_layers", encoders.count_layers(model))
    table["sigma"] = [metrics.binomial_sigma(share, len(clips["test"])) for share in table["accuracy"]]
    counts = {f"n_{split}": len(of_split) for split, of_split in clips.items()}
    times = {"pass_seconds": found.pass_seconds, "fold_seconds": found.fold_seconds}
    log.info("%s: %.1f s of passes, %.1f s of folding\n%s", Path(folder), *times.values(), table.to_string())
    return table.assign(**counts, **times)


def fold_model(
    output: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    recordings: Corpus,
    dataset: str | os.PathLike[str],
    *,
    layers: int,
    batch_size: int,
    machine: Machine,
) -> None:
    """Write the fine-tuned full model in `folder`, folded to `layers` layers, to the model folder `output`.

    Its provenance.json has id, revision and fingerprint of the encoder that was fine-tuned,
    `full_parameters`, the `strength` of the ridge, and `weights`, the SHA-256 of the folded model. Raises
    ValueError as `fold_layers` does.
    """
    model, extractor, clips = open_splits(folder, recordings, dataset)
    found = fold_clips(model, clips, batch_size, machine)
    strength = float(found.depths.loc[layers, "strength"])
    folded = folding.fold(model, layers, found.moments, strength).cpu()
    encoders.save_folder(output, folded, extractor)
    trained = json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))
    record = {
        **trained["base"],
        "full_parameters": model.num_parameters(),
        "strength": strength,
        "weights": provenance.fingerprint(Path(output, "model.safetensors")),
    }
    files.write_json(Path(output, "provenance.json"), record)
