"""Whisper's window: the seconds that its encoder computes for every clip, however short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convexprune.models import encoders
from convexprune.setup import model_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SequenceFeatureExtractor


def cut(
    model: PreTrainedModel, feature_extractor: SequenceFeatureExtractor, seconds: float, name: str
) -> tuple[SequenceFeatureExtractor, dict[str, Any]]:
    """Cut the window of a Whisper encoder, called `name`, to clips of `seconds`; other models stay.

    The encoder keeps the first rows of its table of positions; it is changed in place. Returns a feature
    extractor that pads to the new window, and a record: seconds of the window, and those before.

    Raises ValueError if the window is too short for the clips.
    """
    if model.config.model_type != "whisper":  # though its name on the hub may say so
        return feature_extractor, {}
    encoders.check_length(model, seconds, name)
    window = model_files.measure_window(seconds)
    given, kept = feature_extractor.chunk_length, model_files.POSITIONS * window
    [table] = encoders.find_parts(model).positions
    table.weight.data = table.weight.data[:kept].clone()
    table.num_embeddings = model.max_source_positions = model.config.max_source_positions = kept
    shorter = type(feature_extractor).from_dict(feature_extractor.to_dict() | {"chunk_length": window})
    return shorter, {"window": {"seconds": window, "given": given}}
