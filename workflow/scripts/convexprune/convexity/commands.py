"""The commands on arrays: `convexity` scores the layers of a file, `plan` chooses one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convexprune.convexity.score import Convexity


def add_convexity(commands: Any) -> None:
    """The command `convexity`: graph convexity of labelled points in a file."""
    command = commands.add_parser(
        "convexity",
        help="graph convexity of labelled points",
        description="Graph convexity of labelled points: the share of the shortest paths between points of a "
        "class, in the graph of nearest neighbours, that lies inside the class.",
    )
    add_file(
        command, "or (layers, points, dimensions) as in the embeddings of the workflow: every layer is scored"
    )
    command.add_argument(
        "--across", action="store_true", help="only pairs of points of different groups count"
    )
    command.add_argument("--layer", type=int, help="score this layer alone, from 0 (all)")
    command.add_argument("--n-sources", type=int, help="score a sample of so many points of each class (all)")
    command.add_argument("--random-state", type=int, default=0, help="seed of that sample (0)")
    command.add_argument("--classes", action="store_true", help="print the score of each class too")
    command.add_argument("--json", action="store_true", help="print every number as JSON")
    command.set_defaults(run=run_convexity, extra="convexity")


def add_plan(commands: Any) -> None:
    """The command `plan`: how many layers to keep, by the convexity of each."""
    command = commands.add_parser(
        "plan",
        help="how many layers to keep, and how sure that is",
        description="How many layers to keep by the convexity of labelled points at each, by which rule, and "
        "what other recordings would make of it.",
    )
    add_file(command, "as (layers, points, dimensions): the embeddings of the workflow, for one")
    command.add_argument(
        "--rule",
        choices=["significant", "tolerance", "highest"],
        default="significant",
        help="of plan.rule in a config (significant)",
    )
    command.add_argument(
        "--alpha", type=float, default=0.05, help="error of `significant`, over all layers (0.05)"
    )
    command.add_argument("--margin", type=float, default=0.01, help="loss that `significant` ignores (0.01)")
    command.add_argument("--tolerance", type=float, default=0.05, help="loss that `tolerance` accepts (0.05)")
    command.add_argument(
        "--average", choices=["pair", "class"], default="pair", help="mean over pairs, or classes (pair)"
    )
    command.add_argument(
        "--how-many", action="store_true", help="how many recordings would make the choice sure (at 90 %%)"
    )
    command.set_defaults(run=run_plan, extra="convexity")


def add_file(command: argparse.ArgumentParser, layers: str) -> None:
    """The options that say what is scored."""
    command.add_argument(
        "file", type=Path, help=f".npy, .npz or .h5 with an array (points, dimensions), {layers}"
    )
    command.add_argument(
        "--labels",
        metavar="NAME or FILE",
        help="the labels: an array of that file, or another file (.npy, .npz, .h5, or text with a label on "
        "each line); by default the array `labels`, or the only one of such a shape",
    )
    command.add_argument(
        "--groups",
        metavar="NAME or FILE",
        help="groups of points that are not independent, such as speakers, given like labels: errors are "
        "those of other groups (each point for itself)",
    )
    command.add_argument(
        "--representations",
        metavar="NAME",
        help="the array; by default `representations`, `hidden_states`, or the only one of such a shape",
    )
    command.add_argument("--n-neighbors", type=int, default=10, help="nearest neighbours of a point (10)")
    command.add_argument("--n-jobs", type=int, default=-1, help="threads; -1, all cores (-1)")


def run_convexity(options: argparse.Namespace) -> None:
    from convexprune.convexity import reports

    if options.across and not options.groups:
        raise ValueError("--across needs --groups: which points belong together")
    given = {name: getattr(options, name) for name in ("across", "n_sources", "random_state")}
    scores = score_file(options, options.layer, **given)
    if options.json:
        print(reports.as_json(scores))
        return
    print(reports.as_text(scores))
    if options.classes:
        print(f"\n{reports.classes_as_text(scores)}")


def run_plan(options: argparse.Namespace) -> None:
    import numpy as np

    from convexprune.convexity import averages, comparison, planning, reports, stability

    results = score_file(options, None)
    if len(results) < 3:
        raise ValueError(
            f"{options.file} holds no layers to choose from: give an array (layers, points, dimensions)"
        )
    columns = [*averages.COLUMNS]
    covariance = comparison.find_covariances([*results.values()])[columns.index(options.average)][1:, 1:]
    values = np.array([getattr(it, averages.COLUMNS[options.average].score) for it in results.values()])[1:]
    freedom = comparison.find_freedom([*results.values()])[columns.index(options.average)][1:, 1:]
    scores = stability.Scores(values, covariance, stability.pool_freedom(freedom))
    n_groups = results[0].n_groups
    choice = {name: getattr(options, name) for name in ("rule", "alpha", "margin", "tolerance")}
    layers, _, reason = planning.choose(scores, choice, "the labels")
    print(reports.as_text(results))
    print(f"\nKeep {layers} of {len(values)} layers. {reason}{planning.warn_of_few(n_groups)}")
    if options.how_many:
        times = stability.find_needed(scores, planning.RULES[options.rule].make(choice))
        print(reports.tell_needed(times, results[0].n_items, n_groups))


def score_file(options: argparse.Namespace, layer: int | None, **given: Any) -> dict[int, Convexity]:
    """The scores of the layers of a file, or of one `layer`."""
    from convexprune.convexity import arrays
    from convexprune.convexity.score import graph_convexity
    from convexprune.jobs.progress import Progress

    with arrays.open_layers(options.file, options.representations, options.labels, options.groups) as layers:
        numbers = arrays.choose_layers(options.file, layers, layer)
        try:
            return {
                number: graph_convexity(
                    layers.read(number),
                    layers.labels,
                    options.n_neighbors,
                    groups=layers.groups,
                    n_jobs=options.n_jobs,
                    **given,
                )
                for number in Progress(numbers, desc=options.file.name, unit="layer")
            }
        except ValueError as error:
            raise ValueError(f"{options.file}: {error}") from error
