"""Pruning: keep the first transformer layers of an encoder and drop the rest (the paper's method)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from convexprune.encoders import base_encoder, count_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prune(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """A copy of `model` that keeps its first `layers` transformer layers, 0 to all of them.

    `model` is a bare encoder or one with a classification head. What comes before the layers (feature
    encoder, projection, positional embedding) and after them (the final norm of stable-layer-norm
    models, the head) is kept, and so is WavLM's table of relative positions, which is part of its first
    layer. A post-norm model's last hidden state becomes exactly the full model's hidden_states[layers].

    Raises ValueError for a number of layers that the model does not have and for unsupported models.
    """
    full = count_layers(model)
    if not 0 <= layers <= full:
        raise ValueError(f"cannot keep {layers} layers of a {type(model).__name__} that has {full}")
    if getattr(model.config, "use_weighted_layer_sum", False):
        raise ValueError(
            f"this {type(model).__name__} has a head that weighs all {full} layers (use_weighted_layer_sum), "
            "which cannot lose some; give a model without it"
        )
    pruned = copy.deepcopy(model)
    encoder = base_encoder(pruned).encoder
    encoder.layers = encoder.layers[:layers]
    pruned.config.num_hidden_layers = layers
    return pruned
