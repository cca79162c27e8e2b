"""All criteria for every layer of an embeddings file, and the similarity of every two layers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from convexprune.convexity import embeddings
from convexprune.criteria import classes, dimension, probes, similarity
from convexprune.criteria.layer import Items, Layer
from convexprune.criteria.registry import UnsuitableError
from convexprune.jobs.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("layers", "criterion", "value", "reason", "seconds")
SIMILARITIES = ("layers", "other_layers", "measure", "value")


class Measure(NamedTuple):
    """How a criterion is computed from a layer, or from a layer and another one."""

    function: Callable[..., float]
    needs: tuple[str, ...] = ()  # properties of these layers, in the order in which they depend on each other
    other: str = ""  # or next, last


def _euclidean_convexity(layer: Layer) -> float:
    items = layer.items
    pairs = classes.draw_pairs(items.classes, classes.PAIRS)
    return classes.euclidean_convexity(
        layer.centred, items.classes, pairs, items.n_neighbors, threads=items.threads
    )


def _linear_probe(layer: Layer) -> float:
    items = layer.items
    if len(items.folds) == 1:
        raise UnsuitableError("no class has two items")
    return probes.probe_accuracy(layer.centred.astype(np.float64), items.classes, items.folds, layer.moments)


def _nearest_neighbours(layer: Layer) -> float:
    return classes.neighbour_accuracy(layer.strangers, layer.items.classes, layer.items.n_classes)


def _silhouette(layer: Layer) -> float:
    items = layer.items
    return classes.silhouette(layer.centred, items.classes, items.n_classes, threads=items.threads)


def _logme(layer: Layer) -> float:
    counts, sums, _ = layer.total
    mean = layer.points.mean(axis=0, dtype=np.float64)
    return classes.logme(*layer.spectrum, sums + np.outer(counts, mean), counts)


def _description_length(layer: Layer) -> float:
    items = layer.items
    order = np.random.default_rng(0).permutation(len(items.classes))
    return probes.code_length(layer.centred.astype(np.float64), items.classes, items.n_classes, order)


def _fisher_ratio(layer: Layer) -> float:
    return classes.fisher_ratio(layer.total)


def _effective_rank(layer: Layer) -> float:
    return dimension.effective_rank(layer.spectrum[0])


def _intrinsic_dimension(layer: Layer) -> float:
    return dimension.intrinsic_dimension(layer.neighbours[1])


def _cosine(layer: Layer, other: Layer) -> float:
    return float(similarity.cosines(layer.points, other.points).mean())


def _block_influence(layer: Layer, other: Layer) -> float:
    return 1 - _cosine(layer, other)


def _angular_distance(layer: Layer, other: Layer) -> float:
    return similarity.angular_distance(layer.points, other.points)


def _linear_cka(layer: Layer, other: Layer) -> float:
    return similarity.linear_cka(layer.centred, other.centred, layer.size, other.size)


def _mutual_neighbours(layer: Layer, other: Layer) -> float:
    return similarity.mutual_neighbours(layer.neighbours[0], other.neighbours[0])


CONVEXITIES = ("graph convexity", "convexity across speakers")
PRODUCTS = ("centred", "moments", "total")
# Of each criterion in the registry but the two convexities of graphs
MEASURES = {
    "euclidean convexity": Measure(_euclidean_convexity, ("centred",)),
    "linear probe": Measure(_linear_probe, PRODUCTS),
    "k-nearest neighbours": Measure(_nearest_neighbours, ("search",)),
    "silhouette": Measure(_silhouette, ("centred",)),
    "logme": Measure(_logme, (*PRODUCTS, "spectrum")),
    "description length": Measure(_description_length, ("centred",)),
    "fisher ratio": Measure(_fisher_ratio, PRODUCTS),
    "block influence": Measure(_block_influence, other="next"),
    "angular distance": Measure(_angular_distance, other="last"),
    "cosine similarity": Measure(_cosine, other="last"),
    "cka with the last": Measure(_linear_cka, (*PRODUCTS, "size"), "last"),
    "cka with the next": Measure(_linear_cka, (*PRODUCTS, "size"), "next"),
    "mutual neighbours with the last": Measure(_mutual_neighbours, ("search",), "last"),
    "mutual neighbours with the next": Measure(_mutual_neighbours, ("search",), "next"),
    "effective rank": Measure(_effective_rank, (*PRODUCTS, "spectrum")),
    "intrinsic dimension": Measure(_intrinsic_dimension, ("search",)),
}


def score_layer(layer: Layer, following: Layer | None, last: Layer) -> list[tuple[str, float, str, float]]:
    """Criterion, value, reason and seconds of every criterion in MEASURES at a layer.

    `following` is the next layer, None after the last one. A criterion that the data cannot carry has the
    value NaN and a reason; the others have no reason. The seconds are those that the criterion would take
    alone: what several need counts in full for each of them.
    """
    scored = []
    for name, measure in MEASURES.items():
        layers = [layer]
        if measure.other == "last":
            layers.append(last)
        elif measure.other == "next":
            if following is None:
                scored.append((name, np.nan, "there is no next layer", 0.0))
                continue
            layers.append(following)
        shared = sum(one.prepare(measure.needs) for one in dict.fromkeys(layers))
        start = time.perf_counter()
        try:
            value, reason = measure.function(*layers), ""
        except UnsuitableError as error:
            value, reason = np.nan, str(error)
        scored.append((name, value, reason, shared + time.perf_counter() - start))
    return scored


def score_layers(
    path: str | os.PathLike[str],
    dataset: pd.DataFrame,
    convexity: pd.DataFrame,
    *,
    identity: dict[str, str],
    n_neighbors: int,
    threads: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every criterion at every layer of an embeddings file, and the similarity of every two layers.

    The items of `dataset` (item, start, label, speaker, split) in the file's split are judged. `convexity`
    has their CONVEXITIES by layers, 0 to L: these are not computed again, so their seconds are missing.
    `identity` names model, state and dataset: the first columns of both tables. At most three layers are in
    memory.
    """
    import pandas as pd

    rows, listed = embeddings.find_items(path, dataset)
    items = Items.of(
        listed["label"].to_numpy(str),
        listed["speaker"].to_numpy(str),
        n_neighbors=n_neighbors,
        threads=threads,
    )

    def read(layers: int) -> Layer:
        return Layer(embeddings.read_layer(path, layers)[0][rows], items)

    full = embeddings.count_layers(path)
    scored, sizes, neighbours = [], [], []
    # Products of all items with all take `threads`. To the many small ones more than one thread is a burden,
    # and where other jobs run, each waits for the other.
    with threadpool_limits(1):
        last = read(full)
        layer = read(0) if full else last
        for layers in Progress(range(full + 1), desc=" ".join(identity.values()), unit="layer"):
            following = None if layers == full else last if layers == full - 1 else read(layers + 1)
            scored += [(layers, name, *score_of(name, convexity.loc[layers])) for name in CONVEXITIES]
            scored += [(layers, *row) for row in score_layer(layer, following, last)]
            sizes.append(layer.size)
            neighbours.append(layer.neighbours[0] if len(rows) > n_neighbors else None)
            layer = following or layer
        compared = compare_layers(lambda layers: read(layers).centred, sizes, neighbours)
    criteria, similarities = (
        pd.DataFrame(found, columns=columns).assign(**identity)[[*identity, *columns]]
        for found, columns in ((scored, COLUMNS), (compared, SIMILARITIES))
    )
    return criteria, similarities


def score_of(name: str, convexity: pd.Series) -> tuple[float, str, float]:
    """Value, reason and seconds of one of CONVEXITIES at a layer."""
    value = float(convexity[name])
    return value, "speakers are unknown, or a class has only one" if np.isnan(value) else "", np.nan


def compare_layers(
    read: Callable[[int], np.ndarray], sizes: list[float], neighbours: list[np.ndarray | None]
) -> list[tuple[int, int, str, float]]:
    """Linear CKA and the share of mutual neighbours of every two layers, the lower one first.

    `read` gives the centred points (N, D) of a layer; `sizes` are |X^T X| and `neighbours` the indices (N, k)
    by layer, None if there are too few items. A similarity that the data cannot carry is left out.
    """
    compared = []
    for layers, size in enumerate(sizes):
        points = read(layers)
        for other in range(layers + 1, len(sizes)):
            if size and sizes[other]:
                cka = similarity.linear_cka(points, read(other), size, sizes[other])
                compared.append((layers, other, "linear cka", cka))
            mine, its = neighbours[layers], neighbours[other]
            if mine is not None and its is not None:
                compared.append((layers, other, "mutual neighbours", similarity.mutual_neighbours(mine, its)))
    return compared
