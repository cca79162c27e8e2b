"""Extraction of embeddings: every hidden state of a model in one forward pass, averaged over frames."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from convexprune import devices, encoders, provenance

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)


def load_state(
    folder: str | os.PathLike[str], state: str, seed: int | None
) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    """The encoder in `folder`; for the state untrained one of the same shape, its weights drawn by `seed`."""
    model, feature_extractor = encoders.load_encoder(folder)
    if state == "untrained":
        import torch

        torch.manual_seed(seed)
        model = type(model)(model.config).eval()
    return model, feature_extractor


def pool_layers(
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    clips: np.ndarray,
    lengths: np.ndarray | None = None,
) -> np.ndarray:
    """Mean over frames of each hidden state: clips (B, samples) to float32 (L + 1, B, D).

    Entry k is Transformers' hidden_states[k]: the raw output of layer k (0: the input of the first layer),
    without the final norm of stable-layer-norm models. Whisper's last entry alone comes after its final
    norm, as Transformers gives it. Clips come zero-padded; they are normalised as the checkpoint's feature
    extractor asks and no attention mask is given (the paper's models see the padding as silence). Frames
    count that begin within the clip, which leaves out what Whisper adds to make 30 s; with `lengths` (B,),
    the samples of real signal in each clip, those that begin within it, at least one.
    """
    import torch

    inputs = encoders.prepare(feature_extractor, clips)
    ends = np.full(len(clips), clips.shape[1]) if lengths is None else np.asarray(lengths)
    step = encoders.find_parts(model).frames.step
    with torch.inference_mode():
        inputs = {name: values.to(model.device) for name, values in inputs.items()}
        states = model(**inputs, output_hidden_states=True).hidden_states
        n_frames = states[0].shape[1]
        counted = torch.as_tensor(np.clip(-(-ends // step), 1, n_frames))
        weights = torch.arange(n_frames)[None, :] < counted[:, None]
        weights = (weights / weights.sum(dim=1, keepdim=True)).to(model.device)
        pooled = torch.stack([torch.einsum("btd,bt->bd", state, weights) for state in states])
    return pooled.float().cpu().numpy()


def embed(
    output: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str],
    trace: str | os.PathLike[str],
    samples: str | os.PathLike[str],
    fingerprint: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    identity: dict[str, str],
    settings: dict[str, Any],
    batch_size: int,
    threads: int,
    gpus: int,
) -> None:
    """Embed the items of one split of `dataset` with the model in `folder`; write the file `output`.

    `trace` is the folder's provenance.json or metrics.json, `samples` and `fingerprint` are the corpus'
    files; `identity` names model, state and dataset. Settings: split, frames (all | valid), layers, and
    seed for the state untrained. The file holds `hidden_states` float32 (L + 1, N, D), unchunked, so that
    a layer is one contiguous read, and `labels` (N,). It is written batch by batch, never held in memory.

    Raises ValueError for an empty split, a wrong number of layers, and hidden states that are not finite.
    """
    import torch
    from tqdm import tqdm

    from convexprune import corpus

    torch.set_num_threads(threads)
    device = devices.claim_device(gpus)
    model, feature_extractor = load_state(folder, identity["state"], settings["seed"])
    encoders.check_layers(model, settings["layers"], identity["model"])
    model.to(device)
    items = corpus.read_dataset(dataset)
    items = items[items["split"] == settings["split"]]
    if items.empty:
        raise ValueError(
            f"{dataset} has no items in split {settings['split']}; choose another convexity_split"
        )
    log.info("%s: %d items, %d layers, on %s", identity, len(items), settings["layers"], device)

    with provenance.atomic(output) as temporary, h5py.File(temporary, "w") as file:
        shape = (settings["layers"] + 1, len(items), model.config.hidden_size)
        hidden_states = file.create_dataset("hidden_states", shape, dtype=np.float32)
        file["labels"] = items["label"].to_numpy(dtype=object)
        for first in tqdm(range(0, len(items), batch_size), unit="batch", mininterval=5):
            batch = items.iloc[first : first + batch_size]
            clips = corpus.read_clips(samples, batch["start"], batch["end"])
            lengths = (batch["end"] - batch["start"]).to_numpy() if settings["frames"] == "valid" else None
            pooled = pool_layers(model, feature_extractor, clips, lengths)
            if not np.isfinite(pooled).all():
                raise ValueError(
                    f"{folder} gives hidden states that are not finite: its weights are damaged or its "
                    "training diverged; delete it and run again"
                )
            hidden_states[:, first : first + len(batch)] = pooled
        origin = json.loads(Path(trace).read_text())
        origin = origin.get("base", origin)
        file.attrs.update(
            {
                **identity,
                "id": origin["id"],
                "revision": origin["revision"] or "",
                "split": settings["split"],
                "frames": settings["frames"],
                "fingerprint": provenance.fingerprint(fingerprint, dataset),
                "device": device,
                "versions": json.dumps(provenance.versions("torch", "transformers", "h5py")),
            }
        )
        file.attrs["complete"] = True
