"""Where encoders come from that are not pretrained here: a local folder, or the Hugging Face hub."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convexprune import provenance
from convexprune.encoders import PREPARATION, check_layers, load_encoder, save_encoder, states_preparation
from convexprune.progress import Progress


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
        {
            "source": "path",
            "id": path.name,
            "revision": None,
            "licence": read_licence(path),
            "feature_extractor": name_preparation(path),
            "settings": settings,
        },
    )


def name_preparation(folder: Path) -> str:
    """Who says how clips are prepared for the model in `folder`: itself, or Transformers by default."""
    return "checkpoint" if states_preparation(folder) else "default"


def read_licence(folder: Path) -> str | None:
    """The licence in a model folder's card, README.md, or None: what is fetched from the hub has one."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    card = folder / "README.md"
    try:
        return ModelCard.load(card, ignore_metadata_errors=True).data.license if card.exists() else None
    except (ValueError, YAMLError):  # no card, then
        return None


@contextmanager
def downloaded(model_id: str, revision: str, store: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder with a model of the Hugging Face hub, and its origin: source, id, revision, licence.

    Fetches the configuration files and the weights, in safetensors where there are any, nothing else. The
    folder is in `store`, which is deleted after use; what a download that failed or was killed left there is
    gone on with, if it is of the same commit. Raises ValueError in one line that names the model where the
    hub cannot be reached or does not have it.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(model_id, revision=revision)
        commit = info.sha or revision
        weights = choose_weights({file.rfilename for file in info.siblings or []})
        with provenance.naming_full_disk(store):
            snapshot_download(
                model_id,
                revision=commit,
                allow_patterns=["config.json", *PREPARATION, *weights],
                local_dir=store / commit,
                tqdm_class=Progress,
            )
    except provenance.DiskFullError:
        raise
    except Exception as error:  # the client passes on its HTTP library's errors, of many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"cannot download model {model_id} at revision {revision}: {reason}. Without access to the "
            f"hub, fetch it elsewhere (hf download {model_id} --revision {revision} --local-dir FOLDER) and "
            "give that folder (in the config, source: path and path: FOLDER)"
        ) from error
    licence = info.card_data.get("license") if info.card_data else None
    try:
        yield store / commit, {"source": "hub", "id": model_id, "revision": commit, "licence": licence}
    except ValueError as error:
        raise ValueError(f"{error}; what came is kept in {store}: delete it to fetch it again") from error
    shutil.rmtree(store)


def choose_weights(names: set[str]) -> list[str]:
    """Patterns of the files of weights among `names`, a repository's: one format, safetensors if there."""
    for weights in ("model.safetensors", "pytorch_model.bin"):
        stem, _, suffix = weights.partition(".")
        if weights in names:
            return [weights]
        if f"{weights}.index.json" in names:
            return [f"{weights}.index.json", f"{stem}-*.{suffix}"]
    raise ValueError("it has neither model.safetensors nor pytorch_model.bin")


def download_encoder(folder: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Download `settings["id"]` at `settings["revision"]` from the Hugging Face hub to an encoder folder.

    The commit that came is recorded in provenance.json, and in `.{name}.commit.json` beside the folder, which
    outlives it: the same id and revision, a branch perhaps, later means the same commit. Raises ValueError
    where there is no such model of `settings["layers"]` layers, or no hub.
    """
    folder = Path(folder)
    asked = {key: settings[key] for key in ("id", "revision")}
    record = folder.with_name(f".{folder.name}.commit.json")
    known = json.loads(record.read_text()) if record.exists() else {}
    commit = known["commit"] if known.items() >= asked.items() else asked["revision"]
    with downloaded(asked["id"], commit, folder.with_name(f".{folder.name}.download")) as (fetched, origin):
        model, feature_extractor = load_encoder(fetched)
        check_layers(model, settings["layers"], settings["id"])
        origin |= {"feature_extractor": name_preparation(fetched), "settings": settings}
        save_encoder(folder, model, feature_extractor, origin)
        provenance.write_json(record, asked | {"commit": origin["revision"]})
