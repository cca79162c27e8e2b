"""What a user takes away: a plain Hugging Face folder with a model card and an ONNX file that was checked.

The ONNX graph takes what the folder's feature extractor gives (`input_values` or `input_features`) and
returns `logits`, for any number of clips of any length (but FIXED_LENGTH).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexprune import cards, corpus, devices, encoders, provenance, pruning, sources, timing

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from transformers import PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of ONNX Runtime's logits against PyTorch's
MODEL_FILES = ("model.safetensors", "config.json", "preprocessor_config.json")
OPSET = 18
# One second alone: Whisper pads to a length of its own, and SEW's code depends on the number of frames.
FIXED_LENGTH = ("whisper", "sew", "sew-d")


def write_onnx(
    path: str | os.PathLike[str], model: PreTrainedModel, feature_extractor: SequenceFeatureExtractor
) -> None:
    """Write a classifier as an ONNX file, in float32, its batch and (but for FIXED_LENGTH) its length open.

    It is torch's exporter by tracing, which takes a second where the newer one takes ten, and serves every
    architecture of the contract test.
    """
    import torch

    noise = np.random.default_rng(0).standard_normal((2, corpus.CLIP_SAMPLES), np.float32)
    [(name, values)] = encoders.prepare(feature_extractor, noise).items()
    open_axes = {0: "batch"} if model.config.model_type in FIXED_LENGTH else {0: "batch", 1: "time"}
    with provenance.atomic(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of tracing: that what depends on the length is fixed is checked below
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


def open_onnx(path: str | os.PathLike[str], threads: int) -> InferenceSession:
    """The ONNX file in a session of ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_onnx(
    session: InferenceSession, model: PreTrainedModel, feature_extractor: SequenceFeatureExtractor
) -> float:
    """The largest difference of logits between ONNX Runtime and PyTorch, for several batches and lengths.

    Raises ValueError if it is above TOLERANCE.
    """
    import torch

    differences = []
    cases = [(3, corpus.CLIP_SAMPLES), (1, corpus.CLIP_SAMPLES)]
    if model.config.model_type not in FIXED_LENGTH:
        cases.append((1, corpus.CLIP_SAMPLES // 2))
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


def time_onnx(
    session: InferenceSession,
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    runs: int,
    warmup: int,
) -> dict[str, Any]:
    """Seconds of a forward pass on 1 s of random audio on the CPU, by ONNX Runtime and PyTorch in turn."""
    import torch

    noise = np.random.default_rng(0).standard_normal((1, corpus.CLIP_SAMPLES), np.float32)
    [(name, values)] = encoders.prepare(feature_extractor, noise).items()
    inputs = {name: values.numpy()}
    started = timing.read_clocks()
    with torch.inference_mode():
        by_torch, by_onnx = timing.alternate(
            lambda: model(values),
            lambda: session.run(["logits"], inputs),
            runs=runs,
            warmup=warmup,
            synchronise=lambda: None,
        )
    others = timing.measure_others(started, timing.read_clocks())
    return {
        "latency": timing.summarise(by_onnx),
        "torch_latency": timing.summarise(by_torch),
        "runs": runs,
        "machine": devices.name_machine(),
        "other_load": others,
        "disturbed": None if others is None else others > timing.DISTURBED,
    }


def read_data(dataset: str | os.PathLike[str], name: str) -> dict[str, Any]:
    """What a model card says of the data: `name` is the config's corpus, `dataset` the task's table."""
    known = {
        "speech_commands": ("Speech Commands v0.02", ["google/speech_commands"], "en"),
        "synthetic": ("Speech Commands words spoken by espeak-ng voices", None, "en"),
        "table": ("recordings of the user's own", None, None),
    }
    words, datasets, language = known[name]
    counts = corpus.read_dataset(dataset)["split"].value_counts()
    items = {split: int(counts.get(split, 0)) for split in corpus.SPLITS}
    return {"corpus": words, "datasets": datasets, "language": language, "items": items}


def export(
    output: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    base: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    settings: dict[str, Any],
) -> None:
    """Write the fine-tuned model in `folder` to the folder `output`, with ONNX file, model card and metrics.

    `base` is the provenance.json of its encoder, `dataset` the table it was trained on. `settings`: corpus
    (which of the config's), runs and warmup of the timing, threads. metrics.json is the fine-tuned model's
    with `onnx` added: max_difference of the logits, latency and torch_latency (seconds on the CPU).

    Raises ValueError if ONNX Runtime and PyTorch do not agree to TOLERANCE.
    """
    import torch
    from transformers import AutoFeatureExtractor

    output, folder = Path(output), Path(folder)
    torch.set_num_threads(settings["threads"])
    model = encoders.load_classifier(folder)
    feature_extractor = AutoFeatureExtractor.from_pretrained(folder, **encoders.LOCAL)
    write_onnx(output / "model.onnx", model, feature_extractor)
    session = open_onnx(output / "model.onnx", settings["threads"])
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["onnx"] = {
        "max_difference": check_onnx(session, model, feature_extractor),
        **time_onnx(session, model, feature_extractor, settings["runs"], settings["warmup"]),
        "threads": settings["threads"],
        "versions": provenance.versions("torch", "transformers", "onnx", "onnxruntime"),
    }
    log.info("%s: %s", output, metrics["onnx"])
    for name in MODEL_FILES:
        with provenance.atomic(output / name) as temporary:
            shutil.copyfile(folder / name, temporary)
    origin = json.loads(Path(base).read_text())
    if origin["source"] != "hub":  # nobody else knows its id
        origin["id"] = metrics["model"]
    data = read_data(dataset, settings["corpus"])
    card = cards.describe_finetuned(model, metrics, origin, data)
    with provenance.atomic(output / "README.md") as temporary:
        temporary.write_text(card)
    provenance.write_json(output / "metrics.json", metrics)


def export_pruned(
    output: str | os.PathLike[str], source: str, layers: int, revision: str = "main"
) -> PreTrainedModel:
    """Prune the model `source`, a folder or an id of the Hugging Face hub; write the new folder `output`.

    A classifier keeps its head and labels; other heads (CTC, pretraining) and Whisper's decoder are left
    out. README.md is its model card. Returns the pruned model.

    Raises ValueError if `output` is there, if `source` is no model that can be pruned, and for a number of
    layers it does not have.
    """
    output = Path(output)
    if output.exists():
        raise ValueError(f"{output} is already there: give a new folder")
    given: AbstractContextManager[tuple[Path, dict[str, Any]]]
    if Path(source).is_dir():
        given = nullcontext((Path(source), read_origin(Path(source))))
    elif re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        given = sources.downloaded(source, revision, output.with_name(f".{output.name}.download"))
    else:
        raise ValueError(f"{source} is neither a folder nor an id of the Hugging Face hub")
    with given as (folder, origin):
        encoder, feature_extractor = encoders.load_encoder(folder)
        architectures = encoder.config.architectures or [""]
        classifies = architectures[0].endswith(("ForSequenceClassification", "ForAudioClassification"))
        full = encoders.load_classifier(folder) if classifies else encoder
    pruned = pruning.prune(full, layers)
    card = cards.describe_pruned(pruned, origin, layers, encoders.count_layers(full))
    with provenance.atomic_folder(output) as temporary:
        encoders.save_folder(temporary, pruned, feature_extractor)
        (temporary / "README.md").write_text(card)
    return pruned


def read_origin(folder: Path) -> dict[str, Any]:
    """id, revision and licence of a model folder: what this project recorded there, else name and card."""
    origin = {
        "id": folder.resolve().name,
        "revision": None,
        "licence": sources.read_licence(folder),
    }
    for record in (folder / "provenance.json", folder / "metrics.json"):
        if record.exists():
            known = json.loads(record.read_text())
            origin |= {key: value for key, value in known.get("base", known).items() if key in origin}
    return origin
