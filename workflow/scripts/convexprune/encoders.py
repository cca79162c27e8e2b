"""Encoders: the one contract for all architectures, and folders on disk (load, check, save).

An encoder folder holds model.safetensors, config.json and preprocessor_config.json as Transformers
writes them, and provenance.json. It always loads with AutoModel (Whisper's encoder, kept without its
decoder, with AutoModelForAudioClassification) and AutoFeatureExtractor alone: code that comes with a
checkpoint is never run.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexprune import provenance

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, ModuleList
    from transformers import PreTrainedConfig, PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)

# Where a folder says how clips are prepared for its model: the second with a tokenizer.
PREPARATION = ("preprocessor_config.json", "processor_config.json")
# What is loaded comes from the folder alone, and none of its code is run.
LOCAL = {"local_files_only": True, "trust_remote_code": False}
# Checkpoints may lack the mask vector (it serves training alone and starts at random) and Whisper's head.
OPTIONAL_WEIGHTS = ("masked_spec_embed", "projector.", "classifier.")


class Frames(NamedTuple):
    """Where the frames of a clip are, in samples."""

    step: int  # from one frame to the next
    first: float  # the middle of what the first frame sees


def frames_of_convolutions(config: PreTrainedConfig) -> Frames:
    """Frames behind convolutions on the waveform, and SEW's pooling of every few of them."""
    squeeze = getattr(config, "squeeze_factor", 1)
    field = step = 1
    for kernel, stride in zip([*config.conv_kernel, squeeze], [*config.conv_stride, squeeze], strict=True):
        field += (kernel - 1) * step
        step *= stride
    return Frames(step, (field - 1) / 2)


@dataclass(frozen=True)
class Layout:
    """Where an architecture keeps its parts: paths of attributes from its bare encoder.

    The defaults are those of wav2vec 2.0, which most architectures follow. `norm` comes before the layers in
    post-norm models (base) and after them in stable-layer-norm models (large); either way it is no layer.
    """

    front_end: tuple[str, ...] = ("feature_extractor",)  # convolutions
    positions: tuple[str, ...] = ("encoder.pos_conv_embed",)
    layers: str = "encoder.layers"
    norm: tuple[str, ...] = ("encoder.layer_norm",)
    frames: Callable[[PreTrainedConfig], Frames] = frames_of_convolutions
    layerdrop: str = "layerdrop"  # its key in the config


STANDARD = Layout()


# What is not listed must have the standard layout. WavLM's relative positions are part of its first layer.
LAYOUTS = {
    # The front end is the filter bank of the feature extractor, which has no weights: two windows of 25 ms,
    # 10 ms apart, make a frame. Positions are in each layer, and so is the last norm.
    "wav2vec2-bert": Layout(
        front_end=(), positions=(), norm=(), frames=lambda config: Frames(320, (160 + 400 - 1) / 2)
    ),
    # Its layers are DeBERTa's: the last norm is in each, relative positions are in a table beside them.
    "sew-d": Layout(layers="encoder.encoder.layer", norm=()),
    # Its spectra are centred on every 10 ms, of which every second makes a frame.
    "whisper": Layout(
        front_end=("conv1", "conv2"),
        positions=("embed_positions",),
        layers="layers",
        norm=("layer_norm",),
        frames=lambda config: Frames(320, 0.0),
        layerdrop="encoder_layerdrop",
    ),
}


@dataclass(frozen=True)
class Parts:
    """The parts of an encoder, the same for every architecture, in the order in which they run."""

    front_end: list[Module]  # convolutions; none where the feature extractor gives a filter bank
    positions: list[Module]  # none where they are inside the layers
    layers: ModuleList
    norm: list[Module]  # outside the layers, before or after them
    frames: Frames


def base_encoder(model: PreTrainedModel) -> PreTrainedModel:
    """The bare encoder in `model`: the model itself, what its head sits on, or Whisper's without decoder."""
    base = model.base_model
    return base.get_encoder() if model.config.model_type == "whisper" else base


def find_parts(model: PreTrainedModel) -> Parts:
    """The parts of `model`, a bare encoder or one with a head.

    Raises ValueError that names the missing parts for an architecture that is not laid out as known here.
    """
    layout = LAYOUTS.get(model.config.model_type, STANDARD)
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
    """Raise ValueError where `model`, called `name`, does not have the `layers` stated in the config."""
    found = count_layers(model)
    if found != layers:
        raise ValueError(
            f"model {name} has {found} transformer layers, but its config entry says layers: {layers}"
        )


def freeze_front_end(model: PreTrainedModel) -> None:
    """Keep the convolutional front end of `model` as it is in training."""
    for module in find_parts(model).front_end:
        module.requires_grad_(False)
        module._requires_grad = False  # else its forward asks for the gradient of the waveform


def prepare(feature_extractor: SequenceFeatureExtractor, clips: np.ndarray) -> dict[str, Tensor]:
    """What a model is called with: clips (B, samples) at 16 kHz, as its checkpoint's feature extractor asks.

    {"input_values": (B, samples)} or {"input_features": (B, ...)}. No attention mask: clips come padded to
    one length with zeros, which the paper's models see as silence.
    """
    name = feature_extractor.model_input_names[0]
    prepared = feature_extractor(
        list(clips), sampling_rate=feature_extractor.sampling_rate, return_tensors="pt"
    )
    return {name: prepared[name]}


@contextmanager
def naming(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what Transformers says about a folder that it cannot load into one line that names the folder."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    of_files = (OSError, pickle.UnpicklingError, SafetensorError)
    of_config = (ValueError, RuntimeError, StrictDataclassError)  # RuntimeError: weights of other shapes
    try:
        yield
    except (*of_files, *of_config) as error:
        reason = " ".join(str(error).split())
        if isinstance(error, pickle.UnpicklingError):  # Transformers advises to run it
            reason = "its .bin file is damaged or holds more than tensors, which is not run: get safetensors"
        raise ValueError(f"{folder} cannot be loaded as a speech model: {reason}") from error


def load_encoder(folder: str | os.PathLike[str]) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    """The bare encoder (float32, eval mode) and the feature extractor of a model folder.

    A head and Whisper's decoder are left out. A model on waveforms in a folder that does not say how to
    prepare them (ccc-wav2vec2-base) gets the default of Transformers: mean 0 and variance 1. Raises
    ValueError if the folder is not a supported model or lacks some of the encoder's weights.
    """
    from transformers import (
        AutoConfig,
        AutoFeatureExtractor,
        AutoModel,
        AutoModelForAudioClassification,
        Wav2Vec2FeatureExtractor,
    )

    with naming(folder):
        # The one class that holds Whisper's encoder without its decoder.
        whisper = AutoConfig.from_pretrained(folder, **LOCAL).model_type == "whisper"
        auto = AutoModelForAudioClassification if whisper else AutoModel
        model, report = auto.from_pretrained(folder, dtype="float32", output_loading_info=True, **LOCAL)
    find_parts(model)
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(OPTIONAL_WEIGHTS))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(f"{folder} lacks the weights {', '.join(missing[:3])}{more}")
    model = base_encoder(model).eval()
    if model.main_input_name == "input_values" and not states_preparation(folder):
        feature_extractor = Wav2Vec2FeatureExtractor()
        log.warning("%s has no %s: clips are normalised, as Transformers does it", folder, PREPARATION[0])
    else:
        with naming(folder):
            feature_extractor = AutoFeatureExtractor.from_pretrained(folder, **LOCAL)
    return model, feature_extractor


def states_preparation(folder: str | os.PathLike[str]) -> bool:
    """Whether a model folder says how clips are to be prepared."""
    return any((Path(folder) / name).is_file() for name in PREPARATION)


def configure_classifier(folder: str | os.PathLike[str], **changes: Any) -> PreTrainedConfig:
    """The config of the audio classifier in a model folder, or of one on the encoder in it.

    `changes` are its keys as wav2vec 2.0 names them. An adapter, which some checkpoints have behind the
    encoder, is left out: Transformers has no classifier on one.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, **LOCAL)
    if getattr(config, "add_adapter", False):
        config.add_adapter = False
    for key, value in changes.items():
        layout = LAYOUTS.get(config.model_type, STANDARD)
        setattr(config, layout.layerdrop if key == "layerdrop" else key, value)
    return config


def load_classifier(folder: str | os.PathLike[str], **changes: Any) -> PreTrainedModel:
    """The audio classifier (float32, eval mode) in a model folder, or a new head on the encoder in it.

    `changes` are those of `configure_classifier`. A new head is drawn from torch's generator. Raises
    ValueError if the folder is not a supported model.
    """
    from transformers import AutoModelForAudioClassification

    with naming(folder):
        config = configure_classifier(folder, **changes)
        model = AutoModelForAudioClassification.from_pretrained(
            folder, config=config, dtype="float32", **LOCAL
        )
    find_parts(model)
    return model.eval()


def save_folder(
    folder: str | os.PathLike[str], model: PreTrainedModel, feature_extractor: SequenceFeatureExtractor
) -> None:
    """Write model.safetensors, config.json and preprocessor_config.json into `folder`, each whole or not.

    Whisper's encoder without its decoder is written as the part of the whole model that it is, so that
    AutoModelForAudioClassification finds it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    alone = type(model).__name__ == "WhisperEncoder"
    weights = {f"encoder.{name}": values for name, values in model.state_dict().items()} if alone else None
    with provenance.scratch_folder(folder) as temporary:
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
    provenance.write_json(folder / "provenance.json", record)


def read_base(encoder: str | os.PathLike[str]) -> dict[str, Any]:
    """Which weights an encoder folder holds: id, revision and fingerprint of its provenance.json."""
    record = json.loads((Path(encoder) / "provenance.json").read_text())
    return {key: record[key] for key in ("id", "revision", "fingerprint")}
