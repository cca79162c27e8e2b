"""Embeddings of the pretrained models in two dimensions, by t-SNE."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from convexprune.convexity import embeddings

log = logging.getLogger(__name__)

ITEMS = 2000  # at most so many items per view
PERPLEXITY = 30
COLOURS = 7  # at most so many classes of a view have a colour


def project_embeddings(
    paths: Sequence[str | os.PathLike[str]],
    datasets: Sequence[tuple[str, pd.DataFrame]],
    plan: pd.DataFrame,
    threads: int,
) -> pd.DataFrame:
    """Views of the embeddings before the first layer, at the layers that the plan keeps, and after the last.

    `paths` are embeddings files of pretrained models, and `datasets` the name and table of what is shown of
    each, a task in the `plan` (the table of results/README.md). A row per item drawn: `model`, `dataset`,
    `layers`, `kept` (by the plan); `item` (its place in the split), `label`, `coloured` (a most frequent
    label), `x` and `y` (`project`).
    """
    planned = plan.set_index(["model", "task"])[["layers", "full_layers"]]
    views = []
    for path, (dataset, table) in zip(paths, datasets, strict=True):
        with embeddings.open_embeddings(path) as file:
            model = file.attrs["model"]
        rows, shown = embeddings.find_items(path, table)
        labels = shown["label"].to_numpy(str)
        kept, full_layers = planned.loc[(model, dataset)]
        for layers in sorted({0, kept, full_layers}):
            points = embeddings.read_layer(path, layers)[0][rows]
            items = draw_items(len(points))
            log.info("%s, %s, %d layers: %d of %d items", model, dataset, layers, len(items), len(points))
            view = {"model": model, "dataset": dataset, "layers": layers, "kept": layers == kept}
            view |= {"item": items, "label": labels[items]}
            frequent = [label for label, _ in Counter(labels.tolist()).most_common(COLOURS)]
            view["coloured"] = np.isin(labels[items], frequent)
            view["x"], view["y"] = project(points[items], threads).T
            views.append(pd.DataFrame(view))
    return pd.concat(views, ignore_index=True)


def draw_items(n: int) -> np.ndarray:
    """Which of `n` items are shown, in order: all, or ITEMS random ones, always the same."""
    return np.sort(np.random.default_rng(0).permutation(n)[:ITEMS])


def project(points: np.ndarray, threads: int = 1) -> np.ndarray:
    """Points (N, D) in the plane (N, 2), by t-SNE with a fixed seed, from their principal components."""
    from sklearn.manifold import TSNE

    with threadpool_limits(threads):
        perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
        return TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=threads).fit_transform(points)
