"""A linear probe on frozen embeddings, layer by layer: the judge of layers that convexity has to beat."""

from __future__ import annotations

import logging
import os

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from convexprune.convexity import embeddings
from convexprune.data import corpus
from convexprune.finetuning import metrics
from convexprune.jobs.progress import Progress

log = logging.getLogger(__name__)

FOLDS = 5


def probe_layers(
    path: str | os.PathLike[str], dataset: str | os.PathLike[str], task: str, threads: int
) -> pd.DataFrame:
    """The cross-validated accuracy of a linear probe at each layer of the embeddings file `path`.

    A probe is multinomial logistic regression (L2, C = 1) on standardised embeddings. It sees only
    the items whose convexity is scored, so the two judges of a layer know the same. Folds are stratified by
    label. Unless the speakers are the labels, no speaker is in two folds.

    Returns a row per layer: `layers`, `accuracy`, its binomial `stderr`, `n_items`, `n_folds`. Raises
    ValueError if the file lacks an item of `dataset`, or if no class has two items.
    """
    rows, items = embeddings.find_items(path, corpus.read_dataset(dataset))
    labels = items["label"].to_numpy(dtype=str)
    folds = _folds(labels, items["speaker"].to_numpy(dtype=str))
    full_layers = embeddings.count_layers(path)
    probed = []
    for layers in Progress(range(full_layers + 1), desc=f"probe {task}", unit="layer"):
        points, _ = embeddings.read_layer(path, layers)
        right = _probe(points[rows], labels, folds, threads)
        accuracy = float(right.mean())
        log.info("%d layers: %.4f of %d items right", layers, accuracy, len(right))
        probed.append(
            (layers, accuracy, metrics.binomial_sigma(accuracy, len(right)), len(right), len(folds))
        )
    return pd.DataFrame(probed, columns=["layers", "accuracy", "stderr", "n_items", "n_folds"])


def _folds(labels: np.ndarray, speakers: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and held-out indices of FOLDS folds, or of fewer if speakers or the largest class are too few."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    largest = np.unique(labels, return_counts=True)[1].max()
    if largest < 2:
        raise ValueError("no class has two items: there is nothing to probe")
    n_folds, n_speakers = min(FOLDS, largest), len(set(speakers))
    if n_speakers == 1 or np.array_equal(labels, speakers):
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=0).split(labels, labels)
    else:
        n_folds = min(n_folds, n_speakers)
        folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0).split(labels, labels, speakers)
    return list(folds)


def _probe(
    points: np.ndarray, labels: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]], threads: int
) -> np.ndarray:
    """Which items (N,) a probe trained on the other folds gets right. One trained on one class says that."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    right = np.zeros(len(labels), bool)
    with threadpool_limits(threads):
        for train, held_out in folds:
            if len(set(labels[train])) == 1:
                right[held_out] = labels[held_out] == labels[train][0]
                continue
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            probe.fit(points[train], labels[train])
            right[held_out] = probe.predict(points[held_out]) == labels[held_out]
    return right
