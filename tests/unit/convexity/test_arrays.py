"""Files of points and labels are what they hold, whatever their names; what is wrong with one is a line."""

import io
import pickle
import re
import shutil
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from convexprune.__main__ import main
from convexprune.convexity.arrays import NUMPY, open_layers

X = np.random.default_rng(0).normal(size=(30, 4))
Y = np.array(["yes", "nö", "up"])[np.arange(30) % 3]


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def hdf5(**datasets) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        for name, data in datasets.items():
            if data is None:
                opened.create_group(name)
            else:
                opened[name] = data
    return file.getvalue()


BROKEN = X.copy()
BROKEN[3, 1], BROKEN[9] = np.nan, np.inf
STATES = np.stack([0 * X, X]).astype(np.float32)
WORDS = hdf5(hidden_states=STATES, labels=Y.astype(object))
RAGGED = io.BytesIO()
with h5py.File(RAGGED, "w") as ragged:
    ragged.create_dataset("representations", (30, 4), h5py.vlen_dtype(np.float64))
    ragged["labels"] = np.arange(30) % 3
RAGGED = RAGGED.getvalue()
OBJECTS = r"holds {} as Python objects .* save numpy.array\({}.tolist\(\), dtype={}\)"
HELD = r"holds points \(float64 \(30, 4\)\), others \(float64 \(30, 4\)\): name the array of repr.* by --repr"
FILES = {  # what is wrong with the file of points: its content, and the message
    "text": (b"some text", "is text, which is not read: give .npy, .npz or .h5"),
    "text that is not UTF-8": ("häuser,1\n".encode("latin-1"), "is text"),
    "CSV": (b"1.0,2.0\n3.0,4.0\n", "convert it in Python, .*csv.DictReader"),
    "JSON": (b"[[1, 2], [3, 4]]", "is text"),
    "nothing": (b"", "is empty"),
    "a pickle": (
        pickle.dumps(X),
        "is a pickle, .* may run any program. If you trust it, .* pandas.read_pickle",
    ),
    "Parquet": (b"PAR1\0\0", "is a Parquet file, .* pandas.read_parquet"),
    "a tensor": (zipped(**{"x/data.pkl": b"", "x/data/0": b""}), "is a file of torch, .* torch.load"),
    "something else": (b"\0\1\2\3" * 100, "of no kind that is known here"),
    "a cut array": (npy(X)[:300], "is damaged"),
    "a cut header": (npy(X)[:40], "is damaged"),
    "another version": (b"\x93NUMPY\x09\0" + npy(X)[8:], "is damaged"),
    "more than the file holds": (
        npy(X).replace(b"(30, 4), }", b"(1" + 13 * b"0" + b", 4), }", 1),
        "memory|is damaged",
    ),
    "objects": (npy(X.astype(object)), OBJECTS.format("representations", "representations", "float")),
    "objects in an archive": (
        npz(representations=X, labels=Y.astype(object)),
        OBJECTS.format("labels", "labels", "str"),
    ),
    "a cut archive": (npz(representations=X, labels=Y)[:400], "is damaged"),
    "a damaged archive": (
        npz(representations=X, labels=Y).replace(X.tobytes()[:8], b"12345678"),
        "is damaged",
    ),
    "two arrays": (npz(points=X, others=X), HELD),
    "two arrays in groups": (
        hdf5(**{"a/x": X, "b/x": X.astype("f4")}),
        r"holds a/x \(float64 \(30, 4\)\), b/x \(float32 \(30, 4\)\): name",
    ),
    "two arrays of labels": (
        npz(x=X, speakers=Y, words=Y),
        r"x .*, speakers \(<U3 \(30,\)\), words .*: name the array of labels by --labels",
    ),
    "no labels": (npz(x=X), r"holds x \(float64 \(30, 4\)\): name the array of labels"),
    "an empty archive": (zipped(), "holds no array"),
    "an archive of text": (zipped(representations=b"text"), "holds no array"),
    "one dimension": (npz(representations=X[:, 0], labels=Y), r"must be of shape .*, not \(30,\)"),
    "four dimensions": (npz(representations=X[None, None], labels=Y), r"not \(1, 1, 30, 4\)"),
    "no dimension": (npz(representations=X[:, :0], labels=Y), r"of shape \(30, 0\)"),
    "no points": (npz(representations=X[:0], labels=Y[:0]), r"not \(0, 4\)"),
    "points as text": (npz(representations=X.astype(str), labels=Y), "must be real numbers"),
    "complex points": (npz(representations=1j * X, labels=Y), "not complex128"),
    "dates": (npz(representations=X.astype("M8[s]"), labels=Y), "not datetime64"),
    "NaN and infinity": (
        npz(representations=BROKEN, labels=Y),
        "2 of 30 representations have values that are NaN, infinite or beyond 1e.150, the first in row 3",
    ),
    "too few labels": (npz(representations=X, labels=Y[:20]), "30 representations, but 20 labels"),
    "layers in the middle": (
        npz(representations=STATES.swapaxes(0, 1), labels=Y),
        r"30 labels for an array of shape \(30, 2, 4\), but layers must come first: save numpy.moveaxis",
    ),
    "labels in two dimensions": (npz(representations=X, labels=Y[:, None]), r"of shape \(30, 1\)"),
    "labels that are NaN": (
        npz(representations=X, labels=np.where(Y == "up", np.nan, 1.0)),
        "10 labels are missing",
    ),
    "labels all different": (
        npz(representations=X, labels=X[:, 0]),
        "no pairs to score. Are the labels classes",
    ),
    "HDF5 cut": (WORDS[:800], "is damaged"),
    "groups alone": (hdf5(hidden_states=None, labels=None), "holds no array"),
    "a group of labels": (hdf5(hidden_states=STATES, labels=None), "name the array of labels"),
    "no layers": (
        hdf5(hidden_states=STATES[:0], labels=np.arange(30)),
        r"must be of shape .* not \(0, 30, 4\)",
    ),
    "too many labels": (
        hdf5(hidden_states=STATES, labels=np.arange(31)),
        "30 representations, but 31 labels",
    ),
    "ragged rows": (RAGGED, OBJECTS.format("representations", "representations", "float")),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ""])
@pytest.mark.parametrize("kind", FILES)
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(tmp_path, kind, suffix):
    content, message = FILES[kind]
    path = tmp_path / f"points{suffix}"
    path.write_bytes(content)
    np.save(tmp_path / "Y.npy", Y)
    labels = ["--labels", str(tmp_path / "Y.npy")] if content.startswith(NUMPY) else []
    with pytest.raises(SystemExit, match=message) as caught:
        main(["convexity", str(path), *labels])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "allow_pickle" not in str(caught.value)
    assert "delete" not in str(caught.value)  # it is not ours


@pytest.mark.parametrize("kind", ["nothing", "a pickle", "something else", "a cut array"])
def test_so_is_what_is_wrong_with_a_file_of_labels(tmp_path, kind):
    content, message = FILES[kind]
    np.save(tmp_path / "X.npy", X)
    (tmp_path / "labels.npy").write_bytes(content)
    with pytest.raises(SystemExit, match=message.replace("representations", "labels")) as caught:
        main(["convexity", str(tmp_path / "X.npy"), "--labels", str(tmp_path / "labels.npy")])
    assert str(tmp_path / "labels.npy") in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folder"], "folder is a folder: give .npy"),
        (["X.npy", "--labels", "folder"], "folder is a folder"),
        (["missing.npy", "--labels", "Y.npy"], "missing.npy does not exist"),
        (["X.npy", "--labels", "missing.npy"], "missing.npy does not exist, neither as a file nor in X.npy"),
        (["X.npy"], "X.npy holds no labels: give a file of them by --labels"),
        (["X.npy", "--labels", "Y.npy", "--layer", "1"], "X.npy has layers 0 to 0, not 1"),
        (
            ["X.npy", "--labels", "Y.npy", "--representations", "x"],
            "has no name: leave out --representations x",
        ),
        (["words.h5", "--layer", "2"], "words.h5 has layers 0 to 1, not 2"),
        (["words.h5", "--layer", "-1"], "words.h5 has layers 0 to 1, not -1"),
        (
            ["words.h5", "--representations", "x"],
            r"holds no array x, but hidden_states \(float32 \(2, 30, 4\)\), labels \(str \(30,\)\)",
        ),
        (["X.npy", "--labels", "table.csv"], "table.csv has 2 columns: give a file with the labels alone"),
        (["X.npy", "--labels", "objects.npy"], OBJECTS.format("labels", "labels", "str")),
    ],
)
def test_what_is_not_there_is_told(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    np.save("X.npy", X)
    np.save("Y.npy", Y)
    np.save("objects.npy", Y.astype(object))
    (tmp_path / "words.h5").write_bytes(WORDS)
    (tmp_path / "table.csv").write_text("yes,1\n" * 30, encoding="utf-8")
    with pytest.raises(SystemExit, match=message):
        main(["convexity", *arguments])


def read(path, representations=None, labels=None):
    """Every layer of a file, and the labels."""
    with open_layers(path, representations, labels) as layers:
        return [layers.read(number) for number in layers.numbers], layers.labels.tolist()


@pytest.mark.parametrize("name", ["points.npy", "points.NPZ", "points", "points.h5"])
@pytest.mark.parametrize(
    ("content", "names"),
    [
        (npz(representations=X, labels=Y), (None, None)),
        (npz(representations=STATES, labels=Y, more=X), (None, None)),
        (npz(x=STATES, y=Y), (None, None)),  # the only ones of their shapes
        (npz(x=X, y=Y, z=X, other=Y), ("x", "y")),
        (WORDS, (None, None)),
        (hdf5(**{"a/x": X, "a/z": X, "y": np.char.encode(Y, "utf-8"), "n": 3}), ("/a/x", "y")),
    ],
)
def test_a_file_is_what_it_holds_whatever_its_name(tmp_path, name, content, names):
    (tmp_path / name).write_bytes(content)
    layers, labels = read(tmp_path / name, *names)
    assert np.allclose(layers[-1], X)
    assert len(layers) == 1 or (len(layers) == 2 and not layers[0].any())
    assert labels == Y.tolist()


@pytest.mark.parametrize("order", ["C", "F"])
def test_all_layers_of_one_array_are_read(tmp_path, order):
    np.save(tmp_path / "X.npy", np.asarray(STATES, order=order))
    np.save(tmp_path / "Y.npy", Y)
    layers, labels = read(tmp_path / "X.npy", labels=str(tmp_path / "Y.npy"))
    assert np.array_equal(layers, STATES)
    assert labels == Y.tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.char.encode(Y, "utf-8"), Y.tolist()),
        (np.array([b"caf\xe9", b"b"] * 15), ["caf\\xe9", "b"] * 15),
        (np.array([True, False] * 15), [True, False] * 15),
        (np.array([1.0, 2.5] * 15), [1.0, 2.5] * 15),
        ("\n".join(Y) + "\n", Y.tolist()),
        ("word\n" + "\n".join(Y), Y.tolist()),
        ('\ufeffword\r\n"a, b"\r\n' + "7\r\n" * 29, ["a, b"] + ["7"] * 29),
    ],
)
def test_labels_of_any_type_are_read(tmp_path, labels, expected):
    np.save(tmp_path / "X.npy", X)
    path = tmp_path / "labels"
    if isinstance(labels, str):
        path.write_text(labels, encoding="utf-8", newline="")
    else:
        path.write_bytes(npy(labels))
    assert read(tmp_path / "X.npy", labels=str(path))[1] == expected
    if not isinstance(labels, str):
        path.write_bytes(npz(y=labels, x=X))
        assert read(tmp_path / "X.npy", labels=str(path))[1] == expected


@pytest.mark.parametrize("kind", ["csv", "pickle"])
def test_the_python_that_an_error_gives_converts_the_table(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame(X).assign(label=Y)
    table.to_csv("it's.csv", index=False) if kind == "csv" else table.to_pickle("it's.pickle")
    with pytest.raises(SystemExit) as caught:
        main(["convexity", f"it's.{kind}"])
    exec(re.search(r"import numpy.*$", str(caught.value))[0], {})
    layers, labels = read(tmp_path / "arrays.npz")
    assert np.allclose(layers[0], X)
    assert labels == Y.tolist()


def test_the_python_that_an_error_gives_converts_the_tensor(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.save(torch.from_numpy(STATES).to(torch.bfloat16), "x.pt")
    with pytest.raises(SystemExit) as caught:
        main(["convexity", "x.pt"])
    exec(re.search(r"import numpy.*$", str(caught.value))[0], {})
    assert np.allclose(np.load("representations.npy"), STATES, rtol=0.01)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", X)
    shutil.copy(tmp_path / "X.npy", tmp_path / "Y.npy")

    def refuse(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(SystemExit, match=r"Permission denied: .*X\.npy"):
        main(["convexity", str(tmp_path / "X.npy"), "--labels", str(tmp_path / "Y.npy")])


def test_recordings_without_the_label_are_no_class_of_the_workflows_embeddings(tmp_path):
    """They are in the file for other datasets, which have other labels of the same recordings."""
    labels = np.array([str(label) for label in Y], dtype=object)
    labels[:3] = ""
    content = {
        "hidden_states": STATES,
        "labels": labels,
        "items": np.arange(len(Y)).astype(str).astype(object),
    }
    with h5py.File(tmp_path / "words.h5", "w") as file:
        for name, values in content.items():
            file[name] = values
    layers, found = read(tmp_path / "words.h5")
    assert list(found) == [str(label) for label in Y[3:]]
    assert np.array_equal(layers[0], STATES[0][3:])
