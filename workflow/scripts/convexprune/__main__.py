"""The command line: `python -m convexprune COMMAND ...`, with a function for each command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from convexprune.convexity import commands as convexity_commands
from convexprune.jobs import locales

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command in `arguments`, by default the program's own."""
    if arguments is None:
        locales.use_utf8()
    parser = argparse.ArgumentParser("convexprune", description=sys.modules["convexprune"].__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    convexity_commands.add_convexity(commands)
    convexity_commands.add_plan(commands)
    add_compare_alignments(commands)
    add_init(commands)
    add_prune(commands)
    add_fold(commands)
    add_estimate(commands)
    add_summary(commands)
    add_crate(commands)
    add_discard(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # of `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError as error:
        sys.exit(f"convexprune: not enough memory ({error})")
    except ModuleNotFoundError as error:  # the package alone brings what `convexity` needs
        remedy = f'`pip install "convexprune[{options.extra}]"`, or `make install` in the repository'
        sys.exit(f"convexprune: {error.name} is not installed: {remedy}")
    except (ValueError, OSError, RuntimeError) as error:  # torch lacks memory by a RuntimeError
        sys.exit(f"convexprune: {error}")


def add_estimate(commands: Commands) -> None:
    """The command `estimate`: the resources that a run of a config will need."""
    command = commands.add_parser(
        "estimate",
        help="jobs, GPU-hours and memory of a config",
        description="Jobs, GPU-hours and memory of a whole run of a config, from what its rules ask for: "
        "GPU-hours expected on a modest GPU, and at most, where every job uses up its first time limit.",
    )
    command.add_argument("config", type=Path, help="config file, such as config.yaml")
    command.set_defaults(run=run_estimate, extra="workflow")


def run_estimate(options: argparse.Namespace) -> None:
    from convexprune.setup import configuration, needs

    print(needs.estimate(configuration.read_config(options.config)))


def add_summary(commands: Commands) -> None:
    """The command `summary`: the resources that a run took."""
    command = commands.add_parser(
        "summary",
        help="time and memory by rule of a run",
        description="Time and memory by rule of a run, from what its jobs left in RESULTS/benchmarks.",
    )
    command.add_argument("results", type=Path, help="results folder, such as results/paper")
    command.set_defaults(run=run_summary, extra="results")


def run_summary(options: argparse.Namespace) -> None:
    from convexprune.results import benchmarks

    print(
        benchmarks.as_text(benchmarks.summarise(benchmarks.read_benchmarks(options.results / "benchmarks")))
    )


def add_crate(commands: Commands) -> None:
    """The command `crate`: a finished run, described for other tools."""
    command = commands.add_parser(
        "crate",
        help="describe a finished run as a Workflow Run RO-Crate",
        description="Make the results folder of a finished run a Workflow Run RO-Crate: "
        "ro-crate-metadata.json names the workflow, config, inputs and outputs with their SHA-256, versions "
        "and times, and crate/ has copies of the workflow and the config.",
    )
    command.add_argument("config", type=Path, help="the config of the run, such as config.yaml")
    command.add_argument("--agent", metavar="NAME", help="who ran it (not stated)")
    command.add_argument("--orcid", metavar="URL", default="", help="of the agent: https://orcid.org/...")
    command.add_argument("--licence", metavar="URL", default="", help="of the results (not stated)")
    command.set_defaults(run=run_crate, extra="workflow")


def run_crate(options: argparse.Namespace) -> None:
    from convexprune.results import crate
    from convexprune.setup import configuration

    if options.orcid and not options.agent:
        raise ValueError("--orcid needs --agent: whose it is")
    agent = crate.Agent(options.agent, options.orcid) if options.agent else None
    config = configuration.read_config(options.config)
    print(crate.write_crate(config, options.config, agent, options.licence))


def add_discard(commands: Commands) -> None:
    """The command `discard`: the first step of `make resume`."""
    command = commands.add_parser(
        "discard",
        help="delete the outputs of jobs that were running when Snakemake was killed",
        description="Delete the outputs of jobs in this folder that were running when Snakemake was killed. "
        "They run again. Refused while Snakemake or one of its jobs runs here.",
    )
    command.set_defaults(run=run_discard, extra="workflow")


def run_discard(options: argparse.Namespace) -> None:
    from convexprune.setup import leftovers

    for output in leftovers.discard(Path()):
        print(f"discarded, since its job was cut off: {output}")


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
    command.set_defaults(run=run_prune, extra="models")


def run_prune(options: argparse.Namespace) -> None:
    from convexprune.models import exporting

    pruned = exporting.export_pruned(options.output, options.model, options.layers, options.revision)
    parameters = f"{pruned.num_parameters():,} parameters"
    print(f"{options.output}: {type(pruned).__name__} of {options.layers} layers, {parameters}")


def add_fold(commands: Commands) -> None:
    """The command `fold`: drop the last layers of a classifier, without training."""
    command = commands.add_parser(
        "fold",
        help="cut a fine-tuned classifier to fewer layers, without training",
        description="Keep the first transformer layers of a fine-tuned audio classifier, compute a projector "
        "that makes up for the others, and write a Hugging Face folder. Takes recordings like those that the "
        "model is for; labels are not needed. Prints accuracies (without labels: agreement with the full "
        "model) of every number of layers, cut only and folded.",
    )
    command.add_argument("model", metavar="MODEL", help="a model folder, or an id of the Hugging Face hub")
    command.add_argument("output", metavar="OUT", type=Path, help="the folder to write, which must be new")
    kept = command.add_mutually_exclusive_group(required=True)
    kept.add_argument("--layers", type=int, help="transformer layers kept, 0 to all")
    kept.add_argument(
        "--within",
        type=float,
        metavar="POINTS",
        help="keep the fewest layers that lose at most so many percentage points on the validation split",
    )
    command.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="CSV",
        help="recordings: a CSV with the column path and, optionally, labels, speaker and split",
    )
    command.add_argument("--label", help="the column of labels (word, if there is one)")
    command.add_argument(
        "--seconds",
        type=float,
        help="length of a clip (that of the model's training, or of 95 %% of the recordings)",
    )
    command.add_argument(
        "--padding",
        choices=("zeros", "mask"),
        help="of shorter clips, as `clips.padding` in a config (that of the model's training, or zeros)",
    )
    command.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (all)")
    command.add_argument("--revision", default="main", help="of a model of the hub (main)")
    command.set_defaults(run=run_fold, extra="models")


def run_fold(options: argparse.Namespace) -> None:
    from convexprune.finetuning import folded
    from convexprune.models import devices

    asked = folded.Asked(options.layers, options.within or 0, options.label, options.seconds, options.padding)
    machine = devices.begin(min(1, devices.count_gpus()), options.threads)
    exported = folded.export_folded(
        options.output, options.model, options.data, asked, machine, options.revision
    )
    print(folded.as_text(options.output, exported))


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
    command.set_defaults(run=run_compare_alignments, extra="alignment")


def run_compare_alignments(options: argparse.Namespace) -> None:
    from convexprune.alignment import comparison

    alignments = [comparison.read_phones(path) for path in (options.first, options.second)]
    print(comparison.as_text(comparison.compare_alignments(*alignments)))


def add_init(commands: Commands) -> None:
    """The command `init`: a config for the user's recordings."""
    command = commands.add_parser(
        "init",
        help="write a config for your own recordings",
        description="Look at recordings, say what they are, and write a commented config into the current "
        "directory, and a CSV for a folder or with --unseen-speakers. Nothing is asked, nothing overwritten.",
    )
    command.add_argument(
        "source",
        type=Path,
        help="a folder of recordings, label/file.wav (label/speaker_nohash_n.wav and label/speaker/file.wav "
        "name speakers too); or a CSV with the columns path, one or more labels (word, emotion, ...) and, "
        "optionally, speaker and split",
    )
    command.add_argument("--name", help="of the config and its results (the folder's or CSV's)")
    command.add_argument("--model", help="folder of a model, or its id on the hub (facebook/wav2vec2-base)")
    command.add_argument(
        "--tasks",
        default="",
        help="what to fine-tune for, with commas between: words, other columns of labels of a CSV, speakers "
        "(all that are possible)",
    )
    command.add_argument(
        "--unseen-speakers",
        action="store_true",
        help="draw the splits by speaker (nobody in validation or test is in train), as the run does by "
        "default where three speakers are known, and write them into a CSV; an error if that cannot be",
    )
    command.add_argument(
        "--pattern",
        default="",
        help="what the fields of the file names are: label, speaker, and n for any other, as in "
        "label_speaker_n for 0_nicolas_3.wav (recognised where it is clear)",
    )
    command.set_defaults(run=run_init, extra="workflow")


def run_init(options: argparse.Namespace) -> None:
    from convexprune.setup.init import init

    asked = {"tasks": options.tasks, "unseen_speakers": options.unseen_speakers, "pattern": options.pattern}
    print(init(options.source, options.name, options.model, **asked))


if __name__ == "__main__":
    main()
