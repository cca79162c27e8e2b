"""Exported models: a plain Hugging Face folder with a model card and an ONNX file that was checked.

The ONNX graph takes the output of the folder's feature extractor (`input_values` or `input_features`) and
returns `logits`, for any number of clips of any length (some architectures take one length only).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexprune.data import corpus
from convexprune.jobs import files, provenance
from convexprune.models import cards, encoders, loading, pruning, runtimes, sources, timing
from convexprune.models.architectures import layout_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from transformers import PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of ONNX Runtime's logits against PyTorch's
MODEL_FILES = ("model.safetensors", "config.json", "preprocessor_config.json")
OPSET = 18


def write_onnx(
    path: str | os.PathLike[str],
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    seconds: float = 1,
) -> None:
    """Write a classifier as an ONNX file in float32, for any batch.

    It takes clips of any length if the architecture can, else of `seconds`.

    Uses torch's tracing exporter: it takes a second where the newer one takes ten, and it works for every
    architecture of the contract test.
    """
    import torch

    noise = np.random.default_rng(0).standard_normal((2, corpus.count_samples(seconds)), np.float32)
    [(name, values)] = encoders.prepare(feature_extractor, noise).items()
    open_axes = {0: "batch", 1: "time"} if layout_of(model.config).any_length else {0: "batch"}
    with files.atomic(path) as temporary, warnings.catch_warnings():
        # Tracing warns of values that it fixes though they depend on the length: `check_onnx` tests lengths.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (values,),
            temporary,
            dynamo=False,
            opset_version=OPSET,
            input_names=[name],
            output_names=["logits"],
            dynamic_axes={name: open_axes, "logits": {0: "batch"}},
        )


def check_onnx(
    session: InferenceSession,
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    seconds: float = 1,
) -> float:
    """The largest difference of logits between ONNX Runtime and PyTorch, for several batches and lengths.

    Clips are of `seconds` and, if the architecture takes any length, of another one. Raises ValueError if the
    difference is above TOLERANCE.
    """
    import torch

    differences = []
    samples = corpus.count_samples(seconds)
    cases = [(3, samples), (1, samples)]
    if layout_of(model.config).any_length:  # half of a short clip may be too short for a frame
        cases.append((1, samples // 2 if seconds >= 1 else 2 * samples))
    for clips, samples in cases:
        noise = np.random.default_rng(1).standard_normal((clips, samples), np.float32)
        [(name, values)] = encoders.prepare(feature_extractor, noise).items()
        with torch.inference_mode():
            expected = model(values).logits.numpy()
        [found] = session.run(["logits"], {name: values.numpy()})
        differences.append(float(np.abs(found - expected).max()))
    if not max(differences) <= TOLERANCE:
        raise ValueError(
            f"the ONNX file of this {type(model).__name__} gives logits that differ from PyTorch's by "
            f"{max(differences):.1e}, more than {TOLERANCE}: do not use it"
        )
    return max(differences)


# The test split of Speech Commands, in words.
TESTED = {
    "paper": "tested on its separate test archive",
    "standard": "tested on its standard test split, the files of testing_list.txt",
}


def read_data(dataset: str | os.PathLike[str], name: str, test: str) -> dict[str, Any]:
    """The data in words, for a model card: `name` is the config's corpus, `dataset` the task's table.

    `test` is the test split of Speech Commands: paper or standard.
    """
    known = {
        "speech_commands": ("Speech Commands v0.02", ["google/speech_commands"], "en"),
        "synthetic": ("Speech Commands words spoken by espeak-ng voices", None, "en"),
        "table": ("recordings of the user's own", None, None),
    }
    words, datasets, language = known[name]
    counts = corpus.read_dataset(dataset)["split"].value_counts()
    items = {split: int(counts.get(split, 0)) for split in corpus.SPLITS}
    tested = TESTED[test] if name == "speech_commands" else None
    return {"corpus": words, "tested": tested, "datasets": datasets, "language": language, "items": items}


class Described(NamedTuple):
    """Files that a model card tells of.

    Attributes:
        base: provenance.json of the encoder.
        dataset: the table that the classifier was trained on.
        timing: the times of the full and the pruned model; empty if nothing was pruned.
    """

    base: str
    dataset: str
    timing: str


def export(
    output: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    described: Described,
    *,
    passes: timing.Passes,
    threads: int,
    corpus: str,
    test: str = "paper",
) -> None:
    """Write the fine-tuned model in `folder` to the folder `output`, with ONNX file, model card and metrics.

    `passes` are timed with `threads`. `corpus` is the kind of corpus in the config, `test` its test split
    (`read_data`). The metrics.json is that of the fine-tuned model with `onnx` added: max_difference of the
    logits, latency and torch_latency (seconds on the CPU).

    Raises ValueError if ONNX Runtime and PyTorch differ by more than TOLERANCE.
    """
    import torch

    output, folder = Path(output), Path(folder)
    torch.set_num_threads(threads)
    model = encoders.load_classifier(folder)
    feature_extractor = loading.load_feature_extractor(folder)
    onnx = output / "model.onnx"
    write_onnx(onnx, model, feature_extractor, passes.seconds)
    session = runtimes.open_onnx(onnx, threads)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metrics["onnx"] = {
        "max_difference": check_onnx(session, model, feature_extractor, passes.seconds),
        **runtimes.compare_runtimes(folder, onnx, passes, threads=threads),
        "threads": threads,
        "versions": provenance.versions("torch", "transformers", "onnx", "onnxruntime"),
    }
    log.info("%s: %s", output, metrics["onnx"])
    for name in MODEL_FILES:
        with files.atomic(output / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    origin = json.loads(Path(described.base).read_text(encoding="utf-8"))
    if origin["source"] != "hub":  # its id means nothing to others
        origin["id"] = metrics["model"]
    data = read_data(described.dataset, corpus, test)
    times = described.timing
    timed = json.loads(Path(times).read_text(encoding="utf-8")) if times else None
    card = cards.describe_finetuned(model, feature_extractor, metrics, origin, data, timed, passes.seconds)
    with files.atomic(output / "README.md") as temporary:
        temporary.write_text(card, encoding="utf-8")
    files.write_json(output / "metrics.json", metrics)


def find_model(
    output: Path, source: str, revision: str
) -> AbstractContextManager[tuple[Path, dict[str, Any]]]:
    """The folder of the model `source`, and its origin: id, revision and licence.

    `source` is a folder or an id of the Hugging Face hub. Raises ValueError if it is neither, and if the
    folder `output`, which is to be written, exists.
    """
    if output.exists():
        raise ValueError(f"{output} is already there: give a new folder")
    if Path(source).is_dir():
        return nullcontext((Path(source), read_origin(Path(source))))
    if sources.is_hub_id(source):
        return sources.downloaded(source, revision, output.with_name(f".{output.name}.download"))
    raise ValueError(f"{source} is neither a folder nor an id of the Hugging Face hub")


def export_pruned(
    output: str | os.PathLike[str], source: str, layers: int, revision: str = "main"
) -> PreTrainedModel:
    """Prune the model `source`, a folder or an id of the Hugging Face hub; write the new folder `output`.

    A classifier keeps its head and labels; other heads (CTC, pretraining) and Whisper's decoder are left
    out. README.md is its model card. Returns the pruned model.

    Raises ValueError if `output` exists, if `source` is no model that can be pruned, and if that does not
    have `layers` layers.
    """
    output = Path(output)
    with find_model(output, source, revision) as (folder, origin):
        encoder, feature_extractor = encoders.load_encoder(folder)
        architectures = encoder.config.architectures or [""]
        classifies = architectures[0].endswith(("ForSequenceClassification", "ForAudioClassification"))
        full = encoder
        if classifies:
            with suppress(loading.NoHeadError):  # an encoder that was taken out of a classifier
                full = encoders.load_classifier(folder)
    pruned = pruning.prune(full, layers)
    card = cards.describe_pruned(pruned, origin, layers, encoders.count_layers(full))
    with files.atomic_folder(output) as temporary:
        encoders.save_folder(temporary, pruned, feature_extractor)
        (temporary / "README.md").write_text(card, encoding="utf-8")
    return pruned


def read_origin(folder: Path) -> dict[str, Any]:
    """id, revision and licence of a model folder: as this project recorded them, else from name and card."""
    origin = {
        "id": folder.resolve().name,
        "revision": None,
        "licence": sources.read_licence(folder),
    }
    for record in (folder / "provenance.json", folder / "metrics.json"):
        if record.exists():
            known = json.loads(record.read_text(encoding="utf-8"))
            origin |= {key: value for key, value in known.get("base", known).items() if key in origin}
    return origin
