"""Writes envs/*.yaml for `make lock`: what pyproject.toml asks for, in the versions of requirements.lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
# An environment is the package's own needs and those of the extra of its name.
ENVIRONMENTS = {
    "convexity": "Convexity and plan.",
    "corpus": "Corpus and datasets.",
    "alignment": "Forced alignment.",
    "models": "Encoders: pretraining, embeddings, fine-tuning and timing share one, since torch is 5 GB.",
    "results": "Tables, figures, summary, and the linear probe.",
}


def read_pins(root: Path = ROOT) -> dict[str, str]:
    """The version of every package of requirements.lock; of one with two, that of newer Pythons."""
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", lock, flags=re.MULTILINE))


def find_needs(extras: set[str], root: Path = ROOT) -> set[str]:
    """What the package needs with these extras, as pyproject.toml says it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {*project["dependencies"]}
    for extra in extras:
        for need in project["optional-dependencies"][extra]:
            requirement = Requirement(need)
            own = requirement.name == project["name"]
            found |= find_needs(requirement.extras, root) if own else {need}
    return found


def write(name: str, pins: dict[str, str]) -> str:
    """The file envs/`name`.yaml."""
    needs = sorted(Requirement(need).name.replace("_", "-") for need in find_needs({name}))
    head = f"# {ENVIRONMENTS[name]} Written by `make lock`.\nchannels:\n  - conda-forge\n  - nodefaults\n"
    lines = [f"      - {need}=={pins[need]}\n" for need in needs]
    return f"{head}dependencies:\n  - python=3.11\n  - pip\n  - pip:\n{''.join(lines)}"


if __name__ == "__main__":
    for environment in ENVIRONMENTS:
        text = write(environment, read_pins())
        (ROOT / f"envs/{environment}.yaml").write_text(text, encoding="utf-8")
