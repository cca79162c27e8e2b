"""Encoders as folders on disk: load, check, save, download, import.

An encoder folder holds model.safetensors, config.json and preprocessor_config.json as Transformers
writes them, and provenance.json. It always loads with AutoModel and AutoFeatureExtractor alone: code
that comes with a checkpoint is never run.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexprune import provenance

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SequenceFeatureExtractor

# The families whose layout `encoder.layers` is tested here, base and large (stable layer norm).
FAMILIES = ("wav2vec2", "hubert", "wavlm")
# Checkpoints may lack the mask vector: it serves training alone and starts at random.
OPTIONAL_WEIGHTS = {"masked_spec_embed"}


def base_encoder(model: PreTrainedModel) -> PreTrainedModel:
    """The bare encoder in `model`: the model itself, or what its classification head sits on.

    Raises ValueError for a family that is not supported.
    """
    if model.config.model_type not in FAMILIES:
        raise ValueError(
            f"{type(model).__name__} is a {model.config.model_type!r} model; supported: {', '.join(FAMILIES)}"
        )
    return model.base_model


def count_layers(model: PreTrainedModel) -> int:
    """The number of transformer layers in `model`."""
    return len(base_encoder(model).encoder.layers)


def check_layers(model: PreTrainedModel, layers: int, name: str) -> None:
    """Raise ValueError where `model`, called `name`, does not have the `layers` stated in the config."""
    found = count_layers(model)
    if found != layers:
        raise ValueError(
            f"model {name} has {found} transformer layers, but its config entry says layers: {layers}"
        )


def load_encoder(folder: str | os.PathLike[str]) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    """The bare encoder (float32, eval mode) and the feature extractor of a model folder.

    A classification head in the folder is left out. Raises ValueError if the folder is not a supported
    model or lacks some of the encoder's weights.
    """
    from transformers import AutoFeatureExtractor, AutoModel

    folder = Path(folder)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, loading = AutoModel.from_pretrained(folder, dtype="float32", output_loading_info=True, **local)
        feature_extractor = AutoFeatureExtractor.from_pretrained(folder, **local)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} cannot be loaded as a speech model: {error}") from error
    base_encoder(model)
    missing = set(loading["missing_keys"]) - OPTIONAL_WEIGHTS
    if missing:
        raise ValueError(f"{folder} lacks the weights {', '.join(sorted(missing))}")
    return model.eval(), feature_extractor


def save_folder(
    folder: str | os.PathLike[str], model: PreTrainedModel, feature_extractor: SequenceFeatureExtractor
) -> None:
    """Write model.safetensors, config.json and preprocessor_config.json into `folder`, each whole or not."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        model.save_pretrained(temporary, max_shard_size="100GB")
        feature_extractor.save_pretrained(temporary)
        for file in Path(temporary).iterdir():
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
