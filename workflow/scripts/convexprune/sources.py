"""Where encoders come from that are not pretrained here: a local folder, or the Hugging Face hub."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from convexprune.encoders import check_layers, load_encoder, save_encoder


def import_encoder(folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Copy the local model folder `settings["path"]` of `settings["layers"]` layers to an encoder folder."""
    path = Path(settings["path"])
    if not path.is_dir():
        raise ValueError(f"model path {path} is not a folder; it should hold config.json and the weights")
    model, feature_extractor = load_encoder(path)
    check_layers(model, settings["layers"], str(path))
    save_encoder(
        folder,
        model,
        feature_extractor,
        {"source": "path", "id": path.name, "revision": None, "licence": None, "settings": settings},
    )


def download_encoder(folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Download `settings["id"]` at `settings["revision"]` from the Hugging Face hub to an encoder folder.

    Fetches the two configuration files and one file of weights, nothing else. Raises ValueError that
    names the model where the hub cannot be reached or does not have it.
    """
    from huggingface_hub import HfApi, snapshot_download

    model_id, revision = settings["id"], settings["revision"]
    with tempfile.TemporaryDirectory() as temporary:
        try:
            info = HfApi().model_info(model_id, revision=revision)
            names = {file.rfilename for file in info.siblings}
            weights = "model.safetensors" if "model.safetensors" in names else "pytorch_model.bin"
            snapshot_download(
                model_id,
                revision=info.sha,
                allow_patterns=["config.json", "preprocessor_config.json", weights],
                local_dir=temporary,
            )
        except Exception as error:  # the client passes on its HTTP library's errors, of many types
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"cannot download {model_id} at revision {revision}: {reason}. Without access to the hub, "
                "fetch its folder elsewhere and give it in the config as source: path with path: <folder>"
            ) from error
        model, feature_extractor = load_encoder(temporary)
    check_layers(model, settings["layers"], model_id)
    licence = info.card_data.get("license") if info.card_data else None
    save_encoder(
        folder,
        model,
        feature_extractor,
        {"source": "hub", "id": model_id, "revision": info.sha, "licence": licence, "settings": settings},
    )
