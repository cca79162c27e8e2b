"""The command `init`: a commented config for a user's recordings."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from convexprune import provenance
from convexprune.recordings import COLUMNS
from convexprune.survey import MIN_SPEAKER_FILES, SEED, Survey, describe, survey

# The folder where the workflow runs, unless the library is installed without it.
WORKFLOW = Path(__file__).resolve().parents[3]


def init(source: Path, name: str | None = None) -> str:
    """Write `NAME.yaml` (and for a folder `NAME.csv`) into the current directory; returns what to print.

    NAME is by default that of the folder or CSV. Raises ValueError, before writing, if there is nothing to
    work with or a file would be overwritten.
    """
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"--name {name}: use letters, digits, '.', '_' and '-' only, the first a letter or digit"
        )
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", source.resolve().stem).strip("-.") or "mine"
    config, csv = Path(f"{name}.yaml"), Path(f"{name}.csv")
    for path in (config, csv) if source.is_dir() else (config,):
        if path.exists():
            raise ValueError(
                f"{path} exists already and is left as it is: choose another --name, or delete it"
            )
    found = survey(source)
    written = [f"{config}  the config; its comments say what can be changed"]
    if source.is_dir():
        table = found.table[[column for column in COLUMNS if column in found.table]]
        provenance.write_csv(csv, table.assign(path=[str(nearby(source / path)) for path in table["path"]]))
        written.append(f"{csv}  your recordings, a row each")
    text = make_config(found, name, as_seen(csv if source.is_dir() else source), count_gpus())
    with provenance.atomic(config) as temporary:
        temporary.write_text(text)
    return "\n".join(
        [describe(found), "", "Wrote", *(f"  {line}" for line in written), "", "Next", f"  {command(name)}"]
    )


def nearby(path: Path) -> Path:
    """`path` relative to the current directory if it lies in it, else absolute."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute


def elsewhere() -> bool:
    """Whether the current directory is not the workflow's, where Snakemake must be started."""
    return (WORKFLOW / "Snakefile").exists() and Path.cwd().resolve() != WORKFLOW


def as_seen(path: Path) -> Path:
    """`path` as Snakemake finds it from the workflow's folder."""
    return Path(os.path.abspath(path)) if elsewhere() else nearby(path)


def command(name: str) -> str:
    """What runs the config, by the Snakemake beside this Python, as in `.venv/bin`."""
    snakemake = Path(sys.executable).with_name("snakemake")
    program = str(as_seen(snakemake)) if snakemake.exists() else "snakemake"
    run = shlex.join([program, "--cores", "all", "--configfile", str(as_seen(Path(f"{name}.yaml")))])
    return f"cd {shlex.quote(str(WORKFLOW))} && {run}" if elsewhere() else run


def count_gpus() -> int:
    """GPUs of this machine, as NVIDIA's driver lists them; 0 without it."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def make_config(found: Survey, name: str, csv: Path, gpus: int) -> str:
    """A commented config for the recordings in `csv`: one model of the paper's list, full and pruned."""
    speakers = "speakers" in found.tasks
    batch_size, most, epochs = (32, 5000, 30) if gpus else (8, 600, 10)
    steps = min(most, 100 * math.ceil(epochs * found.count("train") / batch_size / 100))
    points = found.count("validation")  # of which convexity is measured
    if speakers:
        points = min(points, int(found.frequent_speakers.sum() * (1 - found.share) * found.share))
    neighbors = max(1, min(10, points // 5))

    corpus = ["corpus:", "  table:", f"    csv: {json.dumps(str(csv), ensure_ascii=False)}"]
    if "split" in found.table:
        corpus[-1] += "  # its column `split` says what is for train, validation and test"
    else:
        corpus += [
            f"    validation_share: {found.share}  # drawn by the seed, evenly over the labels",
            f"    test_share: {found.share}",
            f"    seed: {SEED}",
        ]
    datasets = [
        "# What convexity is measured on, layer by layer. English words can be cut into phonemes too:",
        "#   phonemes: {min_count: 100}",
        "datasets:",
        "  words: {}",
    ]
    rates = ["    words: {full: 5.0e-5, pruned: 5.0e-5}"]
    if speakers:
        datasets += [
            "  speakers:",
            f"    min_files: {MIN_SPEAKER_FILES}  # a speaker needs more training recordings than this",
            f"    validation_share: {found.share}",
            f"    test_share: {found.share}",
        ]
        rates += ["    speakers: {full: 7.0e-5, pruned: 7.0e-5}"]

    return f"""\
# A smaller model for {name}. Run it, from the folder of the workflow, by
#   {command(name)}
# Every key and its default: workflow/schemas/config.schema.yaml. A key that is not known there is refused.

# Everything that is computed goes here. Look at summary.md first.
pathvars:
  results: results/{name}

gpus: {gpus}  # jobs that may use a GPU at once on this machine; 0 runs everything on the CPU
threads: {min(4, os.cpu_count() or 1)}  # of each heavy job, and of the timed models

{chr(10).join(corpus)}

{chr(10).join(datasets)}

# What the full and the pruned model are fine-tuned for.
tasks: [{", ".join(found.tasks)}]

# The models of the paper are in config.yaml: copy more from there. Two other sources:
#   my-encoder: {{source: path, path: models/my-encoder, layers: 12}}  # a Hugging Face folder on this disk
#   small: {{source: pretrain, layers: 6, pretrain: {{objective: hubert}}}}  # trained on these recordings
models:
  wav2vec2-base:
    source: hub  # downloaded once, 0.4 GB
    id: facebook/wav2vec2-base
    revision: 0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8
    layers: 12
    # keep: {{words: 9}}  # keep so many layers, whatever `plan` would say

# The pruned model keeps the fewest layers whose convexity is at most `tolerance` below the best layer's.
plan:
  rule: tolerance
  tolerance: 0.05

convexity:
  n_neighbors: {neighbors}{"" if neighbors == 10 else "  # the paper's 10 are too many for so few recordings"}

# A short recipe for a {"GPU" if gpus else "CPU"}; it stops where five evaluations in a row bring nothing.
# For a final model raise max_steps: the paper's recipe, in config.yaml, has 18000 steps of 32 recordings.
finetuning:
  batch_size: {batch_size}
  max_steps: {steps}
  eval_steps: {steps // 10}
  patience: 5
  learning_rate:
{chr(10).join(rates)}
"""
