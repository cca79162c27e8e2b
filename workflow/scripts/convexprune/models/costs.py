"""What a classifier costs at every depth, from its config alone: nothing is trained or computed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from convexprune.data import corpus
from convexprune.models import encoders, loading, pruning

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

COLUMNS = ["layers", "full_layers", "parameters", "bytes", "multiply_adds"]


def count_costs(
    folder: str | os.PathLike[str], classes: int, projector_size: int, seconds: float = 1
) -> pd.DataFrame:
    """The costs of the classifier of `classes` classes on the encoder in `folder`: a row per depth, 0 to L.

    COLUMNS: `parameters` of encoder, projector and head; `bytes` of its model.safetensors in float32;
    `multiply_adds` of a forward pass over a clip of `seconds` (`count_multiply_adds`). Reads config.json and
    preprocessor_config.json only. Raises ValueError for a family that is not supported.
    """
    import torch
    from transformers import AutoModelForAudioClassification

    head = {"num_labels": classes, "classifier_proj_size": projector_size, "use_weighted_layer_sum": False}
    config = encoders.configure_classifier(folder, **head)
    feature_extractor = loading.load_feature_extractor(folder)
    clip = np.zeros((1, corpus.count_samples(seconds)), np.float32)
    prepared = encoders.prepare(feature_extractor, clip)
    prepared = {name: values.to("meta") for name, values in prepared.items()}
    with torch.device("meta"):
        # Eager attention consists of matrix products, which the counter knows.
        full = AutoModelForAudioClassification.from_config(config, attn_implementation="eager").eval()
    full_layers = encoders.count_layers(full)
    rows = []
    for layers in range(full_layers + 1):
        model = pruning.prune(full, layers)
        counts = model.num_parameters(), count_bytes(model), count_multiply_adds(model, prepared)
        rows.append((layers, full_layers, *counts))
    return pd.DataFrame(rows, columns=COLUMNS)


def count_multiply_adds(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> int:
    """Multiply-adds of the convolutions and matrix products in `model(**inputs)`, both on the meta device.

    Half of torch's count of floating-point operations. As usual, element-wise work (norms, activations,
    softmax) is not counted.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # Tensors that the forward pass makes belong on the meta device too.
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**inputs)
    return counter.get_total_flops() // 2


def count_bytes(model: PreTrainedModel) -> int:
    """Bytes of the model.safetensors that save_pretrained would write: 8, a JSON header, and the tensors.

    The header gives the type, shape and place of each tensor, the widest type first, and is padded to a
    multiple of 8 bytes.
    """
    import torch

    types = {torch.float32: "F32", torch.int64: "I64"}  # int64: the counters of batch norms
    header: dict[str, dict[str, Any]] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in sorted(model.state_dict().items(), key=lambda item: (-item[1].itemsize, item[0])):
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": types[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    length = len(json.dumps(header, separators=(",", ":")))
    return 8 + -(-length // 8) * 8 + end
