"""Pruning: keep the first transformer layers of an encoder and drop the rest (the paper's method)."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import TYPE_CHECKING

from convexprune.models.encoders import find_parts

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prune(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """A copy of `model` that keeps its first `layers` transformer layers, 0 to all of them.

    `model` is a bare encoder or one with a head, of any architecture of `encoders`, on any device (the meta
    device too). The copy keeps the parts before the layers (front end, projection, positions) and after them
    (the final norm of stable-layer-norm models, the head). It also keeps WavLM's table of relative positions,
    which is part of the first layer. A head that weighs the hidden states of all layers keeps the weights of
    those that are left. A post-norm model's last hidden state becomes exactly the full model's
    hidden_states[layers].

    Raises ValueError for a number of layers that the model does not have, for unsupported models, and for
    0 layers under a head that weighs hidden states: Transformers returns none. Raises TypeError if `layers`
    is no whole number (numpy's are).
    """
    if not isinstance(layers, Integral) or isinstance(layers, bool):
        raise TypeError(f"layers must be a whole number, not {layers!r}")
    full = find_parts(model).layers
    if not 0 <= layers <= len(full):
        raise ValueError(f"cannot keep {layers} layers of a {type(model).__name__} that has {len(full)}")
    weighted = hasattr(model, "layer_weights")
    if weighted and layers == 0:
        raise ValueError(
            f"this {type(model).__name__} has a head that weighs hidden states of layers "
            "(use_weighted_layer_sum), so it needs one layer at least"
        )
    pruned = copy.deepcopy(model, {id(layer): None for layer in full[layers:]})  # no copies of dropped layers
    del find_parts(pruned).layers[layers:]
    pruned.config.num_hidden_layers = int(layers)  # Whisper's config keeps it as encoder_layers
    if weighted:
        pruned.layer_weights.data = pruned.layer_weights.data[: layers + 1].clone()
    return pruned
