"""Extraction of embeddings: every hidden state of a model in one forward pass, averaged over frames."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd

from convexprune.data import batches
from convexprune.data.corpus import Corpus
from convexprune.jobs import hdf5, provenance
from convexprune.jobs.progress import Progress
from convexprune.models import encoders
from convexprune.models.devices import Machine

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """Which items of a dataset are embedded, and how."""

    split: str
    layers: int  # of the model; another number is an error
    context: str  # segment: each item, cut out of its recording; word: its frames in the recording
    frames: str  # of a segment: all, or those of real signal (valid)
    recordings: bool = (
        False  # whether these are all recordings of the split that have a label, whichever it is
    )
    seed: int | None = None  # of the weights in the state `untrained`
    seconds: float = 1  # of a clip
    padding: str = "zeros"  # what fills a shorter clip: zeros that the model hears, or a mask


CHUNK_ITEMS = 32  # HDF5 keeps the chunks that a batch fills, one per layer, in a cache of 8 MB


def load_state(
    folder: str | os.PathLike[str], state: str, seed: int | None
) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    """The encoder in `folder`; if `state` is untrained, one of its shape with weights drawn by `seed`."""
    model, feature_extractor = encoders.load_encoder(folder)
    if state == "untrained":
        import torch

        torch.manual_seed(seed)
        model = type(model)(model.config).eval()
    return model, feature_extractor


def run_encoder(
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    clips: np.ndarray,
    heard: np.ndarray | None = None,
) -> tuple[torch.Tensor, ...]:
    """The L + 1 hidden states (B, frames, D) of clips (B, samples), of which `heard` (B,) samples count."""
    import torch

    from convexprune.models import padding

    inputs = encoders.prepare(feature_extractor, clips, heard)
    with torch.inference_mode(), padding.ignored(model):
        inputs = {name: values.to(model.device) for name, values in inputs.items()}
        return model(**inputs, output_hidden_states=True).hidden_states


def pool_layers(
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    clips: np.ndarray,
    lengths: np.ndarray | None = None,
    *,
    mask: bool = False,
) -> np.ndarray:
    """Mean over frames of each hidden state: clips (B, samples) to float32 (L + 1, B, D).

    Entry k is Transformers' hidden_states[k]: the raw output of layer k (0: the input of the first layer),
    without the final norm of stable-layer-norm models. Only Whisper's last entry comes after its final norm,
    as Transformers gives it.

    Clips come zero-padded. They are normalised as the checkpoint's feature extractor asks, and no attention
    mask is given (the paper's models see the padding as silence). The mean is over the frames that start
    before the clip ends, which leaves out Whisper's padding. With `lengths` (B,), the samples of real
    signal in each clip, it is over the frames that start before the signal ends, at least one.

    With `mask`, the model hears the signal alone: an embedding is that of the clip without padding, by
    itself. The mean is over all its frames.
    """
    import torch

    ends = np.full(len(clips), clips.shape[1]) if lengths is None else np.asarray(lengths)
    heard = measure_heard(model, ends) if mask else None
    states = run_encoder(model, feature_extractor, clips, heard)
    n_frames = states[0].shape[1]
    counted = torch.as_tensor(count_frames(model, ends, heard, n_frames))
    weights = torch.arange(n_frames)[None, :] < counted[:, None]
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(model.device)
    pooled = torch.stack([torch.einsum("btd,bt->bd", state, weights) for state in states])
    return pooled.float().cpu().numpy()


def measure_heard(model: PreTrainedModel, lengths: np.ndarray) -> np.ndarray:
    """Samples that `model` hears of clips of `lengths`, if padding is masked."""
    from convexprune.models import padding

    return padding.measure_heard(model.config, lengths)


def count_frames(model: PreTrainedModel, ends: np.ndarray, heard: np.ndarray | None, most: int) -> np.ndarray:
    """The frames of each clip, at most `most`: those that start before its end; if masked, those `heard`."""
    frames = encoders.find_parts(model).frames
    return np.clip(-(-ends // frames.step) if heard is None else frames.count_in(heard), 1, most)


def pool_spans(
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    clips: np.ndarray,
    clip: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    lengths: np.ndarray | None = None,
) -> np.ndarray:
    """Mean over the frames of each span of a clip: clips (B, samples) to float32 (L + 1, S, D).

    Span s is samples `start[s]` to `end[s]` of clip number `clip[s]`. Its frames are those with their centre
    in it; if there are none, the one nearest to its middle. Layers and clips are as in `pool_layers`. With
    `lengths` (B,), the model hears so many samples of each clip alone.
    """
    import torch

    heard = None if lengths is None else measure_heard(model, lengths)
    states = run_encoder(model, feature_extractor, clips, heard)
    n_frames = states[0].shape[1]
    frames = encoders.find_parts(model).frames
    ends = np.full(len(clips), n_frames * frames.step) if lengths is None else lengths
    real = np.arange(n_frames) < count_frames(model, ends, heard, n_frames)[clip, None]
    centres = np.where(real, frames.first + frames.step * np.arange(n_frames), np.inf)
    start, end = start[:, None], end[:, None]
    inside = (start <= centres) & (centres < end)
    nearest = np.abs(centres - (start + end) / 2).argmin(axis=1)
    inside[np.arange(len(inside)), nearest] |= ~inside.any(axis=1)
    weights = torch.as_tensor(inside / inside.sum(axis=1, keepdims=True), dtype=torch.float32)
    weights = weights.to(model.device)
    pooled = torch.stack([torch.einsum("std,st->sd", state[clip], weights) for state in states])
    return pooled.float().cpu().numpy()


def pool_cut_out(
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    samples: str | os.PathLike[str],
    items: pd.DataFrame,
    *,
    frames: str,
    seconds: float,
    mask: bool,
) -> np.ndarray:
    """Embeddings of items, each a clip cut out of its recording: float32 (L + 1, items, D)."""
    from convexprune.data import corpus

    start, end = items["start"].to_numpy(), items["end"].to_numpy()
    clips = corpus.read_clips(samples, start, end, seconds)
    lengths = corpus.measure_clips(start, end, seconds) if mask or frames == "valid" else None
    return pool_layers(model, feature_extractor, clips, lengths, mask=mask)


def pool_in_words(
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    samples: str | os.PathLike[str],
    items: pd.DataFrame,
    *,
    recordings: pd.DataFrame,
    seconds: float,
    mask: bool,
) -> np.ndarray:
    """Embeddings of items within their `recordings` (rows by path): float32 (L + 1, items, D).

    A model is given the first `seconds` of a recording. Raises ValueError for an item that starts later.
    """
    from convexprune.data import corpus

    clip, names = pd.factorize(items["item"])
    first = recordings.loc[names, "offset"].to_numpy()
    last = first + recordings.loc[names, "n_samples"].to_numpy()
    clips = corpus.read_clips(samples, first, last, seconds)
    start, end = (items[edge].to_numpy() - first[clip] for edge in ("start", "end"))
    if late := sorted(set(items["item"][start >= clips.shape[1]])):
        raise ValueError(
            f"{late[0]} has phonemes after its first {seconds:g} s, which is all that a model is given; "
            "raise clips.seconds, take shorter recordings, or phonemes.context: segment"
        )
    lengths = corpus.measure_clips(first, last, seconds) if mask else None
    return pool_spans(model, feature_extractor, clips, clip, start, end, lengths)


def find_items(dataset: str | os.PathLike[str], recordings: Corpus, choice: Choice) -> pd.DataFrame:
    """The items to embed (item, start, end, label). A recording that `dataset` leaves out has an empty label.

    Raises ValueError for an empty split of a dataset with rows.
    """
    from convexprune.data import corpus

    table = corpus.read_dataset(dataset)
    items = table[table["split"] == choice.split]
    if items.empty and len(table):
        raise ValueError(f"{dataset} has no items in split {choice.split}; choose another convexity_split")
    if not choice.recordings:
        return items
    whole = corpus.read_table(recordings.table)
    whole = whole[(whole["split"] == choice.split) & corpus.has_label(whole)]
    labels = whole["path"].map(items.set_index("item")["label"]).fillna("")
    spans = {"start": whole["offset"], "end": whole["offset"] + whole["n_samples"]}
    return pd.DataFrame({"item": whole["path"], "label": labels, **spans}).reset_index(drop=True)


def encode(values: pd.Series) -> np.ndarray:
    """Numbers as they are, text in fixed length: HDF5's check sums do not cover text of variable length."""
    if pd.api.types.is_integer_dtype(values):
        return values.to_numpy(np.int64)
    text = np.char.encode(values.to_numpy(dtype=str), "utf-8")
    return text.astype(h5py.string_dtype("utf-8", max(1, text.dtype.itemsize)))


def read_origin(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Id and revision of the published weights behind a model's folder, fine-tuned here or not."""
    trained = Path(folder, "metrics.json")
    path = trained if trained.exists() else trained.with_name("provenance.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    return record.get("base", record)


def embed(
    output: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str],
    recordings: Corpus,
    dataset: str | os.PathLike[str],
    identity: dict[str, str],
    choice: Choice,
    batch_size: int,
    machine: Machine,
) -> None:
    """Embed the items of one split of `dataset` with the model in `folder`; write the file `output`.

    `dataset` is a table that points into the corpus `recordings`; `identity` names model, state and dataset.

    The file holds `hidden_states` float32 (L + 1, N, D), in chunks of one layer, `labels` (N,), and the spans
    of the corpus that these are of, `items` and `starts` (N,). It is written in pieces, never held in
    memory as a whole.

    A dataset without rows (phonemes that were refused) gives a file without items.

    Raises ValueError for an empty split of a dataset with rows, a wrong number of layers, clips of a length
    that the model cannot take, and hidden states that are not finite.
    """
    from convexprune.data import corpus
    from convexprune.models import positions

    model, feature_extractor = load_state(folder, identity["state"], choice.seed)
    encoders.check_layers(model, choice.layers, identity["model"])
    encoders.check_length(model, choice.seconds, identity["model"])
    model.to(machine.device)
    items = find_items(dataset, recordings, choice)
    if choice.context == "word":
        whole = corpus.read_table(recordings.table).set_index("path")
        pool_items = functools.partial(pool_in_words, recordings=whole)
        clip = items["item"].ne(items["item"].shift()).cumsum().to_numpy() - 1
        lengths = whole.loc[items["item"], "n_samples"].to_numpy()
    else:
        pool_items = functools.partial(pool_cut_out, frames=choice.frames)
        clip = np.arange(len(items))
        lengths = (items["end"] - items["start"]).to_numpy()
    mask = choice.padding == "mask"
    pool_items = functools.partial(pool_items, seconds=choice.seconds, mask=mask)
    windows = list(batches.sort_windows(clip, lengths if mask else None, batch_size))
    log.info("%s: %d items, %d layers, on %s", identity, len(items), choice.layers, machine.device)

    faster = positions.by_fourier(model) if machine.device == "cpu" else contextlib.nullcontext()
    with hdf5.create(output) as file, faster:
        shape = (choice.layers + 1, len(items), model.config.hidden_size)
        chunks = (1, np.clip(len(items), 1, CHUNK_ITEMS), model.config.hidden_size)
        most = (*shape[:1], max(1, len(items)), *shape[2:])  # HDF5 takes no larger chunks
        hidden_states = file.create_dataset(
            "hidden_states", shape, np.float32, maxshape=most, chunks=chunks, **hdf5.SUMS
        )
        for name, column in (("labels", "label"), ("items", "item"), ("starts", "start")):
            values = encode(items[column])
            file.create_dataset(name, data=values, maxshape=most[1:2], chunks=most[1:2], **hdf5.SUMS)
        with Progress(total=sum(map(len, windows)), desc=" ".join(identity.values()), unit="batch") as bar:
            for window in windows:
                rows = np.concatenate(window)
                pooled = np.empty((shape[0], len(rows), shape[2]), np.float32)
                for batch in window:
                    found = pool_items(model, feature_extractor, recordings.samples, items.iloc[batch])
                    if not np.isfinite(found).all():
                        raise ValueError(
                            f"{folder} gives hidden states that are not finite: its weights are damaged or "
                            "its training diverged; delete it and run again"
                        )
                    pooled[:, batch - rows.min()] = found
                    bar.update()
                hidden_states[:, rows.min() : rows.max() + 1] = pooled
                file.check()
        origin = read_origin(folder)
        file.attrs.update(
            {
                **identity,
                "id": origin["id"],
                "revision": origin["revision"] or "",
                "split": choice.split,
                "context": choice.context,
                "frames": choice.frames,
                "padding": choice.padding,
                "seconds": choice.seconds,
                "fingerprint": provenance.fingerprint(recordings.fingerprint, dataset),
                "device": machine.device,
                "versions": json.dumps(provenance.versions("torch", "transformers", "h5py")),
            }
        )
