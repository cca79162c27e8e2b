"""The sources of encoders that are not pretrained here: a local folder, or the Hugging Face hub."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexprune.jobs import files, messages, web
from convexprune.jobs.progress import Progress
from convexprune.models import windows
from convexprune.models.encoders import check_layers, load_encoder, save_encoder
from convexprune.setup import model_files

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

ATTEMPTS = 4  # to reach the hub, some seconds apart: a run without a network must fail soon

log = logging.getLogger(__name__)


def import_encoder(
    folder: str | os.PathLike[str], *, path: str, layers: int, seconds: float | None = None
) -> None:
    """Copy the local model folder `path`, a model of `layers` layers, to an encoder folder.

    Whisper's window is cut to clips of `seconds`, if given.
    """
    given = Path(path)
    if not given.is_dir():
        raise ValueError(f"model path {given} is not a folder; it should hold config.json and the weights")
    model, feature_extractor = load_encoder(given)
    check_layers(model, layers, str(given))
    origin = {
        "source": "path",
        "id": given.name,
        "revision": None,
        "licence": read_licence(given),
        "feature_extractor": name_preparation(given),
        "settings": {"layers": layers, "path": path},
    }
    if seconds is not None:
        feature_extractor, cut = windows.cut(model, feature_extractor, seconds, str(given))
        origin |= cut
    save_encoder(folder, model, feature_extractor, origin)


def name_preparation(folder: Path) -> str:
    """What defines how a model's clips are prepared: its `folder` (checkpoint), or Transformers (default)."""
    return "default" if model_files.read_preparation(folder) is None else "checkpoint"


def read_licence(folder: Path) -> str | None:
    """The licence in a model folder's card (README.md, which a hub repository usually has), or None."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    card = folder / "README.md"
    try:
        return ModelCard.load(card, ignore_metadata_errors=True).data.license if card.exists() else None
    except (ValueError, YAMLError):  # no usable card
        return None


def is_hub_id(name: str) -> bool:
    """Whether the hub could have a model of this name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


@contextmanager
def downloaded(model_id: str, revision: str, store: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder with a model of the Hugging Face hub, and its origin: source, id, revision, licence.

    Fetches only the configuration files and the weights, in safetensors if there are any. The folder is in
    `store`, which is deleted after use. A download that failed or was killed is resumed from `store`, if it
    is of the same commit. Raises ValueError, in one line that names the model, if the hub cannot be reached
    or does not have it.
    """
    try:
        info, commit = fetch_snapshot(model_id, revision, store)
    except files.DiskFullError:
        raise
    except Exception as error:  # the client has errors of many types
        raise ValueError(
            f"cannot download model {model_id} at revision {revision}: {messages.reason(error)}. "
            f"Without access to the hub, fetch it elsewhere (hf download {model_id} --revision {revision} "
            "--local-dir FOLDER) and give that folder (in the config, source: path and path: FOLDER)"
        ) from error
    licence = info.card_data.get("license") if info.card_data else None
    try:
        yield store / commit, {"source": "hub", "id": model_id, "revision": commit, "licence": licence}
    except ValueError as error:
        raise ValueError(f"{error}; what came is kept in {store}: delete it to fetch it again") from error
    shutil.rmtree(store)


def fetch_snapshot(model_id: str, revision: str, store: Path) -> tuple[ModelInfo, str]:
    """Download a model to the folder of its commit in `store`; return the hub's record of it and the commit.

    Failures that may pass are retried.
    """
    import tenacity
    from huggingface_hub import HfApi, snapshot_download

    def tell(state: tenacity.RetryCallState) -> None:
        log.warning("%s: %s; again in %.0f s", model_id, web.failure(state), state.upcoming_sleep)

    for attempt in web.attempts(1, 60, tenacity.stop_after_attempt(ATTEMPTS), tell):
        with attempt, web.sorted_failures(), files.naming_full_disk(store):
            info = HfApi().model_info(model_id, revision=revision)
            commit = info.sha or revision
            weights = choose_weights({file.rfilename for file in info.siblings or []})
            snapshot_download(
                model_id,
                revision=commit,
                allow_patterns=["config.json", model_files.ADAPTER, *model_files.PREPARATION, *weights],
                local_dir=store / commit,
                tqdm_class=Progress,
            )
    return info, commit


def choose_weights(names: set[str]) -> list[str]:
    """Patterns of the weight files among `names`, a repository's files: one format, safetensors if any."""
    for weights in model_files.WEIGHTS:
        stem, _, suffix = weights.partition(".")
        if weights in names:
            return [weights]
        if f"{weights}.index.json" in names:
            return [f"{weights}.index.json", f"{stem}-*.{suffix}"]
    raise ValueError(f"it has neither {' nor '.join(model_files.WEIGHTS)}")


def download_encoder(
    folder: str | os.PathLike[str],
    *,
    model_id: str,
    revision: str,
    layers: int,
    seconds: float | None = None,
) -> None:
    """Download a model of `layers` layers from the Hugging Face hub, at a revision, to an encoder folder.

    Whisper's window is cut to clips of `seconds`, if given.

    The downloaded commit is recorded in provenance.json, and in `.{name}.commit.json` beside the folder. The
    latter outlives the folder, so that the same id and revision (a branch, perhaps) later mean the same
    commit. Raises ValueError if the hub has no such model with so many layers, or cannot be reached.
    """
    folder = Path(folder)
    asked = {"id": model_id, "revision": revision}
    record = folder.with_name(f".{folder.name}.commit.json")
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    commit = known["commit"] if known.items() >= asked.items() else revision
    with downloaded(model_id, commit, folder.with_name(f".{folder.name}.download")) as (fetched, origin):
        model, feature_extractor = load_encoder(fetched)
        check_layers(model, layers, model_id)
        settings = {"id": model_id, "layers": layers, "revision": revision}
        origin |= {"feature_extractor": name_preparation(fetched), "settings": settings}
        if seconds is not None:
            feature_extractor, cut = windows.cut(model, feature_extractor, seconds, model_id)
            origin |= cut
        save_encoder(folder, model, feature_extractor, origin)
        files.write_json(record, asked | {"commit": origin["revision"]})
