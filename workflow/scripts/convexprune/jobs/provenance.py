"""The origin of a result: versions, and fingerprints of the files that it was made from."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

# Packages that the stages compute with. A job logs the versions of those that its environment has.
PACKAGES = ["accelerate", "espeakng-loader", "h5py", "matplotlib", "numba", "numpy", "pandas", "pocketsphinx"]
PACKAGES += [
    "praatio",
    "scikit-learn",
    "scipy",
    "seaborn",
    "soundfile",
    "torch",
    "torchaudio",
    "transformers",
]


def installed_versions() -> dict[str, str]:
    """Versions of Python, this package and those of PACKAGES that are installed."""
    found = versions()
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


LARGE = 1_000_000  # bytes; Snakemake does not read files larger than this to compare them, either


def fingerprint(*paths: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) over the contents of `paths`, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def identify(paths: Iterable[str]) -> dict[str, Any]:
    """The SHA-256 of each of the user's files, or size and time of a large one, to notice changes.

    Rules take this as a parameter. Snakemake reads an input only if it is newer than the outputs, and a copy
    may keep the time of an older file.
    """
    found = {path: Path(path).stat() for path in paths}
    return {
        path: fingerprint(path) if file.st_size < LARGE else [file.st_size, int(file.st_mtime)]
        for path, file in found.items()
    }


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of Python, this package and `packages`, for the record of a result."""
    from convexprune import __version__

    found = {"python": sys.version.split()[0], "convexprune": __version__}
    return found | {package: metadata.version(package) for package in packages}
