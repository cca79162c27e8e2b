"""Encoders: the one contract for all architectures, and folders on disk (load, check, save).

An encoder folder holds model.safetensors, config.json and preprocessor_config.json as Transformers
writes them, and provenance.json. AutoModel and AutoFeatureExtractor are enough to load it. (Whisper's encoder
is kept without its decoder and loads with AutoModelForAudioClassification.) Code that comes with a checkpoint
is never run.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexprune.data import corpus
from convexprune.jobs import files, provenance
from convexprune.models import loading
from convexprune.models.architectures import LAYOUTS, Frames, layout_of
from convexprune.setup import model_files

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, ModuleList
    from transformers import PreTrainedConfig, PreTrainedModel, SequenceFeatureExtractor


@dataclass(frozen=True)
class Parts:
    """The parts of an encoder, the same for every architecture, in the order in which they run."""

    front_end: list[Module]  # convolutions; none where the feature extractor gives a filter bank
    positions: list[Module]  # none where they are inside the layers
    layers: ModuleList
    norm: list[Module]  # outside the layers, before or after them
    frames: Frames


def base_encoder(model: PreTrainedModel) -> PreTrainedModel:
    """The bare encoder in `model`, without a head and without a decoder. It may be the model itself."""
    base = model.base_model
    return base.get_encoder() if layout_of(model.config).decoder else base


def find_parts(model: PreTrainedModel) -> Parts:
    """The parts of `model`, a bare encoder or one with a head.

    Raises ValueError that names the missing parts if the architecture is not laid out as `layout_of` says.
    """
    layout = layout_of(model.config)
    encoder = base_encoder(model)
    places = {
        "convolutional front end": layout.front_end,
        "positions": layout.positions,
        "stack of layers": (layout.layers,),
        "norm": layout.norm,
    }
    missing = [
        f"{part} ({path})"
        for part, paths in places.items()
        for path in paths
        if not has_module(encoder, path)
    ]
    if missing:
        raise ValueError(
            f"{type(model).__name__} (model type {model.config.model_type}) is not supported: it has no "
            f"{', no '.join(missing)}. Supported are speech encoders laid out like wav2vec 2.0, "
            f"and {', '.join(LAYOUTS)}"
        )
    front_end, positions, [layers], norm = (
        [encoder.get_submodule(path) for path in paths] for paths in places.values()
    )
    return Parts(front_end, positions, layers, norm, layout.frames(model.config))


def has_module(model: Module, path: str) -> bool:
    """Whether `model` has a module at the path of attributes `path`."""
    try:
        return model.get_submodule(path) is not None
    except AttributeError:
        return False


def count_layers(model: PreTrainedModel) -> int:
    """The number of transformer layers in `model`."""
    return len(find_parts(model).layers)


def check_layers(model: PreTrainedModel, layers: int, name: str) -> None:
    """Raise ValueError if `model`, called `name`, does not have the `layers` stated in the config."""
    found = count_layers(model)
    if found != layers:
        raise ValueError(
            f"model {name} has {found} transformer layers, but its config entry says layers: {layers}"
        )


def check_length(model: PreTrainedModel, seconds: float, name: str) -> None:
    """Raise ValueError if `model`, called `name`, cannot take clips of `seconds`."""
    for problem in model_files.find_clip_problems(model.config.to_dict(), seconds):
        raise ValueError(f"clips.seconds: {seconds:g}; model {name} has {problem}")


def freeze_front_end(model: PreTrainedModel) -> None:
    """Exclude the convolutional front end of `model` from training."""
    for module in find_parts(model).front_end:
        module.requires_grad_(False)
        module._requires_grad = False  # else its forward pass requests the waveform's gradient


def prepare(
    feature_extractor: SequenceFeatureExtractor, clips: np.ndarray, heard: np.ndarray | None = None
) -> dict[str, Tensor]:
    """A model's inputs, which its checkpoint's feature extractor makes of clips (B, samples) at 16 kHz.

    {"input_values": (B, samples)} or {"input_features": (B, ...)}. Clips come padded to one length with
    zeros, which the paper's models see as silence. With `heard` (B,), the samples of each that count, they
    are cut to the longest, and "attention_mask" marks what counts; not for Whisper, which always hears its
    window.
    """
    name = feature_extractor.model_input_names[0]
    call = partial(feature_extractor, sampling_rate=corpus.SAMPLING_RATE, return_tensors="pt")
    if heard is None or hasattr(feature_extractor, "chunk_length"):
        return {name: call(list(clips))[name]}
    cut = [clip[:samples] for clip, samples in zip(clips, heard, strict=True)]
    prepared = call(cut, padding=True, return_attention_mask=True)
    return {key: prepared[key] for key in (name, "attention_mask")}


def load_encoder(folder: str | os.PathLike[str]) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    """The bare encoder (float32, eval mode) and the feature extractor of a model folder.

    A head and Whisper's decoder are left out. Raises ValueError if the folder is not a supported model, if
    weights and config do not fit, or if the feature extractor gives what the model cannot take.
    """
    from transformers import AutoModel, AutoModelForAudioClassification

    loading.check_folder(folder)
    config = loading.read_config(folder, head=False)
    # The only class that holds an encoder without its decoder.
    auto = AutoModelForAudioClassification if layout_of(config).decoder else AutoModel
    model = loading.load_model(folder, auto, config)
    find_parts(model)
    return base_encoder(model).eval(), loading.load_feature_extractor(folder)


def configure_classifier(folder: str | os.PathLike[str], **changes: Any) -> PreTrainedConfig:
    """The config of the audio classifier in a model folder, or of a new one on the encoder in it.

    With `changes` (config keys, as wav2vec 2.0 names them) it is a new one. The adapter that some checkpoints
    have after the encoder is left out: Transformers has no classifier on one.
    """
    config = loading.read_config(folder, head=not changes)
    if getattr(config, "add_adapter", False):
        config.add_adapter = False
    for key, value in changes.items():
        setattr(config, layout_of(config).layerdrop if key == "layerdrop" else key, value)
    return config


def load_classifier(folder: str | os.PathLike[str], **changes: Any) -> PreTrainedModel:
    """The audio classifier (float32, eval mode) in a model folder, or a new head on the encoder in it.

    `changes` are those of `configure_classifier`. Torch's generator draws a new head. Raises
    ValueError if the folder is not a supported model, or if its weights do not fit its config.
    """
    from transformers import AutoModelForAudioClassification

    loading.check_folder(folder)
    config = configure_classifier(folder, **changes)
    model = loading.load_model(folder, AutoModelForAudioClassification, config, head=not changes)
    find_parts(model)
    return model.eval()


def save_folder(
    folder: str | os.PathLike[str], model: PreTrainedModel, feature_extractor: SequenceFeatureExtractor
) -> None:
    """Write model.safetensors, config.json and preprocessor_config.json into `folder`, each whole or not.

    Whisper's encoder without its decoder gets the weight names that it has in the whole model, so that
    AutoModelForAudioClassification finds it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    alone = layout_of(model.config).decoder and base_encoder(model) is model
    weights = {f"encoder.{name}": values for name, values in model.state_dict().items()} if alone else None
    with files.scratch_folder(folder) as temporary, loading.quietly():
        model.save_pretrained(temporary, state_dict=weights, max_shard_size="100GB")
        feature_extractor.save_pretrained(temporary)
        for file in temporary.iterdir():
            os.replace(file, folder / file.name)


def save_encoder(
    folder: str | os.PathLike[str],
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    origin: dict[str, Any],
) -> None:
    """Write an encoder folder; provenance.json is `origin` + library versions + the weights' SHA-256.

    `origin` says where the weights come from: source, id, revision, licence, settings.
    """
    folder = Path(folder)
    save_folder(folder, model, feature_extractor)
    record = {
        **origin,
        "versions": provenance.versions("torch", "transformers"),
        "fingerprint": provenance.fingerprint(folder / "model.safetensors"),
    }
    files.write_json(folder / "provenance.json", record)


def read_base(encoder: str | os.PathLike[str]) -> dict[str, Any]:
    """Which weights an encoder folder holds: id, revision and fingerprint of its provenance.json.

    Of a model that was folded here also `full_parameters`, and `weights`: its own fingerprint.
    """
    record = json.loads((Path(encoder) / "provenance.json").read_text(encoding="utf-8"))
    known = ("id", "revision", "fingerprint", "full_parameters", "weights")
    return {key: record[key] for key in known if key in record}
