"""The command line: `python -m convexprune COMMAND ...`, one function a command."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from convexprune import corpus, embeddings
from convexprune.comparison import Comparison, compare_alignments
from convexprune.convexity import Convexity, graph_convexity

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` (by default the program's own) ask for."""
    parser = argparse.ArgumentParser("convexprune", description=sys.modules["convexprune"].__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_convexity(commands)
    add_compare_alignments(commands)
    add_init(commands)
    add_prune(commands)
    add_estimate(commands)
    add_summary(commands)
    add_discard(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, RuntimeError) as error:  # torch names a missing device by a RuntimeError
        sys.exit(f"convexprune: {error}")


def add_convexity(commands: Commands) -> None:
    """The command `convexity`: graph convexity of labelled points in a file."""
    command = commands.add_parser(
        "convexity",
        help="graph convexity of labelled points",
        description="Graph convexity of labelled points: the share of the shortest paths between points of a "
        "class, in the graph of nearest neighbours, that lies inside the class.",
    )
    command.add_argument(
        "representations",
        type=Path,
        help="points: .npy of shape (points, dimensions); .npz with `representations`; or an embeddings .h5",
    )
    command.add_argument(
        "labels",
        type=Path,
        nargs="?",
        help="their labels: .npy, or .npz with `labels`; by default those in the file of the points",
    )
    command.add_argument("--neighbors", type=int, default=10, help="nearest neighbours of a point (10)")
    command.add_argument("--layer", type=int, help="the layer of an embeddings file, 0 to L")
    command.add_argument("--sources", type=int, help="score a sample of so many points of each class (all)")
    command.add_argument("--seed", type=int, default=0, help="of that sample (0)")
    command.add_argument("--threads", type=int, help="threads (all cores)")
    command.add_argument("--device", help="device of torch that searches the neighbours, such as cuda (none)")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.set_defaults(run=run_convexity)


def add_estimate(commands: Commands) -> None:
    """The command `estimate`: what a config's run will need."""
    command = commands.add_parser(
        "estimate",
        help="jobs, GPU-hours and memory of a config",
        description="Jobs, GPU-hours and memory of a whole run of a config, from what its rules ask for: "
        "GPU-hours expected on a modest GPU, and at most, where every job uses up its first time limit.",
    )
    command.add_argument("config", type=Path, help="config file, such as config.yaml")
    command.set_defaults(run=run_estimate)


def run_estimate(options: argparse.Namespace) -> None:
    from convexprune import configuration, needs

    print(needs.estimate(configuration.read_config(options.config)))


def add_summary(commands: Commands) -> None:
    """The command `summary`: what a run took."""
    command = commands.add_parser(
        "summary",
        help="time and memory by rule of a run",
        description="Time and memory by rule of a run, from what its jobs left in RESULTS/benchmarks.",
    )
    command.add_argument("results", type=Path, help="results folder, such as results/paper")
    command.set_defaults(run=run_summary)


def run_summary(options: argparse.Namespace) -> None:
    from convexprune import benchmarks

    print(
        benchmarks.as_text(benchmarks.summarise(benchmarks.read_benchmarks(options.results / "benchmarks")))
    )


def add_discard(commands: Commands) -> None:
    """The command `discard`: the first step of `make resume`."""
    command = commands.add_parser(
        "discard",
        help="delete what jobs left of which Snakemake did not see the end",
        description="Delete the outputs of jobs of which Snakemake did not see the end, in this folder, so "
        "that they run again. Only while neither Snakemake nor a job of it runs here.",
    )
    command.set_defaults(run=run_discard)


def run_discard(options: argparse.Namespace) -> None:
    from convexprune import leftovers

    for output in leftovers.discard(Path()):
        print(f"discarded, since its job was cut off: {output}")


def run_convexity(options: argparse.Namespace) -> None:
    points, labels = read_points(options.representations, options.labels, options.layer)
    result = graph_convexity(
        points,
        labels,
        options.neighbors,
        n_sources=options.sources,
        seed=options.seed,
        threads=options.threads,
        device=options.device,
    )
    print(as_json(result) if options.json else as_text(result, sampled=options.sources is not None))


def add_prune(commands: Commands) -> None:
    """The command `prune`: drop the last transformer layers of a model."""
    command = commands.add_parser(
        "prune",
        help="keep the first transformer layers of a speech model",
        description="Keep the first transformer layers of a speech encoder or audio classifier and write a "
        "Hugging Face folder. A classifier keeps its head and labels; other heads (CTC, pretraining) and "
        "Whisper's decoder are left out. Layers are counted as kept: the paper's layer 8 is --layers 9.",
    )
    command.add_argument("model", metavar="MODEL", help="a model folder, or an id of the Hugging Face hub")
    command.add_argument("output", metavar="OUT", type=Path, help="the folder to write, which must be new")
    command.add_argument("--layers", type=int, required=True, help="transformer layers kept, 0 to all")
    command.add_argument("--revision", default="main", help="of a model of the hub (main)")
    command.set_defaults(run=run_prune)


def run_prune(options: argparse.Namespace) -> None:
    from transformers.utils import logging

    from convexprune import exporting

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    pruned = exporting.export_pruned(options.output, options.model, options.layers, options.revision)
    parameters = f"{pruned.num_parameters():,} parameters"
    print(f"{options.output}: {type(pruned).__name__} of {options.layers} layers, {parameters}")


def add_compare_alignments(commands: Commands) -> None:
    """The command `compare-alignments`: boundary differences of two alignments of the same recordings."""
    command = commands.add_parser(
        "compare-alignments",
        help="boundary differences of two alignments of the same recordings",
        description="How far apart two alignments of the same recordings put the boundaries of the phones "
        "that both have. Each is a file of phones such as results/demo/alignment/phones.csv; both must come "
        "from the same corpus.",
    )
    command.add_argument("first", type=Path, help="phones: CSV with item, start, end, label, in samples")
    command.add_argument("second", type=Path, help="the same of the other aligner")
    command.set_defaults(run=run_compare_alignments)


def run_compare_alignments(options: argparse.Namespace) -> None:
    alignments = [read_phones(path) for path in (options.first, options.second)]
    print(comparison_as_text(compare_alignments(*alignments)))


def read_phones(path: Path) -> pd.DataFrame:
    """Item, start, end and label of aligned phones. ValueError says which column is missing or no number."""
    table = corpus.read_csv(path)
    if missing := [name for name in ("item", "start", "end", "label") if name not in table]:
        raise ValueError(f"{path} has no column {', '.join(missing)}: it is no file of phones")
    try:
        return table.astype({"start": int, "end": int})
    except ValueError as error:
        raise ValueError(f"{path}: start and end must be positions in samples ({error})") from error


def comparison_as_text(result: Comparison) -> str:
    first, second = result.n_phones
    lines = [
        f"{result.n_items} recordings in both, {result.n_only_first} only in the first, "
        f"{result.n_only_second} only in the second",
        f"{first} phones in the first, {second} in the second; {result.n_matched} matched, "
        f"{result.n_same_label} of them with the same label",
        "",
        f"{'boundary':14} {'count':>7} {'median':>9} {'90th perc.':>11} {'<= 20 ms':>9} {'<= 50 ms':>9}",
    ]
    lines += [
        f"{kind:14} {row['count']:7.0f} {row['median']:6.1f} ms {row['p90']:8.1f} ms "
        f"{100 * row['within_20']:7.1f} % {100 * row['within_50']:7.1f} %"
        for kind, row in result.boundaries.iterrows()
    ]
    return "\n".join(lines)


def read_points(path: Path, labels: Path | None, layer: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, D) and labels (N,) from .npy, .npz or embeddings files. ValueError says what is missing."""
    if path.suffix in (".h5", ".hdf5"):
        if layer is None:
            raise ValueError(
                f"{path} holds layers 0 to {embeddings.count_layers(path)}: choose one by --layer"
            )
        points, own_labels = embeddings.read_layer(path, layer)
        return points, own_labels if labels is None else read_array(labels, "labels")
    if layer is not None:
        raise ValueError(f"--layer chooses a layer of an embeddings file (.h5): {path} is none")
    if labels is None and path.suffix != ".npz":
        raise ValueError(f"{path} holds no labels: give a file of labels too")
    return read_array(path, "representations"), read_array(labels or path, "labels")


def read_array(path: Path, name: str) -> np.ndarray:
    """The array in a .npy file, or the one called `name` in a .npz file."""
    try:
        content = np.load(path)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a .npy or .npz file of numbers or text ({error})") from error
    if isinstance(content, np.ndarray):
        return content
    if name not in content:
        raise ValueError(f"{path} has no array called {name}, only {', '.join(content)}")
    return content[name]


def as_json(result: Convexity) -> str:
    """Every number of the result; a score that does not exist is null."""
    numbers = dataclasses.asdict(result)
    numbers["per_class"] = [
        {"label": label} | entry | {"score": None if math.isnan(entry["score"]) else entry["score"]}
        for label, entry in numbers["per_class"].items()
    ]
    return json.dumps(numbers, indent=2, default=str)


def as_text(result: Convexity, *, sampled: bool) -> str:
    lines = [
        f"convexity over pairs    {result.score:.4f} ± {result.stderr:.4f}",
        f"convexity over classes  {result.class_score:.4f} ± {result.class_stderr:.4f}",
        f"chance                  {result.pair_chance:.4f} over pairs, {result.chance:.4f} over classes",
        f"{result.n_items} points, {result.n_classes} classes, {result.n_pairs} pairs, "
        f"{result.n_unreachable} without a path",
    ]
    if sampled:
        lines.append(
            f"sampled: the scores from all sources are estimated to ± {result.sampling_stderr:.4f} and "
            f"± {result.class_sampling_stderr:.4f}"
        )
    lines += ["", f"{'class':20} {'points':>8} {'score':>8}"]
    lines += [
        f"{label!s:20} {entry.n_items:8} {entry.score:8.4f}" for label, entry in result.per_class.items()
    ]
    return "\n".join(lines)


def add_init(commands: Commands) -> None:
    """The command `init`: a config for the user's recordings."""
    command = commands.add_parser(
        "init",
        help="write a config for your own recordings",
        description="Look at recordings, say what they are, and write a commented config (and for a folder a "
        "CSV) into the current directory. Nothing is asked and nothing overwritten.",
    )
    command.add_argument(
        "source",
        type=Path,
        help="a folder of recordings, label/file.wav (label/speaker_nohash_n.wav and label/speaker/file.wav "
        "name speakers too); or a CSV with the columns path, word and, optionally, speaker and split",
    )
    command.add_argument("--name", help="of the config and its results (the folder's or CSV's)")
    command.set_defaults(run=run_init)


def run_init(options: argparse.Namespace) -> None:
    from convexprune.starter import init

    print(init(options.source, options.name))


if __name__ == "__main__":
    main()
