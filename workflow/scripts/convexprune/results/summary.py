"""The summary of a run: its settings and results, in Markdown that also reads well in a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from convexprune.convexity import averages
from convexprune.jobs import csv_files
from convexprune.results import markdown_tables
from convexprune.results.markdown_tables import fill, item

ANSWER, LAYERS = "## What to use", "## Layers kept"
MEANS = {"pair": "over pairs", "class": "of the class means"}


@dataclass(frozen=True)
class Alignment:
    """The outcome of aligning the phonemes.

    Attributes:
        failures: recordings that could not be aligned.
        labels: of the phonemes, with `count` and `kept`.
        refusal: why there are no results of phonemes; empty if there are.
    """

    failures: pd.DataFrame
    labels: pd.DataFrame
    refusal: str


def read_alignment(failures: str, labels: str, refusal: str) -> Alignment:
    """The Alignment in the files of the workflow."""
    text = Path(refusal).read_text(encoding="utf-8")
    return Alignment(csv_files.read(failures), csv_files.read(labels), text)


@dataclass(frozen=True)
class Experiment:
    """The settings of the run.

    Attributes:
        title: the folder of the results.
        corpus: its kind in the config. For `table`, one's own recordings, the paper's numbers are left out.
        average: `pair` or `class`.
        splits: by dataset, the split that was scored.
        figures: captions by name; the first sentence is the title.
        not_drawn: by name, why a figure was not drawn.
    """

    title: str
    corpus: str
    average: str
    splits: Mapping[str, str]
    figures: Mapping[str, str]
    not_drawn: Mapping[str, str]


@dataclass(frozen=True)
class Findings:
    """The results: the tables of results/README.md.

    Attributes:
        answer: what to use, as Markdown (`answer.answer`).
        table1: Table 1 as Markdown.
        studies: further texts in Markdown, such as the counts of the data.
        alignment: None if nothing was aligned.
    """

    plan: pd.DataFrame
    convexity: pd.DataFrame
    timing: pd.DataFrame
    answer: str
    table1: str
    studies: Sequence[str]
    alignment: Alignment | None


@dataclass(frozen=True)
class Origins:
    """The origins of the results, and the time and memory they took.

    Attributes:
        models: provenance.json of each.
        runs: metrics.json of the full models' runs.
        versions: of the libraries that computed everything else.
        took: time and memory by rule (`benchmarks.summarise`).
    """

    models: Mapping[str, Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    took: pd.DataFrame


def summarise(experiment: Experiment, findings: Findings, origins: Origins) -> str:
    """The summary as Markdown."""
    plan, splits = findings.plan, experiment.splits
    models = plan["model"].unique()
    own_data = experiment.corpus == "table"
    parts = [
        f"# {experiment.title}",
        fill(
            f"{counted(len(models), 'model')} on the corpus `{experiment.corpus}`, fine-tuned to "
            f"{' and to '.join(plan['task'].unique())}. `layers` is the number of transformer layers kept"
            + ("." if own_data else "; the paper's number is one less.")
        ),
        ANSWER,
        findings.answer,
        LAYERS,
        layers_kept(plan, own_data),
        nested(findings.table1),
        "## Figures",
        "\n\n".join(
            f"![{caption}](figures/{name}.png)"
            for name, caption in experiment.figures.items()
            if name not in experiment.not_drawn
        ),
        "## Convexity",
        fill(
            f"The mean {MEANS[experiment.average]} ± its standard error, measured on "
            f"{', '.join(f'{name} ({split})' for name, split in splits.items())}; "
            "`best` is of one or more layers (their number)."
        ),
        convexity_table(findings.convexity, experiment.average),
        *map(nested, findings.studies),
        "## Costs of this run",
        "Time and memory of the heavy jobs: minutes in all, of the longest job, of CPUs; peak memory.",
        costs_table(origins.took),
        "## Left out, failed, or to be measured again",
        "\n".join(map(item, left_out(experiment, findings))),
        "## Made of",
        models_table(origins.models),
        made_with(origins.runs, origins.versions),
    ]
    return "\n\n".join(parts) + "\n"


def shorten(summary: str) -> str:
    """What a run prints at its end: the tables of layers and Table 1, the verdict, then the answer."""
    sections = re.split("^(?=## )", summary, flags=re.MULTILINE)
    lines: list[str] = []
    for section in sections:
        judged = section.startswith("## Does convexity")
        if judged or section.startswith((LAYERS, "## Table 1")):
            shown = section.partition("\n### ")[0] if judged else section  # not the choices by task
            for block in shown.split("\n\n"):
                if block.startswith("|"):
                    lines += markdown_tables.narrow(block)
                elif block.startswith("#") or (judged and not block.startswith("- ")):
                    lines += ["", block]
    answer = "".join(section for section in sections if section.startswith(ANSWER))
    return "\n\n".join(["\n".join(lines).strip(), answer.strip()]).strip()


def nested(text: str) -> str:
    """Markdown with its headings one level lower."""
    return re.sub("^#", "##", text.strip(), flags=re.MULTILINE)


def layers_kept(plan: pd.DataFrame, own_data: bool) -> str:
    headings, sides = ["model", "task", "keeps", "rule"], "llrl"
    rows = [
        [row.model, row.task, f"{row.layers} of {row.full_layers}", row.rule] for row in plan.itertuples()
    ]
    if not own_data:
        headings.append("paper's number")
        rows = [[*row, layers - 1] for row, layers in zip(rows, plan["layers"], strict=True)]
    reasons = [item(f"{row.model}, {row.task}: {row.reason}") for row in plan.itertuples()]
    return f"{markdown_tables.render(headings, rows, sides)}\n\nWhy:\n\n" + "\n".join(reasons)


def convexity_table(convexity: pd.DataFrame, average: str) -> str:
    """A row per model, state and dataset: at 0 layers, at the best of one or more, and at all layers."""
    score, stderr, chance = averages.COLUMNS[average]

    def shown(row: pd.Series) -> str:
        return f"{row[score]:.3f} ± {row[stderr]:.3f}"

    rows = []
    for (model, dataset, state), group in convexity.groupby(["model", "dataset", "state"], sort=False):
        scores = group.set_index("layers").sort_index()
        best = scores[score].loc[1:].idxmax()
        rows.append(
            (
                *(model, dataset, state, f"{scores[chance].iloc[0]:.3f}", shown(scores.iloc[0])),
                *(f"{shown(scores.loc[best])} ({best})", shown(scores.iloc[-1])),
            )
        )
    return markdown_tables.render(
        ("model", "dataset", "state", "chance", "0 layers", "best", "all layers"), rows, "lll"
    )


def costs_table(took: pd.DataFrame) -> str:
    rows = [
        (
            row.rule,
            row.jobs,
            *(f"{value:.1f}" for value in (row.minutes, row.longest, row.cpu_minutes)),
            f"{row.peak_mb:.0f}",
        )
        for row in took.itertuples()
    ]
    return markdown_tables.render(("rule", "jobs", "minutes", "longest", "CPU minutes", "peak MB"), rows)


def left_out(experiment: Experiment, findings: Findings) -> list[str]:
    """A sentence for each thing that was skipped, that failed, or that cannot be relied on."""
    datasets, alignment, timing = experiment.splits, findings.alignment, findings.timing
    expected = () if experiment.corpus == "table" else ("words", "speakers", "phonemes")
    lines = [f"{name}: not in this config" for name in expected if name not in datasets]
    trained = {*findings.plan["task"], "phonemes"}
    untrained = [name for name in datasets if name not in trained]
    lines += [f"{name}: no model was fine-tuned to them" for name in untrained]
    for name, reason in experiment.not_drawn.items():
        lines.append(f"{experiment.figures[name].partition('.')[0]}: the figure {reason}")
    if alignment and alignment.refusal:
        lines.append(f"phonemes: {alignment.refusal}")
    if alignment:
        lines.append(
            f"{counted(len(alignment.failures), 'recording')} could not be aligned"
            + (": see alignment/failures.csv" if len(alignment.failures) else "")
        )
    if alignment and not alignment.labels["kept"].all():
        dropped = alignment.labels[~alignment.labels["kept"]]
        names = ", ".join(dropped["label"])
        lines.append(f"{counted(len(dropped), 'rare phoneme')} ({dropped['count'].sum()} segments): {names}")
    for measured, mark in (("inference time", "disturbed"), ("training step", "step_disturbed")):
        if n := int(timing[mark].eq(True).sum()):
            lines.append(
                f"{n} of {counted(len(timing), measured)} measured beside other work (`{mark}` in "
                "timing.csv): measure again before you quote them"
            )
    return lines or ["nothing"]


def models_table(provenance: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            *(name, entry["source"], entry["id"] or "", (entry["revision"] or "")[:12]),
            *(entry["licence"] or "unknown", entry["fingerprint"][:12]),
        )
        for name, entry in provenance.items()
    ]
    return markdown_tables.render(
        ("model", "source", "id", "revision", "licence", "SHA-256 of weights"), rows, "llllll"
    )


def made_with(metrics: Sequence[Mapping[str, Any]], versions: Mapping[str, str]) -> str:
    """The versions and devices of the training runs, each once, and the versions behind the other results."""
    trained = sorted({f"{name} {version}" for run in metrics for name, version in run["versions"].items()})
    devices = sorted({f"{run['device']}, {counted(run['threads'], 'thread')}" for run in metrics})
    rest = sorted(f"{name} {version}" for name, version in versions.items())
    return fill(
        f"Trained with {', '.join(trained)}; on {'; '.join(devices)}. Summed up with {', '.join(rest)}."
    )


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
