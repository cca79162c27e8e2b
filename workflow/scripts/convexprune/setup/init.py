"""The command `init`: a commented config for a user's recordings."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from convexprune.data.recordings import is_text
from convexprune.jobs import csv_files, files, messages
from convexprune.setup import configuration, file_names, model_files, needs, schema
from convexprune.setup.findings import MIN_SPEAKER_FILES, SEED, Survey, count_scored, describe
from convexprune.setup.survey import survey

# The folder of the Snakefile. An installed library may lack it.
WORKFLOW = Path(__file__).resolve().parents[4]


def init(
    source: Path,
    name: str | None = None,
    model: str | None = None,
    *,
    tasks: str = "",
    unseen_speakers: bool = False,
    pattern: str = "",
) -> str:
    """Write `NAME.yaml`, and perhaps `NAME.csv`, into the current directory; return the text to print.

    The default NAME is that of the folder or CSV. `model` is a folder or an id of the Hugging Face hub.
    `tasks` has commas between them; by default all that the recordings are enough for. `unseen_speakers`
    writes splits into the table in which validation and test have other speakers than train; without it, the
    run draws such splits where three speakers are known. `pattern` says what the fields
    of a folder's file names are. NAME.csv is written for a folder, and with `unseen_speakers`.

    Raises ValueError before it writes anything, if there is nothing to work with, a file would be
    overwritten, a run would refuse the config because of a path or the model, or this is not the repository.
    """
    schema.validator()  # outside the repository it refuses
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"--name {name}: use letters, digits, '.', '_' and '-' only, the first a letter or digit"
        )
    if pattern:
        file_names.compile_pattern(pattern)
    if not source.exists():
        raise ValueError(f"{source} does not exist: give a folder of recordings or a CSV that lists them")
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", source.resolve().stem).strip("-.") or "mine"
    config, csv = Path(f"{name}.yaml"), Path(f"{name}.csv")
    writes_csv = source.is_dir() or unseen_speakers
    for path in (csv, config) if writes_csv else (config,):
        if path.resolve() == source.resolve():
            raise ValueError(f"{path} is the table itself: choose another --name for the one with splits")
        if path.exists():
            raise ValueError(
                f"{path} exists already and is left as it is: choose another --name, or delete it"
            )
    listed = str(csv if writes_csv else nearby(source))
    if not is_text(listed) or set(listed) & set("{}<>"):
        raise ValueError(
            f"the path {listed!r} has one of {{}}<>, which mean something to Snakemake, or a character that "
            "is not text: run init in the folder of the file, or rename it"
        )
    described = describe_model(model)
    found = survey(source, pattern, tasks=tasks, unseen_speakers=unseen_speakers)
    written = [f"{config}  the config; its comments say what can be changed"]
    if writes_csv:
        folder = source if source.is_dir() else source.parent
        paths = [as_listed(folder / path) for path in found.table["path"]]
        csv_files.write(csv, found.table.assign(path=paths))
        written.append(f"{csv}  your recordings, a row each")
    text = make_config(found, name, listed, described, count_gpus())
    with files.atomic(config) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return "\n".join(
        [
            *(describe(found), "", "Wrote", *(f"  {line}" for line in written)),
            *("", "Next", *estimate(config), f"  {command(name)}"),
        ]
    )


def estimate(config: Path) -> list[str]:
    """A line that says how long a run of the config takes; none if it cannot run yet, as `describe` says."""
    try:
        return [f"  {needs.estimate_here(configuration.read_config(config))}"]
    except configuration.ConfigError:
        return []


@dataclass(frozen=True)
class Model:
    """A model of the config: its name, the lines that say where it is, and its number of layers."""

    name: str
    source: Sequence[str]
    layers: int

    def as_yaml(self, task: str) -> str:
        """Its entry, with a comment that keeps layers for a `task`."""
        keep = f"keep: {{{plain(task)}: {max(1, 3 * self.layers // 4)}}}"
        lines = [
            *self.source,
            f"layers: {self.layers}",
            f"# {keep}  # keep so many layers, whatever `plan` would say",
        ]
        return "\n".join([f"  {self.name}:", *(f"    {line}" for line in lines)])


DEFAULT = Model(
    "wav2vec2-base",
    [
        "source: hub  # downloaded once, 0.4 GB",
        "id: facebook/wav2vec2-base",
        "revision: 0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
    ],
    12,
)


def describe_model(given: str | None) -> Model:
    """The `given` model: a folder, or an id of the hub at its newest commit; DEFAULT if none is given."""
    if not given:
        return DEFAULT
    folder = Path(given)
    if folder.is_dir():
        if problems := list(model_files.find_problems(folder)):
            raise ValueError(f"--model {given}: {'; '.join(problems)}")
        source = ["source: path", f"path: {quoted(str(nearby(folder)))}"]
        layers = model_files.read_layers(folder)
    else:
        commit, layers = ask_hub(given)
        source = ["source: hub", f"id: {quoted(given)}", f"revision: {commit}"]
    if layers is None:
        raise ValueError(f"--model {given}: its config.json does not say how many layers it has")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:60]
    return Model(quoted(f"my-{name}" if name in ("", "average", "all") else name), source, layers)


def ask_hub(model_id: str) -> tuple[str, int | None]:
    """The newest commit of a model of the hub, and its number of layers."""
    from huggingface_hub import HfApi, hf_hub_download

    try:
        commit = HfApi().model_info(model_id).sha or "main"
        with tempfile.TemporaryDirectory() as scratch:
            hf_hub_download(model_id, "config.json", revision=commit, local_dir=scratch)
            return commit, model_files.read_layers(Path(scratch))
    except Exception as error:  # the client has errors of many types
        told = f"no such folder here, and the hub does not give it: {messages.reason(error)}"
        raise ValueError(f"--model {model_id}: {told}") from error


def as_listed(path: Path) -> str:
    """`path` for a CSV: as `nearby` gives it, or absolute if the reader would strip spaces at its ends."""
    near = str(nearby(path))
    return near if near == near.strip() else os.path.abspath(path)


def nearby(path: Path) -> Path:
    """`path` relative to the current directory if it lies in it, else absolute."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute


def command(name: str) -> str:
    """The command that runs the config in this folder, with the Snakemake beside this Python if it exists."""
    program, snakefile = Path(sys.executable).with_name("snakemake"), WORKFLOW / "Snakefile"
    words = [str(nearby(program)) if program.exists() else "snakemake"]
    if snakefile.exists() and Path.cwd().resolve() != WORKFLOW:
        words += ["--snakefile", str(nearby(snakefile))]
    return shlex.join([*words, "--cores", "all", "--configfile", f"{name}.yaml"])


def count_gpus() -> int:
    """The number of GPUs of this machine that NVIDIA's driver lists; 0 without the driver."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True, encoding="utf-8"
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def quoted(text: str) -> str:
    """Any `text` as a YAML string on one line."""
    return yaml.safe_dump(text, allow_unicode=True, default_style='"', width=math.inf).rstrip("\n")


def plain(text: str) -> str:
    """Any `text` for YAML, without quotes if it is the same text there."""
    simple = re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", text) and text == text.strip()
    return text if simple and yaml.safe_load(text) == text else quoted(text)


def make_config(found: Survey, name: str, csv: str, model: Model, gpus: int) -> str:
    """A commented config for the recordings in `csv` and one `model`, full and pruned."""
    batch_size, most, epochs = (32, 5000, 30) if gpus else (8, 600, 10)
    steps = min(most, 100 * math.ceil(epochs * found.count("train") / batch_size / 100))
    points = []  # convexity is measured on these
    if found.label_tasks:
        points.append(count_scored(found))
    if "speakers" in found.tasks:
        points.append(int(found.frequent_speakers.sum() * (1 - found.share) * found.share))
    neighbors = max(1, min(10, min(points) // 5))
    rates = [
        f"    {plain(task)}: {{full: {rate}, pruned: {rate}}}"
        for task in found.tasks
        for rate in ["7.0e-5" if task == "speakers" else "5.0e-5"]
    ]

    return f"""\
# A smaller model for {name}. Run it, in this folder, by
#   {command(name)}
# Every key and its default: workflow/schemas/config.schema.yaml. A key that is not known there is refused.

# Everything that is computed goes here. Look at summary.md first.
pathvars:
  results: results/{name}

gpus: {gpus}  # jobs that may use a GPU at once on this machine; 0 runs everything on the CPU
threads: {min(4, os.cpu_count() or 1)}  # of each heavy job, and of the timed models

{chr(10).join(make_corpus(found, csv))}

{chr(10).join(make_datasets(found))}

# What the full and the pruned model are fine-tuned for.
tasks: [{", ".join(map(plain, found.tasks))}]

# The models of the paper are in config.yaml: copy more from there. Two other sources:
#   my-encoder: {{source: path, path: models/my-encoder, layers: 12}}  # a Hugging Face folder on this disk
#   small: {{source: pretrain, layers: 6, pretrain: {{objective: hubert}}}}  # trained on these recordings
models:
{model.as_yaml(found.tasks[0])}

# The pruned model keeps the fewest layers whose convexity is at most `tolerance` below the best layer's.
plan:
  rule: tolerance
  tolerance: 0.05

convexity:
  n_neighbors: {neighbors}{"" if neighbors == 10 else "  # the paper's 10 are too many for so few recordings"}

# A short recipe for a {"GPU" if gpus else "CPU"}; it stops where five evaluations in a row bring nothing.
# For a final model raise max_steps: the paper's recipe, in config.yaml, has 18000 steps of 32 recordings.
# To be done sooner lower max_steps and timing.runs (300): `make estimate CONFIG={name}.yaml` says the time.
finetuning:
  batch_size: {batch_size}
  max_steps: {steps}
  eval_steps: {steps // 10}
  patience: 5
  learning_rate:
{chr(10).join(rates)}
"""


def make_corpus(found: Survey, csv: str) -> list[str]:
    """The lines of the config on the recordings in `csv`, their splits and the length of clips."""
    lines = ["corpus:", "  table:", f"    csv: {quoted(csv)}"]
    if "split" in found.table:
        lines[-1] += "  # its column `split` says what is for train, validation and test"
    else:
        if found.split_by:
            lines.append(f"    split_by: {found.split_by}  # nobody in validation or test is in train")
        lines += [
            f"    validation_share: {found.share}  # drawn by the seed, spread over the labels",
            f"    test_share: {found.share}",
            f"    seed: {SEED}",
        ]
    if found.clip != 1:
        told = "# 95 % of the recordings are no longer; of longer ones the start is used"
        lines += ["", "clips:", f"  seconds: {found.clip:g}  {told}"]
        lines += ["  padding: mask  # shorter recordings are heard without padding, and take less time"]
    return lines


def make_datasets(found: Survey) -> list[str]:
    """The lines of the config on the datasets of the tasks."""
    lines = ["# What convexity is measured on, layer by layer."]
    if found.scored_split == "train":
        lines[0] += " The split validation has too few speakers for it."
    if "word" in found.table:
        lines[0] += " English words can be cut into phonemes too:"
        share = "up to 5 % of the recordings may fail to align: max_failed_share"
        lines.append(f"#   phonemes: {{min_count: 100}}  # {share}")
    lines.append("datasets:")
    for name in found.label_tasks:
        column = found.labels[name]
        keys = [] if (name, column) == ("words", "word") else [f"label: {plain(column)}"]
        keys += ["convexity_split: train"] if found.scored_split == "train" else []
        lines.append(f"  {plain(name)}: {{{', '.join(keys)}}}")
    if "speakers" in found.tasks:
        lines += [
            "  speakers:  # in splits of their own of the training recordings",
            f"    min_files: {MIN_SPEAKER_FILES}  # a speaker needs more training recordings than this",
            f"    validation_share: {found.share}",
            f"    test_share: {found.share}",
        ]
    return lines
