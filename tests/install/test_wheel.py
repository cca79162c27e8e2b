"""The package alone: what the wheel holds, and that it and its extras work in bare environments.

They install from the package index. `models` and `workflow` are left out for their 7 GB: `make install`
brings the same to all other tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import convexprune
import numpy as np
import pytest

UV = Path(sys.prefix) / "bin/uv"
NEWER = ["3.12", "3.13", "3.14"]
# What is built from source there, on Linux; docs/costs.md says it too.
BUILT = {"3.11": ["connection-pool"], "3.12": ["connection-pool", "pocketsphinx"]}
BUILT |= {"3.13": ["connection-pool"], "3.14": ["connection-pool", "immutables", "pocketsphinx"]}
PHONES = "item,start,end,label\nyes/a.wav,100,900,j\nyes/a.wav,900,2000,E\n"
# A real call of what an extra brings, and what it prints.
CALLS = {
    "convexity": (
        "import pandas as pd; from convexprune.convexity.planning import fewest_within;"
        "print(fewest_within(pd.Series([0.2, 0.8, 0.81], index=[1, 2, 3]), 0.02))",
        "2",
    ),
    "corpus": (
        "from convexprune.data import synthesis;"
        "[take] = synthesis.speak(synthesis.cast_speakers({'train': 1}, 0)[0], ['yes'], 1);"
        "print(len(take.samples) > 3000)",
        "True",
    ),
    "alignment": (
        "from convexprune.alignment.pocketsphinx import PocketsphinxAligner;"
        "print(PocketsphinxAligner().knows('yes'))",
        "True",
    ),
    "results": (
        "from convexprune.results import markdown_tables;"
        "print(markdown_tables.render(['model'], [['tiny']]).splitlines()[-1])",
        "| tiny    |",
    ),
}


def run(*command, cwd, code=0, **environment):
    """What the command printed; without the paths and settings by which our own tests find the library."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == code, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
    return result.stdout if code == 0 else result.stderr


def install(what, folder, python):
    """A new environment `bare` in `folder`, with `what` and no conflict."""
    run(UV, "venv", "--quiet", "--python", python, "bare", cwd=folder)
    run(UV, "pip", "install", "--quiet", "--python", "bare", what, cwd=folder)
    run(UV, "pip", "check", "--python", "bare", cwd=folder)


def score(folder):
    command = ("convexity", "points.npz", "--n-neighbors", 4, "--json")
    [layer] = json.loads(run("bare/bin/convexprune", *command, cwd=folder))["layers"]
    return layer["score"]


def find_python(version: str) -> str:
    """An interpreter of this version: on the path, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")]:
        # pyenv's python3.12 on the path fails where that version is not chosen
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(found)
    pytest.skip(f"there is no Python {version} here")


@pytest.fixture(scope="module")
def source(root, tmp_path_factory):
    """A copy of what is in the repository: a build leaves its files there, not here."""
    folder = tmp_path_factory.mktemp("source") / "convexprune"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    for name in listed.decode().rstrip("\0").split("\0"):
        if (root / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(source):
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".", cwd=source)
    [built] = (source / "dist").glob("*.whl")
    return built


def save_points(folder):
    """Three classes of 12 points that overlap. Returns their score."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 12)
    points = 1.5 * np.eye(3)[np.repeat([0, 1, 2], 12)] + rng.normal(size=(36, 3))
    np.savez(folder / "points.npz", representations=points, labels=labels)
    return convexprune.graph_convexity(points, labels, n_neighbors=4).score


def test_the_wheel_holds_the_package_and_nothing_else(source, wheel):
    package = source / "workflow/scripts"
    expected = {str(path.relative_to(package)) for path in package.glob("convexprune/**/*.py")}
    expected |= {"convexprune/py.typed"}
    information = f"convexprune-{convexprune.__version__}.dist-info"
    files = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
    expected |= {f"{information}/{name}" for name in files}
    with zipfile.ZipFile(wheel) as archive:
        assert {*archive.namelist()} == expected
        metadata = message_from_bytes(archive.read(f"{information}/METADATA"))
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["Version"] == "0.2.0" and metadata["License-Expression"] == "MIT"
    assert {*metadata.get_all("Provides-Extra")} == {*project["optional-dependencies"]}
    assert metadata.get_all("Project-URL") and metadata["Keywords"] and metadata.get_all("Classifier")


def test_twine_finds_nothing_wrong(wheel):
    assert "PASSED" in run(
        UV, "tool", "run", "--quiet", "twine@7.0.0", "check", "--strict", wheel, cwd=wheel.parent
    )


def test_three_commands_score_an_array(source, tmp_path):
    """As somebody types them who has pip alone, and then what else the package can do."""
    expected = save_points(tmp_path)
    run(sys.executable, "-m", "venv", "bare", cwd=tmp_path)
    pip = ("bare/bin/python", "-m", "pip")
    run(*pip, "wheel", "--quiet", "--wheel-dir", "wheels", source, cwd=tmp_path)
    run(*pip, "install", "--quiet", "--no-index", "--find-links", "wheels", "convexprune", cwd=tmp_path)
    assert score(tmp_path) == pytest.approx(expected) and 0.34 < expected < 0.99
    run(*pip, "check", cwd=tmp_path)
    assert "torch" not in run(*pip, "list", cwd=tmp_path)
    assert "graph convexity" in run("bare/bin/convexprune", "--help", cwd=tmp_path)
    run("bare/bin/convexprune", "init", "--help", cwd=tmp_path)
    for command, extra in (
        (("summary", "results"), "results"),
        (("prune", "a", "b", "--layers", 1), "models"),
    ):
        said = run("bare/bin/convexprune", *command, cwd=tmp_path, code=1)
        assert f'is not installed: `pip install "convexprune[{extra}]"`' in said and said.count("\n") == 1


@pytest.mark.parametrize("version", NEWER)
def test_newer_pythons_score_the_same(wheel, tmp_path, version):
    expected = save_points(tmp_path)
    install(wheel, tmp_path, find_python(version))
    assert score(tmp_path) == pytest.approx(expected)


@pytest.mark.parametrize("version", BUILT)
def test_all_else_that_is_locked_has_a_wheel(root, tmp_path, version):
    """Of x86-64, by the index's names of files; nothing is downloaded."""
    target = ("--python-version", version, "--python-platform", "x86_64-manylinux_2_28", "--target", "none")
    command = (UV, "pip", "install", "--dry-run", "--no-deps", "--only-binary", ":all:", *target)
    built = [word for name in BUILT[version] for word in ("--no-binary", name)]
    run(*command, *built, "-r", root / "requirements.lock", cwd=tmp_path)
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    for name in BUILT[version]:
        [pin] = re.findall(rf"^{name}==[^ ]+", lock, flags=re.MULTILINE)
        assert "no usable wheels" in run(*command, pin, cwd=tmp_path, code=1)


@pytest.mark.parametrize("extra", CALLS)
def test_an_extra_brings_all_that_its_part_needs(wheel, tmp_path, extra):
    install(f"{wheel}[{extra}]", tmp_path, sys.executable)
    code, printed = CALLS[extra]
    assert run("bare/bin/python", "-c", code, cwd=tmp_path).strip() == printed
    (tmp_path / "phones.csv").write_text(PHONES, encoding="utf-8")
    compared = run("bare/bin/convexprune", "compare-alignments", *["phones.csv"] * 2, cwd=tmp_path)
    assert compared.startswith("1 recordings in both")


def test_a_config_needs_the_repository(wheel, tmp_path):
    """Where all packages are there, but the package is not in its repository."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    (tmp_path / "mine.yaml").write_text("models: {}\n", encoding="utf-8")
    (tmp_path / "clips").mkdir()
    for command in (["estimate", "mine.yaml"], ["init", "clips"]):
        said = run(
            sys.executable, "-m", "convexprune", *command, cwd=tmp_path, code=1, PYTHONPATH="installed"
        )
        assert "in a clone of the repository" in said, said
    assert [path.name for path in tmp_path.glob("*.yaml")] == ["mine.yaml"]
