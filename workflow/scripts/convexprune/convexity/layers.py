"""The convexity of every layer of an embeddings file, as tables."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from convexprune.convexity import embeddings
from convexprune.convexity.score import graph_convexity
from convexprune.jobs.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# Columns of the tables, besides model, state, dataset and layers (and the label in the table of classes).
CLASS_MEASURES = ["score", "stderr", "n_items", "n_pairs", "n_unreachable"]
MEASURES = ["score", "stderr", "chance", "class_score", "class_stderr", "class_chance"]
MEASURES += ["n_items", "n_classes", "n_pairs", "n_unreachable"]


def score_layers(
    path: str | os.PathLike[str],
    dataset: pd.DataFrame,
    *,
    identity: dict[str, str],
    n_neighbors: int,
    threads: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The convexity of every layer of an embeddings file: a table of layers and one of layers and classes.

    The items of `dataset` (item, start, label, split) in the file's split are scored. `identity` names model,
    state and dataset: the first columns of both. `layers` counts the transformer layers, 0 to L. One layer at
    a time is in memory.
    """
    import pandas as pd

    scores, classes = [], []
    rows, items = embeddings.find_items(path, dataset)
    all_layers = range(embeddings.count_layers(path) + 1)
    for layers in Progress(all_layers, desc=" ".join(identity.values()), unit="layer"):
        if items.empty:  # a dataset of phonemes that were refused
            break
        points, _ = embeddings.read_layer(path, layers)
        result = graph_convexity(points[rows], items["label"].to_numpy(str), n_neighbors, n_jobs=threads)
        log.info("%s, %d layers: %.4f ± %.4f", identity, layers, result.score, result.stderr)
        key = {**identity, "layers": layers}
        scores.append(key | {name: getattr(result, name) for name in MEASURES})
        classes += [
            key | {"label": label} | {name: getattr(entry, name) for name in CLASS_MEASURES}
            for label, entry in sorted(result.per_class.items())
        ]
    keys = [*identity, "layers"]
    return (
        pd.DataFrame(scores, columns=[*keys, *MEASURES]),
        pd.DataFrame(classes, columns=[*keys, "label", *CLASS_MEASURES]),
    )
