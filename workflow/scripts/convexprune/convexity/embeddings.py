"""The embeddings file: one vector per item and layer, read without torch. `extraction` writes it.

`hidden_states` float32 (L + 1, N, D) and `labels` (N,), read a layer at a time. `items` and `starts` (N,) say
which span of the corpus each is, so that datasets with other labels of the same recordings find them too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import h5py
import numpy as np

from convexprune.jobs import hdf5

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def open_embeddings(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an embeddings file for reading. Raises ValueError, naming it, if it is damaged or unfinished."""
    with hdf5.read(path, "hidden_states", "labels") as file:
        # a file from elsewhere may have a group here, which has no shape
        states, labels = (list(getattr(file[name], "shape", [])) for name in ("hidden_states", "labels"))
        if len(states) != 3 or not states[0]:
            raise ValueError(f"{path}: hidden_states must be of shape (layers + 1, items, dimensions)")
        if states[1:2] != labels:
            raise ValueError(
                f"{path} has other labels than items; if the workflow wrote it, delete it and run again"
            )
        yield file


def check_origin(path: str | os.PathLike[str], origin: dict[str, str]) -> None:
    """Raise ValueError unless the file's attributes (dataset, fingerprint ...) are those of `origin`."""
    with open_embeddings(path) as file:
        found = {name: file.attrs.get(name) for name in origin}
    if other := [
        f"{name} is {found[name]}, not {origin[name]}" for name in origin if found[name] != origin[name]
    ]:
        raise ValueError(f"{path} holds other embeddings ({'; '.join(other)}); delete it and run again")


def count_layers(path: str | os.PathLike[str]) -> int:
    """The number of transformer layers L of the embedded model; the file has L + 1 hidden states."""
    with open_embeddings(path) as file:
        return len(file["hidden_states"]) - 1


def read_layer(path: str | os.PathLike[str], layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, D), float32, at hidden state `layer` (0..L) and the items' labels (N,), strings
    (numbers in a file from elsewhere)."""
    with open_embeddings(path) as file:
        hidden_states = file["hidden_states"]
        if not 0 <= layer < len(hidden_states):
            raise ValueError(f"{path} has layers 0 to {len(hidden_states) - 1}, not {layer}")
        labels = file["labels"]
        if h5py.check_string_dtype(labels.dtype) is None:
            return hidden_states[layer], labels[:]
        return hidden_states[layer], labels.asstr(errors="backslashreplace")[:].astype(str)


def find_items(path: str | os.PathLike[str], dataset: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """The rows of the file (n,) with the items of a `dataset` (item, start, split, ...), and these items.

    They are those of the split that was embedded. Raises ValueError if the file lacks one.
    """
    import pandas as pd

    with open_embeddings(path) as file:
        split = file.attrs["split"]
        spans = pd.MultiIndex.from_arrays([file["items"].asstr()[:], file["starts"][:]])
    items = dataset[dataset["split"] == split]
    rows = (
        spans.get_indexer(pd.MultiIndex.from_frame(items[["item", "start"]]))
        if len(items)
        else np.zeros(0, int)
    )
    if (rows < 0).any():
        raise ValueError(
            f"{path} lacks {items['item'][rows < 0].iloc[0]} of the split {split}; delete it and run again"
        )
    return rows, items
