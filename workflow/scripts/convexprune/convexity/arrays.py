"""Representations and labels from files: .npy, .npz, .h5. The content of a file decides its kind."""

from __future__ import annotations

import functools
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from convexprune.jobs import csv_files
from convexprune.jobs.messages import named, reason

NUMPY, ZIP, PICKLE, PARQUET = b"\x93NUMPY", b"PK", b"\x80", b"PAR1"  # how these files begin
# Names of arrays that are taken unless others are given; the workflow's embeddings have `hidden_states`.
USUAL = {
    "representations": ("representations", "hidden_states"),
    "labels": ("labels",),
    "groups": ("groups",),
}
NEEDED = "give .npy, .npz or .h5"
# Python that converts what is not read.
TEXT_TABLE = (
    "convert it in Python, here with a column 'label': import numpy, csv; "
    "rows = list(csv.DictReader(open({path!r}))); labels = [row.pop('label') for row in rows]; "
    "numpy.savez('arrays.npz', labels=labels, "
    "representations=numpy.array([list(row.values()) for row in rows], float))"
)
TABLE = (
    "convert it in Python, here with a column 'label': import numpy, pandas; "
    "t = pandas.read_{kind}({path!r}); numpy.savez('arrays.npz', "
    "representations=t.drop(columns='label').to_numpy(float), labels=t['label'].to_numpy(str))"
)
TENSOR = (
    "convert it in Python: import numpy, torch; numpy.save('representations.npy', "
    "torch.load({path!r}, map_location='cpu').float().numpy())"
)


class Array(NamedTuple):
    """An array in a file, not read yet."""

    shape: tuple[int, ...]
    dtype: Any
    read: Callable[[Any], np.ndarray]  # `read(index)` is `array[index]`

    def __str__(self) -> str:
        return f"{'objects' if np.dtype(self.dtype).hasobject else self.dtype} {self.shape}"


class Layers(NamedTuple):
    """Representations of the same points at one layer or more, and the labels of the points."""

    numbers: range
    read: Callable[[int], np.ndarray]  # (N, D) of a layer
    labels: np.ndarray  # (N,)
    groups: np.ndarray | None  # (N,) where they were given


@contextmanager
def open_layers(
    path: Path, representations: str | None, labels: str | None, groups: str | None = None
) -> Iterator[Layers]:
    """The layers in a file: an array (N, D), or (layers, N, D) of which one layer is in memory at a time.

    `representations` names the array, and `labels` either an array of the same file or another file: .npy,
    .npz, .h5, or text with a label on each line. Without names, the arrays called `representations` (or
    `hidden_states`, as in the workflow's embeddings) and `labels` are taken, or the only ones of such shapes.
    `groups` names the groups of the points (their speakers, say) as `labels` does; without it there are none.
    Raises ValueError that names the file, what is in it, and what is wrong or missing.
    """
    with open_arrays(path) as arrays:
        points = choose(path, arrays, "representations", representations, lambda shape: len(shape) in (2, 3))
        check_dtype(path, "representations", points)
        if len(points.shape) not in (2, 3) or points.shape[0] == 0:
            raise ValueError(
                f"{path}: representations must be of shape (points, dimensions) or (layers, points, "
                f"dimensions), not {points.shape}"
            )
        *layers, n_points, _ = points.shape
        own = read_labels(path, arrays, labels, n_points)
        kin = None if groups is None else read_labels(path, arrays, groups, n_points, wanted="groups")
        if layers and len(own) == layers[0] != n_points:
            raise ValueError(
                f"{path}: there are {len(own)} labels for an array of shape {points.shape}, but layers "
                "must come first: save numpy.moveaxis(representations, 1, 0)"
            )
        if layers and labels is None and "items" in arrays and (own == "").any():
            # Embeddings of the workflow: recordings that have the labels of other datasets only.
            labelled = np.flatnonzero(own != "")
            kin = None if kin is None else kin[labelled]
            yield Layers(range(layers[0]), lambda layer: points.read(layer)[labelled], own[labelled], kin)
        elif layers:
            yield Layers(range(layers[0]), points.read, own, kin)
        else:
            yield Layers(range(1), lambda layer: points.read(()), own, kin)


def choose_layers(path: Path, layers: Layers, layer: int | None) -> range:
    """All layers, or only the one that is given."""
    if layer is None:
        return layers.numbers
    if layer not in layers.numbers:
        raise ValueError(f"{path} has layers 0 to {layers.numbers[-1]}, not {layer}")
    return range(layer, layer + 1)


def read_labels(
    path: Path, arrays: Mapping[str, Array], labels: str | None, n_points: int, wanted: str = "labels"
) -> np.ndarray:
    """The labels (N,) of `n_points` points: an array in the file of the points, or the file `labels`.

    They may also be groups: what is `wanted`, by an error.
    """
    if labels is None and list(arrays) == [""]:
        raise ValueError(f"{path} holds no {wanted}: give a file of them by --{wanted}")
    if labels is None or labels.strip("/") in arrays:
        return read_array(path, arrays, labels, n_points, wanted)
    other = Path(labels)
    if not other.exists():
        raise ValueError(f"{labels} does not exist, neither as a file nor in {path}")
    if find_kind(other) == "text":
        return read_lines(other, n_points)
    with open_arrays(other) as those:
        return read_array(other, those, None, n_points, wanted)


def read_array(
    path: Path, arrays: Mapping[str, Array], name: str | None, n_points: int, wanted: str
) -> np.ndarray:
    array = choose(path, arrays, wanted, name, lambda shape: shape == (n_points,))
    check_dtype(path, wanted, array)
    values = array.read(())
    return np.char.decode(values, "utf-8", "backslashreplace") if values.dtype.kind == "S" else values


def read_lines(path: Path, n_points: int) -> np.ndarray:
    """Labels (N,) from text, one on each line. A line too many is a heading, if no other is like it."""
    heading, rows = csv_files.read_rows(path)
    lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    if empty := [number for number, line in enumerate(lines, start=1) if not line.strip()]:
        raise ValueError(f"{path}: line {empty[0]} is empty: give each point a label")
    headed = len(rows) == n_points and heading not in rows
    rows = [heading, *rows]
    if long := [row for row in rows if len(row) > 1]:
        raise ValueError(
            f"{path} has {len(long[0])} columns: give a file with the labels alone, one on each line"
        )
    return np.array([label for (label,) in rows[headed:]])


def choose(
    path: Path,
    arrays: Mapping[str, Array],
    wanted: str,
    name: str | None,
    fits: Callable[[tuple[int, ...]], bool],
) -> Array:
    """The array that is `wanted`: the one called `name`, else one with a usual name, else the only one whose
    shape fits."""
    if not arrays:
        raise ValueError(f"{path} holds no array")
    if list(arrays) == [""]:
        if name is not None:
            raise ValueError(f"{path} holds one array, which has no name: leave out --{wanted} {name}")
        return arrays[""]
    if name is not None:
        if (name := name.strip("/")) in arrays:
            return arrays[name]
        raise ValueError(f"{path} holds no array {name}, but {listed(arrays)}")
    found = [arrays[name] for name in USUAL[wanted] if name in arrays]
    found = found or [array for array in arrays.values() if fits(array.shape)]
    if len(found) != 1:
        raise ValueError(f"{path} holds {listed(arrays)}: name the array of {wanted} by --{wanted}")
    return found[0]


def listed(arrays: Mapping[str, Array]) -> str:
    """What a file holds, with types and shapes."""
    return named((f"{name} ({array})" for name, array in arrays.items()), few=20)


def check_dtype(path: Path, wanted: str, array: Array) -> None:
    """Raise ValueError if the array holds Python objects."""
    if np.dtype(array.dtype).hasobject:  # NumPy advises to allow pickles: unsafe for a file from elsewhere
        dtype = "float" if wanted == "representations" else "str"
        raise ValueError(
            f"{path} holds {wanted} as Python objects (of a frame, or rows of several lengths), which are "
            f"not read: save numpy.array({wanted}.tolist(), dtype={dtype})"
        )


@contextmanager
def open_arrays(path: Path) -> Iterator[dict[str, Array]]:
    """The arrays in a file by name; that of a .npy file has the name ""."""
    kind = find_kind(path)
    if kind == "text":
        table = TEXT_TABLE.format(path=str(path))
        raise ValueError(f"{path} is text, which is not read: {NEEDED}. If it is a CSV file, {table}")
    if kind == ".npy":
        with naming_damage(path), open(path, "rb") as file:
            shape, dtype = read_header(file)
        yield {"": Array(shape, dtype, lambda index: read_numpy(path, index))}
    elif kind == ".npz":
        with naming_damage(path):
            archive = zipfile.ZipFile(path)
        with archive:
            yield dict(find_members(path, archive))
    else:
        with naming_damage(path):
            opened = h5py.File(path, "r", locking=False)
        with opened:
            yield find_datasets(path, opened)


def read_numpy(path: Path, index: Any) -> np.ndarray:
    with naming_damage(path):
        return np.array(np.load(path, mmap_mode="r")[index])


def find_members(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, Array]]:
    """The arrays of a .npz file, each with its name."""
    members = archive.namelist()
    if any(name.endswith("data.pkl") for name in members):
        raise ValueError(f"{path} is a file of torch, which is not read: {TENSOR.format(path=str(path))}")
    for member in members:
        if member.endswith(".npy"):
            yield member.removesuffix(".npy"), member_array(path, archive, member)


def member_array(path: Path, archive: zipfile.ZipFile, member: str) -> Array:
    with naming_damage(path), archive.open(member) as file:
        shape, dtype = read_header(file)

    @functools.cache
    def whole() -> np.ndarray:
        with naming_damage(path), archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    return Array(shape, dtype, lambda index: whole()[index])


def find_datasets(path: Path, file: h5py.File) -> dict[str, Array]:
    """The arrays of an HDF5 file, in all its groups. Text is read as text."""
    found = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            found[name] = dataset_array(path, item)

    with naming_damage(path):
        file.visititems(add)
    return found


def dataset_array(path: Path, dataset: h5py.Dataset) -> Array:
    text = h5py.check_string_dtype(dataset.dtype) is not None

    def read(index: Any) -> np.ndarray:
        with naming_damage(path):
            if text:
                return dataset.asstr("utf-8", "backslashreplace")[index].astype(str)
            return dataset[index]

    return Array(dataset.shape, "str" if text else dataset.dtype, read)


def read_header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and type of the array in a .npy file."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    return shape, dtype


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Within the block, turn a library's error about a file into a ValueError that names the file."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except MemoryError as error:
        raise ValueError(f"{path} does not fit into memory: {error}") from error
    except (ValueError, EOFError, OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {reason(error)}") from error


def find_kind(path: Path) -> str:
    """Whether a file is `.npy`, `.npz`, `.h5` or `text`. Of any other, ValueError says what to do."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: {NEEDED}")
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    with open(path, "rb") as file:
        start = file.read(1024)
    if not start:
        raise ValueError(f"{path} is empty: {NEEDED}")
    if start.startswith(NUMPY):
        return ".npy"
    if start.startswith(ZIP):
        return ".npz"
    if h5py.is_hdf5(path):
        return ".h5"
    if start.startswith(PARQUET):
        table = TABLE.format(kind="parquet", path=str(path))
        raise ValueError(f"{path} is a Parquet file, which is not read: {table}")
    if start.startswith(PICKLE):
        table = TABLE.format(kind="pickle", path=str(path))
        raise ValueError(
            f"{path} is a pickle, which is not opened, since it may run any program. If you trust it, {table}"
        )
    if b"\0" not in start:
        return "text"
    raise ValueError(f"{path} is of no kind that is known here: {NEEDED}")
