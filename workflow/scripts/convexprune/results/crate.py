"""A finished run as a Workflow Run RO-Crate 0.5: what ran, on what, who ran it, and what came of it.

The results folder becomes the crate. `ro-crate-metadata.json` describes its files to other tools; `crate/`
gets copies of the workflow, the config and the table of recordings. So the folder can be deposited as it is.
"""

from __future__ import annotations

import mimetypes
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from convexprune.jobs import files
from convexprune.jobs.provenance import fingerprint

Entity: TypeAlias = dict[str, Any]

ROOT = Path(__file__).resolve().parents[4]  # the repository
COPIED = ["Snakefile", "LICENSE", "CITATION.cff", "pyproject.toml", "requirements.lock", "envs", "workflow"]
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
MIT = "https://spdx.org/licenses/MIT"
# Parameters of the workflow: what they are, and for outputs which files.
INPUTS = {
    "config": "The config of the run",
    "recordings": "The table or archives of recordings",
    "encoders": "Weights of the encoders, as imported",
}
OUTPUTS = {
    "tables": ("Tables and texts; README of the repository's folder results describes columns", ["*.*"]),
    "data": ("Datasets, and the SHA-256 of the corpus", ["datasets/*.*", "corpus/corpus.sha256"]),
    "figures": ("Figures and the numbers that they show", ["figures/*.*"]),
    "models": ("Pruned, fine-tuned models", ["exported/**/*.*"]),
    "pretrained": ("Weights of the encoders that the run itself pretrained", []),
}
METADATA = "ro-crate-metadata.json"
LOG_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) ", re.MULTILINE)


@dataclass(frozen=True)
class Agent:
    """Who ran it: a name, and an ORCID as a URL if there is one."""

    name: str
    orcid: str = ""

    def describe(self) -> Entity:
        identity = self.orcid or f"#{quote(self.name)}"
        return {"@id": identity, "@type": "Person", "name": self.name}


def write_crate(config: Mapping[str, Any], config_path: Path, agent: Agent | None, licence: str) -> Path:
    """Make the results folder of a finished run a crate; return the path of its metadata.

    `config` is complete, `config_path` the file as the user wrote it, `licence` the URL of the licence of the
    results, or empty. Raises ValueError if the run is not finished, or the ORCID or licence is no URL.
    """
    folder = Path(config["pathvars"]["results"])
    if not (folder / "summary.md").exists():
        raise ValueError(f"{folder} has no summary.md: run the workflow with {config_path} to its end first")
    for given in (licence, agent.orcid if agent else ""):
        if given and not re.match(r"https?://\S+$", given):
            raise ValueError(f"{given!r} is not a URL (https://...)")
    copy_workflow(folder / "crate", config, config_path)
    graph = describe(config, config_path, agent, licence)
    files.write_json(folder / METADATA, {"@context": CONTEXT, "@graph": graph})
    return folder / METADATA


def copy_workflow(folder: Path, config: Mapping[str, Any], config_path: Path) -> None:
    """Copy the workflow, the config and the table of recordings into `folder`, in place of older copies."""
    shutil.rmtree(folder, ignore_errors=True)
    with files.atomic_folder(folder) as temporary:
        for name in filter(lambda name: (ROOT / name).exists(), COPIED):
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
                shutil.copytree(ROOT / name, temporary / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, temporary / name)
        (temporary / "inputs").mkdir()
        for path in [config_path, *find_table(config)]:
            shutil.copy(path, temporary / "inputs" / path.name)


def find_table(config: Mapping[str, Any]) -> list[Path]:
    """The user's table of recordings, if the corpus is one."""
    return [Path(config["corpus"]["table"]["csv"])] if "table" in config["corpus"] else []


def describe(config: Mapping[str, Any], config_path: Path, agent: Agent | None, licence: str) -> list[Entity]:
    """The graph of a crate whose folder has all its files already."""
    folder = Path(config["pathvars"]["results"])
    started, ended, versions = read_logs(folder / "logs")
    inputs = {
        "config": [describe_file(folder, folder / "crate/inputs" / config_path.name)],
        "recordings": [*describe_recordings(config, folder)],
        "encoders": [*describe_encoders(config, folder, imported=True)],
    }
    outputs = {name: find_outputs(folder, patterns) for name, (_, patterns) in OUTPUTS.items()}
    outputs["pretrained"] = [*describe_encoders(config, folder, imported=False)]
    kinds = INPUTS | {name: text for name, (text, _) in OUTPUTS.items()}
    made = {name: entities for name, entities in (inputs | outputs).items() if entities}
    parameters = [describe_parameter(name, kinds[name], of_name) for name, of_name in made.items()]
    for name, entities in made.items():
        for entity in entities:
            entity["exampleOfWork"] = refer(f"#{name}")
    data = [entity for entities in made.values() for entity in entities]
    software = [*describe_software(versions)]
    workflow = {
        "@id": "crate/Snakefile",
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "conformsTo": refer("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"),
        "name": "convexprune",
        "description": "Convexity-guided pruning of the layers of speech encoders",
        "version": versions["convexprune"],
        "encodingFormat": "text/plain",
        "programmingLanguage": refer(SNAKEMAKE),
        "license": refer(MIT),
        "softwareRequirements": refer(*(entity["@id"] for entity in software)),
        "input": refer(*(f"#{name}" for name in inputs if name in made)),
        "output": refer(*(f"#{name}" for name in outputs if name in made)),
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of convexprune with {config_path.name}",
        "description": "All jobs of the workflow, from the first that began to the last that ended",
        "instrument": refer("crate/Snakefile"),
        "object": refer(*(entity["@id"] for name in inputs for entity in made.get(name, []))),
        "result": refer(*(entity["@id"] for name in outputs for entity in made.get(name, []))),
        "startTime": started,
        "endTime": ended,
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    people = [agent.describe()] if agent else []
    if people:
        run["agent"] = refer(people[0]["@id"])
    parts = [*data, workflow, {"@id": "crate/"}]
    return [
        *describe_root(config_path.stem, parts, people, licence, ended),
        workflow,
        {"@id": "crate/", "@type": "Dataset", "name": "The workflow and its inputs, copied"},
        run,
        *parameters,
        *data,
        *software,
        *people,
        *describe_context(),
    ]


def describe_root(
    name: str, parts: Iterable[Entity], people: list[Entity], licence: str, ended: str
) -> list[Entity]:
    """The metadata file and the crate itself."""
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"convexprune: {name}",
        "description": "Speech encoders pruned by convexity: the workflow, a run of it, and its results",
        "datePublished": ended,
        "license": refer(licence or "#licence"),
        "conformsTo": refer(*PROFILES),
        "mainEntity": refer("crate/Snakefile"),
        "mentions": refer("#run"),
        "hasPart": refer(*(part["@id"] for part in parts)),
        "author": refer(*(person["@id"] for person in people)),
    }
    return [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": refer("./"),
            "conformsTo": refer("https://w3id.org/ro/crate/1.1", [*PROFILES][-1]),
        },
        {key: value for key, value in root.items() if value},
        {"@id": licence, "@type": "CreativeWork", "name": "Licence of the results"}
        if licence
        else {
            "@id": "#licence",
            "@type": "CreativeWork",
            "name": "Not stated",
            "description": "Whoever made this run has stated no licence of its results.",
        },
    ]


def describe_context() -> Iterator[Entity]:
    """What the others refer to by URL."""
    for identity, name in PROFILES.items():
        version = identity.rpartition("/")[2]
        yield {"@id": identity, "@type": "CreativeWork", "name": name, "version": version}
    yield {"@id": MIT, "@type": "CreativeWork", "name": "MIT License", "identifier": MIT}
    yield {
        "@id": SNAKEMAKE,
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": refer("https://doi.org/10.1093/bioinformatics/bts480"),
        "url": refer("https://snakemake.readthedocs.io"),
    }


def describe_software(versions: Mapping[str, str]) -> Iterator[Entity]:
    """Python and its packages; two versions of one, if jobs differed."""
    for name, found in versions.items():
        for version in found.split(", "):
            package = f"https://pypi.org/project/{name}/{version}/"
            address = f"https://www.python.org/downloads/release/python-{version.replace('.', '')}/"
            identity = address if name == "python" else package
            yield {
                "@id": identity,
                "@type": "SoftwareApplication",
                "name": name,
                "url": identity,
                "softwareVersion": version,
            }


def describe_file(folder: Path, path: Path) -> Entity:
    """A file of the crate, with size and SHA-256."""
    kind = mimetypes.guess_type(path.name)[0]
    return {
        "@id": quote(path.relative_to(folder).as_posix()),
        "@type": "File",
        "name": path.name,
        "contentSize": str(path.stat().st_size),
        "sha256": fingerprint(path),
        "encodingFormat": kind or "application/octet-stream",
    }


def describe_parameter(name: str, description: str, examples: Iterable[Entity]) -> Entity:
    """An input or output of the workflow, of which `examples` are those of this run."""
    return {
        "@id": f"#{name}",
        "@type": "FormalParameter",
        "conformsTo": refer("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"),
        "additionalType": "File",
        "name": name,
        "description": description,
        "workExample": refer(*(entity["@id"] for entity in examples)),
    }


def describe_recordings(config: Mapping[str, Any], folder: Path) -> Iterator[Entity]:
    """The user's table, or the archives where they were downloaded; synthetic speech has neither."""
    for path in find_table(config):
        yield describe_file(folder, folder / "crate/inputs" / path.name)
    for name, archive in config["corpus"].get("speech_commands", {}).items():
        if isinstance(archive, dict):
            recorded = Path(config["pathvars"]["resources"]) / f"speech_commands/{name}.tar.gz.sha256"
            known = recorded.read_text(encoding="utf-8").split()[0] if recorded.exists() else ""
            entity = {"@id": archive["url"], "@type": "File", "name": f"{name}.tar.gz"}
            found = known or archive.get("sha256")
            yield entity | ({"sha256": found} if found else {}) | {"encodingFormat": "application/gzip"}


def describe_encoders(config: Mapping[str, Any], folder: Path, *, imported: bool) -> Iterator[Entity]:
    """Weights of the encoders that the run was given (`imported`), or pretrained itself."""
    for name, model in config["models"].items():
        if (model["source"] != "pretrain") == imported:
            entity = describe_file(folder, folder / f"models/{name}/model.safetensors")
            entity |= {"name": name, "description": f"Weights of {name}"}
            if model["source"] == "hub":
                origin = f"https://huggingface.co/{model['id']}/tree/{model['revision']}"
                entity["isBasedOn"] = refer(origin)
            yield entity


def find_outputs(folder: Path, patterns: Iterable[str]) -> list[Entity]:
    """The files of the results that match, in order, without the metadata of the crate and what is hidden."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    kept = [path for path in sorted(found) if path.name != METADATA and not path.name.startswith(".")]
    return [describe_file(folder, path) for path in kept]


def read_logs(folder: Path) -> tuple[str, str, dict[str, str]]:
    """When the first job began and the last one ended (ISO 8601), and the versions that jobs logged.

    If jobs had different versions of a package, both are named. Raises ValueError if there are no logs.
    """
    times: list[str] = []
    versions: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        times += LOG_TIME.findall(text)
        first = text.partition("\n")[0].partition(": ")[2]
        for name, version in re.findall(r"([\w-]+) (\d[^\s,]*)(?:,|$)", first):
            if version not in versions.setdefault(name, []):
                versions[name].append(version)
    if not times or "convexprune" not in versions:
        raise ValueError(f"{folder} has no logs of jobs: the crate takes times and versions from them")
    began, ended = (
        datetime.fromisoformat(time).astimezone().isoformat() for time in (min(times), max(times))
    )
    return began, ended, {name: ", ".join(found) for name, found in sorted(versions.items())}


def refer(*identities: str) -> Any:
    """References to entities, as RO-Crate writes them: one stands alone, more are a list."""
    references = [{"@id": identity} for identity in identities]
    return references[0] if len(references) == 1 else references
