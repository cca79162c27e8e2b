"""Checks of model folders on the disk, before a model is loaded and without torch.

A folder holds config.json, the weights (safetensors or .bin, in one file or in shards with an index), and the
settings that prepare clips for the model: preprocessor_config.json, or a part of processor_config.json.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # Transformers takes the first that is there
PREPARATION = ("preprocessor_config.json", "processor_config.json")
ADAPTER = "adapter_config.json"  # from PEFT: it adds weights beside the model's own, which are not loaded
POSITIONS = 50  # that Whisper has a second
FILTER_BANK = ([400, 2], [160, 2])  # w2v-BERT's windows, and how many make a frame: lengths, steps
CONVOLUTIONS = (
    (40, 8, 4),
    (20, 4, 4),
)  # of models pretrained here: kernels, strides. 49 frames a second, as the paper's
POINTER = b"version https://git-lfs.github.com/spec/"

# The preparation of clips for each type of model. These are the values that Transformers takes if a file does
# not give them, and the values that this project relies on: it locates frames by their position in 16 kHz
# audio, and dither would add random noise.
WAVEFORMS: dict[str, Any] = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "sampling_rate": 16000,
    "feature_size": 1,
}
SPECTROGRAMS: dict[str, dict[str, Any]] = {
    "whisper": {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "sampling_rate": 16000,
        "feature_size": 80,
        "chunk_length": 30,
        "hop_length": 160,
        "padding_side": "right",
        "dither": 0.0,
    },
    "wav2vec2-bert": {
        "feature_extractor_type": "SeamlessM4TFeatureExtractor",
        "sampling_rate": 16000,
        "num_mel_bins": 80,
        "stride": 2,
        "padding_side": "right",
    },
}


def find_model_files(folder: Path) -> list[Path]:
    """The files of `folder` that an import of its model reads, the weights last.

    Raises ValueError as `find_weights` does, and for a config.json that cannot be read.
    """
    beside = [
        folder / name for name in ("config.json", *PREPARATION, "README.md")
    ]  # README.md is the model card, which has the licence
    weights = find_weights(folder, read_object(folder / "config.json"))
    return [*(path for path in beside if os.path.isfile(path)), *weights]


def find_weights(folder: Path, config: Mapping[str, Any]) -> list[Path]:
    """The weights in a model folder that Transformers would load: a file, or an index and its shards.

    `config` is the content of its config.json. Returns [] if there are no weights. Raises ValueError for an
    index that cannot be read or names missing shards.
    """
    names = [f"{name}{suffix}" for name in WEIGHTS for suffix in ("", ".index.json")]
    if stated := config.get("transformers_weights"):
        names = [str(stated)]
    weights = next((folder / name for name in names if os.path.isfile(folder / name)), None)
    if weights is None or weights.suffix != ".json":
        return [weights] if weights else []
    places = read_object(weights).get("weight_map")
    shards = places.values() if isinstance(places, dict) else []
    if not shards or not all(isinstance(name, str) for name in shards):
        raise ValueError(f"its {weights.name} has no weight_map that names files")
    found = [folder / name for name in sorted(set(shards))]
    if missing := [path.name for path in found if not os.path.isfile(path)]:
        raise ValueError(f"has no {', no '.join(missing)}, as its {weights.name} says")
    return [weights, *found]


def read_preparation(folder: Path) -> dict[str, Any] | None:
    """The settings that prepare clips for the model in `folder`; None if it has none.

    Transformers 5 saves them within processor_config.json, which older versions use for a tokenizer alone.
    Raises ValueError for a file that cannot be read.
    """
    alone, within = (folder / name for name in PREPARATION)
    processor = read_object(within) if os.path.isfile(within) else {}
    for key in ("feature_extractor", "audio_processor"):
        if isinstance(processor.get(key), dict):
            return processor[key]
    return read_object(alone) if os.path.isfile(alone) else None


def read_object(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file of a model folder. Raises ValueError, in one line, if it holds none."""
    try:
        content = path.read_bytes()
        if content.startswith(POINTER):
            raise ValueError(explain_pointer(path))
        found = json.loads(content.decode("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"its {path.name} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"its {path.name} is no mapping of keys to values")
    return found


def read_layers(folder: Path) -> int | None:
    """The number of transformer layers of a model, by its config.json; None if it does not say."""
    stated = read_object(folder / "config.json")
    return stated.get("num_hidden_layers", stated.get("encoder_layers"))  # the second of Whisper


def read_width(folder: Path) -> int:
    """The dimension of a model's representations, from its config.json."""
    stated = read_object(folder / "config.json")
    width = stated.get("hidden_size", stated.get("d_model"))  # Whisper has d_model
    return width if isinstance(width, int) else 768


def is_whisper(model: Mapping[str, Any]) -> bool:
    """Whether a model of the config is Whisper: by its config.json, or by its id on the hub."""
    if model["source"] == "path":
        return read_object(Path(model["path"], "config.json")).get("model_type") == "whisper"
    return "whisper" in model.get("id", "").lower()


def measure_window(seconds: float) -> int:
    """Seconds that Whisper computes for a clip of `seconds`: its feature extractor takes whole ones only."""
    return math.ceil(seconds)


def explain_pointer(path: Path) -> str:
    return f"its {path.name} is a pointer of Git LFS, not the file itself; fetch that (git lfs pull)"


def find_problems(folder: Path) -> Iterator[str]:
    """Why the model in `folder` cannot be used, as far as this shows without loading it: one line each."""
    configured = os.path.isfile(folder / "config.json")
    try:
        config = read_object(folder / "config.json") if configured else {}
        weights = find_weights(folder, config)
        named = config.get("transformers_weights") or " or ".join(WEIGHTS)
        there = {"config.json": configured, named: bool(weights)}
        if missing := [name for name, found in there.items() if not found]:
            yield f"has no {', no '.join(missing)}; required: a Hugging Face folder"
            return
        preparation = read_preparation(folder)
    except ValueError as error:
        yield str(error)
        return
    if os.path.isfile(folder / ADAPTER):
        yield f"has {ADAPTER}, of weights that PEFT keeps apart; merge them into the model's"
    yield from find_config_problems(config)
    yield from find_preparation_problems(config, preparation)
    for file in weights:
        if file.suffix != ".json" and (problem := find_file_problem(file)):
            yield problem


def find_config_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Settings of a config.json that no model of this project may have."""
    if not isinstance(config.get("model_type"), str):
        yield "its config.json has no model_type; required: that of a speech encoder, such as wav2vec2"
    if quantization := config.get("quantization_config"):
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        told = f" ({method})" if method else ""
        yield f"its config.json has quantization_config{told}: take the model as it was before quantization"


def find_preparation_problems(
    config: Mapping[str, Any], preparation: Mapping[str, Any] | None
) -> Iterator[str]:
    """Differences of the stated preparation (None: not stated) from what the model needs: one line a key."""
    kind = config.get("model_type")
    usual = SPECTROGRAMS.get(str(kind), WAVEFORMS)
    if preparation is None:
        if kind in SPECTROGRAMS:
            yield f"has no {PREPARATION[0]}; required by {kind}"
        return
    stated, required = usual | dict(preparation), usual | asked_by_config(config)
    differing = [key for key in required if stated[key] != required[key]]
    if "feature_extractor_type" in differing:  # its other keys mean other things
        differing = ["feature_extractor_type"]
    for key in differing:
        found, wanted = json.dumps(stated[key]), json.dumps(required[key])
        yield f"its feature extractor has {key}: {found}; required here of {kind}: {wanted}"


def asked_by_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The shape of a spectrogram that a model's config.json requires of its feature extractor."""
    kind = config.get("model_type")
    if kind == "whisper":
        sizes = {
            "feature_size": ("num_mel_bins", 80, 1),
            "chunk_length": ("max_source_positions", 1500, POSITIONS),
        }
    elif kind == "wav2vec2-bert":  # two windows side by side
        sizes = {"num_mel_bins": ("feature_projection_input_dim", 160, 2)}
    else:
        return {}
    stated = {key: (config.get(name, usual), parts) for key, (name, usual, parts) in sizes.items()}
    return {key: size // parts for key, (size, parts) in stated.items() if isinstance(size, int)}


def find_file_problem(path: Path) -> str | None:
    """Why a file of weights cannot be whole, judged by its header and size; None if it may be."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                return explain_pointer(path)
            file.seek(0)
            whole = measure_safetensors(file) == size if path.suffix == ".safetensors" else is_torch(file)
    except OSError as error:
        return f"its {path.name} cannot be read ({error})"
    if whole:
        return None
    return f"its {path.name} is {'damaged or cut off' if size else 'empty'}; fetch it again"


def measure_safetensors(file: BinaryIO) -> int | None:
    """The size in bytes of a safetensors file according to its header; None if it has no valid header."""
    length = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(min(length, 100_000_000)))  # the most that the format allows
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def is_torch(file: BinaryIO) -> bool:
    """Whether a file is a torch archive with its end, or starts like a pickle of old versions."""
    start = file.read(2)
    return zipfile.is_zipfile(file) if start == b"PK" else start[:1] == b"\x80"


def count_frames(kernels: Sequence[int], strides: Sequence[int], seconds: float = 1) -> int:
    """The number of frames that convolutions on the waveform make from `seconds`."""
    samples = round(seconds * WAVEFORMS["sampling_rate"])
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = max(0, (samples - kernel) // stride + 1)
    return samples


def find_clip_problems(config: Mapping[str, Any], seconds: float) -> Iterator[str]:
    """Why a model cannot take clips of `seconds`, as far as its `config` tells: one line."""
    if config.get("model_type") == "whisper":
        positions, needed = config.get("max_source_positions", 1500), POSITIONS * measure_window(seconds)
        if positions < needed:
            yield f"max_source_positions {positions}, of which these clips need {needed}"
    elif "conv_kernel" in config and "conv_stride" in config:
        pooled = config.get("squeeze_factor", 1)  # of SEW
        kernels, strides = [*config["conv_kernel"], pooled], [*config["conv_stride"], pooled]
        if count_frames(kernels, strides, seconds) < 1:
            yield "convolutions that make no frame of such clips"
    elif config.get("model_type") == "wav2vec2-bert" and count_frames(*FILTER_BANK, seconds) < 1:
        yield "a filter bank that makes no frame of such clips"


def find_mask_problems(config: Mapping[str, Any], seconds: float = 1) -> Iterator[str]:
    """Why SpecAugment cannot mask clips of `seconds` as a model's `config` asks in training: one line each.

    Missing keys have the defaults of Transformers.
    """
    kind = config.get("model_type")
    if kind == "wav2vec2-bert":
        frames = count_frames(*FILTER_BANK, seconds)
    elif "conv_kernel" in config and "conv_stride" in config:
        frames = count_frames(config["conv_kernel"], config["conv_stride"], seconds)
    else:  # Whisper's classifier masks nothing
        return
    if frames < 1:  # `find_clip_problems` says so
        return
    axes = {
        "time": (0.05, frames, "frames of a clip"),
        "feature": (0.0, config.get("hidden_size", 768), "hidden_size"),
    }
    for axis, (usual, size, name) in axes.items():
        length = config.get(f"mask_{axis}_length", 10)
        if config.get(f"mask_{axis}_prob", usual) > 0 and not 0 < length <= size:
            yield f"mask_{axis}_length {length}; must be 1 to {size} ({name})"
