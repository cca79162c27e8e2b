"""The convexity of every layer of an embeddings file, as tables."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexprune.convexity import averages, comparison, embeddings
from convexprune.convexity.score import Convexity, graph_convexity
from convexprune.jobs.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# Columns of the tables, besides model, state, dataset and layers (and the label in the table of classes).
CLASS_MEASURES = ["score", "stderr", "n_items", "n_pairs", "n_unreachable"]
MEASURES = ["score", "stderr", "chance", "class_score", "class_stderr", "class_chance"]
MEASURES += [*averages.ACROSS.values(), "n_items", "n_groups", "n_classes", "n_pairs", "n_unreachable"]
COVARIANCES = ["covariance", "freedom"]
BELOW = {  # by column of the table: how far below the best layer
    "below_best": "score",
    "below_best_stderr": "stderr",
    "class_below_best": "class_score",
    "class_below_best_stderr": "class_stderr",
}


class Scored(NamedTuple):
    """Tables of an embeddings file. Their first columns are its model, state and dataset, then `layers`."""

    scores: pd.DataFrame  # a row per layer: MEASURES and BELOW
    classes: pd.DataFrame  # a row per layer and `label`: CLASS_MEASURES
    covariances: pd.DataFrame  # a row per `average`, layer and layer (`other_layers`): COVARIANCES


def score_layers(
    path: str | os.PathLike[str],
    dataset: pd.DataFrame,
    *,
    identity: dict[str, str],
    n_neighbors: int,
    threads: int,
) -> Scored:
    """The convexity of every layer of an embeddings file.

    The items of `dataset` (item, start, label, speaker, split) in the file's split are scored. Where their
    speakers are known and each class has several, these are the groups that are taken as independent.
    `identity` names model, state and dataset. `layers` counts the transformer layers, 0 to L. One layer at a
    time is in memory.
    """
    import pandas as pd

    results: dict[int, Convexity] = {}
    rows, items = embeddings.find_items(path, dataset)
    labels, speakers = items["label"].to_numpy(str), find_speakers(items)
    for layers in Progress(
        range(embeddings.count_layers(path) + 1), desc=" ".join(identity.values()), unit="layer"
    ):
        if items.empty:  # a dataset of phonemes that were refused
            break
        points, _ = embeddings.read_layer(path, layers)
        result = graph_convexity(points[rows], labels, n_neighbors, groups=speakers, n_jobs=threads)
        log.info("%s, %d layers: %.4f ± %.4f", identity, layers, result.score, result.stderr)
        results[layers] = result

    keys = [*identity, "layers"]
    below = comparison.below_best(results) if results else {}
    scores = [
        {**identity, "layers": layers}
        | {name: getattr(result, name) for name in MEASURES}
        | ({} if result.n_groups else dict.fromkeys(averages.ACROSS.values(), np.nan))
        | {name: getattr(below[layers], measure) for name, measure in BELOW.items()}
        for layers, result in results.items()
    ]
    classes = [
        {**identity, "layers": layers, "label": label}
        | {name: getattr(entry, name) for name in CLASS_MEASURES}
        for layers, result in results.items()
        for label, entry in sorted(result.per_class.items())
    ]
    covariances = []
    in_order = [*results.values()]
    squares, freedoms = (
        find(in_order) if results else () for find in (comparison.find_covariances, comparison.find_freedom)
    )
    for average, square, freedom in zip(averages.COLUMNS, squares, freedoms, strict=False):
        covariances += [
            {**identity, "layers": layers, "average": average, "other_layers": other}
            | dict(zip(COVARIANCES, (square[layers, other], freedom[layers, other]), strict=True))
            for layers in results
            for other in results
        ]
    return Scored(
        pd.DataFrame(scores, columns=[*keys, *MEASURES, *BELOW]),
        pd.DataFrame(classes, columns=[*keys, "label", *CLASS_MEASURES]),
        pd.DataFrame(covariances, columns=[*keys, "average", "other_layers", *COVARIANCES]),
    )


def find_speakers(items: pd.DataFrame) -> np.ndarray | None:
    """The speakers (N,) of some items, if known and if each class that has pairs has several of them."""
    if "speaker" not in items or (items["speaker"] == "").any():
        return None
    per_class = items.groupby("label")["speaker"].agg(["nunique", "size"])
    several = per_class.loc[per_class["size"] > 1, "nunique"] > 1
    return items["speaker"].to_numpy(str) if len(several) and several.all() else None
