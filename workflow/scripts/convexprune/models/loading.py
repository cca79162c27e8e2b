"""Load model folders with Transformers. It takes the weights that fit and reports the rest: here, an error.

Its report of the weights is checked, so it is not printed; nor are its progress bars.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexprune.jobs import files
from convexprune.jobs.messages import named
from convexprune.models.architectures import layout_of
from convexprune.setup import model_files

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, SequenceFeatureExtractor

log = logging.getLogger(__name__)

# Load from the folder alone, and run none of its code.
LOCAL = {"local_files_only": True, "trust_remote_code": False}
# Keys of a config.json that change what calls return, how they compute it or how the model is kept. They
# suited whoever saved it. Here all models are called alike, with Transformers' defaults for these keys.
CALLS = (
    *("output_hidden_states", "output_attentions", "tie_last_hidden_states"),
    *("return_dict", "use_return_dict", "torchscript"),
    *("attn_implementation", "_attn_implementation", "experts_implementation", "gradient_checkpointing"),
    *("dtype", "torch_dtype", "chunk_size_feed_forward", "distributed_config", "fusion_config"),
)
# Keys of a head: ignored if the head is not kept.
HEAD_KEYS = ("id2label", "label2id", "num_labels", "problem_type", "use_weighted_layer_sum")
# How names of weights begin: those of a classifier's head, and those of an encoder and what may follow it.
HEAD = ("projector.", "classifier.", "layer_weights")
ENCODER = (
    *("feature_extractor.conv", "feature_projection.", "encoder.", "layer_norm."),
    *("adapter.", "intermediate_ffn."),
)
# How the names of weights end that a file may lack or a model may have no place for: the mask vector, which
# only training uses and which starts at random, and values that are computed or are only counters.
IDLE = (
    *("masked_spec_embed", "embed_positions.inv_freq", "embed_positions.pe"),
    "batch_norm.num_batches_tracked",
)


class NoHeadError(ValueError):
    """A folder has all weights of an encoder, and none of a classifier's head."""


@contextmanager
def quietly() -> Iterator[None]:
    """Within the block Transformers draws no bars and reports nothing but errors."""
    from transformers.utils import logging as printed

    level, bars = printed.get_verbosity(), printed.is_progress_bar_enabled()
    printed.set_verbosity_error()
    printed.disable_progress_bar()
    try:
        yield
    finally:
        printed.set_verbosity(level)
        if bars:
            printed.enable_progress_bar()


@contextmanager
def naming(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turn Transformers' error about a folder that it cannot load into one line that names the folder."""
    try:
        yield
    except (MemoryError, files.DiskFullError):
        raise
    except Exception as error:  # of any type: a config.json or a file of weights may hold anything
        reason = " ".join(str(error).split())
        if not isinstance(error, ValueError | OSError | RuntimeError):
            reason = f"{type(error).__name__}: {reason}"
        if isinstance(error, pickle.UnpicklingError):  # Transformers' message advises to run it
            reason = "its .bin file is damaged or holds more than tensors, which is not run: get safetensors"
        raise ValueError(f"{folder} cannot be loaded as a speech model: {reason}") from error


def read_config(folder: str | os.PathLike[str], *, head: bool) -> PreTrainedConfig:
    """The config in a model folder, without CALLS and, unless its `head` is kept, without HEAD_KEYS.

    Raises ValueError for a config.json that cannot be used.
    """
    from transformers import CONFIG_MAPPING

    with naming(folder), quietly():
        stated = model_files.read_object(Path(folder) / "config.json")
        kind = stated.get("model_type")
        if kind not in CONFIG_MAPPING:
            raise ValueError(f"Transformers has no model type {kind}")
        left_out = CALLS if head else (*CALLS, *HEAD_KEYS)
        kept = {key: value for key, value in stated.items() if key not in left_out}
        # WavLM reads this key if feature masks are on, but has no default for it.
        return CONFIG_MAPPING[kind].from_dict({"mask_feature_min_masks": 0} | kept)


def load_model(
    folder: str | os.PathLike[str], auto: Any, config: PreTrainedConfig, *, head: bool = False
) -> PreTrainedModel:
    """The model of a folder, float32, of the class that `auto` (an AutoModel) has for `config`.

    If `head` is set, its head comes from the folder too; otherwise the head of that class, if any, is new.
    Raises ValueError if config and weights do not fit: weights are missing, have other shapes, or have no
    place in the config. Weights of other heads, of decoders and of quantizers are left out. Raises
    NoHeadError if only the head is missing.
    """
    with naming(folder), quietly():
        model, report = auto.from_pretrained(
            folder,
            config=config,
            dtype="float32",
            ignore_mismatched_sizes=True,  # check_weights reports them
            output_loading_info=True,
            **LOCAL,
        )
    check_weights(folder, model, report, head=head)
    vars(model.config).pop("transformers_weights", None)  # the file's name, which a saved copy will not keep
    return model


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Raise ValueError, in one line, if anything is wrong with the files of a model folder."""
    if problems := list(model_files.find_problems(Path(folder))):
        raise ValueError(f"{folder} cannot be loaded as a speech model: {'; '.join(problems)}")


def check_weights(
    folder: str | os.PathLike[str], model: PreTrainedModel, report: dict[str, Any], *, head: bool
) -> None:
    """Raise ValueError if Transformers' `report` on loading `model` lists weights that change its results."""
    new = () if head else HEAD
    missing = [key for key in report["missing_keys"] if not key.endswith(IDLE) and not key.startswith(new)]
    reshaped = [shapes for shapes in report["mismatched_keys"] if not shapes[0].startswith(new)]
    unexpected = [
        key
        for key in report["unexpected_keys"]
        if is_of_encoder(key, model) or (head and key.startswith(HEAD))
    ]
    heads = {key for key in model.state_dict() if key.startswith(HEAD)}
    problems = []
    if missing:
        other = next((key for key in report["unexpected_keys"] if key.endswith(f".{min(missing)}")), None)
        hint = f" (it has {other})" if other else ""
        problems.append(f"lacks the weights {named(sorted(missing), 3)}{hint}")
    if unexpected:
        problems.append(f"has weights that its config.json has no place for: {named(sorted(unexpected), 3)}")
    if reshaped:
        told = sorted(f"{key} {tuple(found)} in place of {tuple(wanted)}" for key, found, wanted in reshaped)
        problems.append(f"has weights of other shapes than its config.json asks for: {named(told, 3)}")
    if problems:
        headless = missing and not unexpected and not reshaped and set(missing) == heads
        raise (NoHeadError if headless else ValueError)(f"{folder} {'; it '.join(problems)}")


def is_of_encoder(key: str, model: PreTrainedModel) -> bool:
    """Whether weights that `model` has no place for belong to its encoder, by their name in the file."""
    name = key.removeprefix(f"{model.base_model_prefix}.")
    if name.endswith(IDLE):
        return False
    if layout_of(model.config).decoder:
        return name.startswith("encoder.")
    if name.startswith("adapter.") and model.base_model is not model:  # classifiers have no adapter
        return False
    return name != key or name.startswith(ENCODER)


def load_feature_extractor(folder: str | os.PathLike[str]) -> SequenceFeatureExtractor:
    """The feature extractor that prepares clips for the model in `folder`.

    If the folder of a model on waveforms does not define one (ccc-wav2vec2-base), it is Transformers'
    default: mean 0 and variance 1.
    """
    import transformers

    with naming(folder):
        kind = model_files.read_object(Path(folder) / "config.json").get("model_type")
        if model_files.read_preparation(Path(folder)) is None:
            told = "%s has no %s: clips are normalised, as Transformers does it"
            log.warning(told, folder, model_files.PREPARATION[0])
            return transformers.Wav2Vec2FeatureExtractor()
        usual = model_files.SPECTROGRAMS.get(str(kind), model_files.WAVEFORMS)
        extractor = getattr(transformers, usual["feature_extractor_type"])
        return extractor.from_pretrained(folder, local_files_only=True)
