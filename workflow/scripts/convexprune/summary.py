"""The summary of a run: what was run and what came out, in Markdown that also reads well in a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convexprune import averages, markdown_tables

MEANS = {"pair": "over pairs", "class": "of the class means"}
CAPTIONS = {
    "figure1": "Figure 1. Convexity by layer. Look where a solid curve stops rising; a circle marks what the "
    "plan keeps.",
    "figure2": "Figure 2. Accuracy after pruning at each layer against the convexity of that layer. Points "
    "that rise to the right say that convexity foretells accuracy.",
    "figure3": "Figure 3. What each choice of layers costs: good ones lie to the left in both panels.",
    "figure4": "Figure 4. Accuracy of fine-tuned models against the convexity of their last layer.",
    "figure5": "Figure 5. Convexity of each class by layer in the pretrained models: which classes stay low?",
    "figure6": "Figure 6. Accuracy against inference time, size and multiply-adds. The front joins the "
    "models that no other beats; look how near to it the kept ones (black edge) are.",
    "figure7": "Figure 7. Training: loss and validation accuracy by step. A circle marks the weights kept.",
    "figure8": "Figure 8. Embeddings before the first layer, at the layers kept and after the last: do "
    "classes come apart? Distances between groups mean nothing.",
}


def summarise(
    *,
    title: str,
    corpus: str,
    average: str,
    splits: Mapping[str, str],
    plan: pd.DataFrame,
    table1: str,
    convexity: pd.DataFrame,
    studies: Sequence[str],
    failures: pd.DataFrame | None,
    labels: pd.DataFrame | None,
    timing: pd.DataFrame,
    took: pd.DataFrame,
    provenance: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Any]],
    versions: Mapping[str, str],
    figures: Sequence[str],
) -> str:
    """The summary as Markdown.

    title: the folder of the results; corpus: its kind in the config; average: `pair` or `class`; splits: by
    dataset the split that was scored; table1: Table 1 as Markdown; studies: more of the kind, such as the
    counts of the data; failures: recordings not aligned, labels: of the phonemes, None where nothing was
    aligned; took: time and memory by rule (`benchmarks.summarise`); provenance: of each model; metrics: of
    the full models' runs; versions: what the rest was computed with; figures: paths relative to the summary.
    The tables are those of results/README.md.
    """
    models = plan["model"].unique()
    parts = [
        f"# {title}",
        f"{counted(len(models), 'model')} on the corpus `{corpus}`, fine-tuned to "
        f"{' and to '.join(plan['task'].unique())}. `layers` is the number of transformer layers kept; the\n"
        "paper's number is one less.",
        "## Layers kept",
        layers_kept(plan),
        nested(table1),
        "## Figures",
        "\n\n".join(f"![{CAPTIONS.get(Path(figure).stem, figure)}]({figure})" for figure in figures),
        "## Convexity",
        f"The mean {MEANS[average]} ± its standard error, measured on "
        f"{', '.join(f'{name} ({split})' for name, split in splits.items())};\n"
        "`best` is of one or more layers (their number).",
        convexity_table(convexity, average),
        *map(nested, studies),
        "## Costs of this run",
        "Time and memory of the heavy jobs: minutes in all, of the longest job, of processors; peak memory.",
        costs_table(took),
        "## Left out, failed, or to be measured again",
        "\n".join(f"- {line}" for line in left_out(list(splits), plan, figures, failures, labels, timing)),
        "## Made of",
        models_table(provenance),
        made_with(metrics, versions),
    ]
    return "\n\n".join(parts) + "\n"


def nested(text: str) -> str:
    """Markdown with its headings one level lower."""
    return re.sub("^#", "##", text.strip(), flags=re.MULTILINE)


def layers_kept(plan: pd.DataFrame) -> str:
    rows = [
        (row.model, row.task, f"{row.layers} of {row.full_layers}", str(row.layers - 1), row.rule)
        for row in plan.itertuples()
    ]
    reasons = [f"- {row.model}, {row.task}: {row.reason}" for row in plan.itertuples()]
    table = markdown_tables.render(("model", "task", "keeps", "paper's number", "rule"), rows, "llrrl")
    return f"{table}\n\nWhy:\n\n" + "\n".join(reasons)


def convexity_table(convexity: pd.DataFrame, average: str) -> str:
    """A row a model, state and dataset: no layer, the best of one or more, all."""
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


def left_out(
    datasets: Sequence[str],
    plan: pd.DataFrame,
    figures: Sequence[str],
    failures: pd.DataFrame | None,
    labels: pd.DataFrame | None,
    timing: pd.DataFrame,
) -> list[str]:
    """What was skipped, what failed, and what is not to be relied on, a sentence each."""
    lines = [
        f"{name}: not in this config" for name in ("words", "speakers", "phonemes") if name not in datasets
    ]
    untrained = [name for name in ("words", "speakers") if name in datasets and name not in set(plan["task"])]
    lines += [f"{name}: no model was fine-tuned to them" for name in untrained]
    drawn = {Path(figure).stem for figure in figures}
    if missing := [caption.partition(".")[0] for name, caption in CAPTIONS.items() if name not in drawn]:
        lines.append(f"{' and '.join(missing)}: they show a sweep, which is not in this config")
    if failures is not None:
        lines.append(
            f"{counted(len(failures), 'recording')} could not be aligned"
            + (": see alignment/failures.csv" if len(failures) else "")
        )
    if labels is not None and not labels["kept"].all():
        dropped = labels[~labels["kept"]]
        names = ", ".join(dropped["label"])
        lines.append(f"{counted(len(dropped), 'rare phoneme')} ({dropped['count'].sum()} segments): {names}")
    if n := int(timing["disturbed"].eq(True).sum()):
        lines.append(
            f"{n} of {counted(len(timing), 'inference time')} measured beside other work (`disturbed` in "
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
    """The versions and devices of the training runs, each once, and the versions that made the rest."""
    trained = sorted({f"{name} {version}" for run in metrics for name, version in run["versions"].items()})
    devices = sorted({f"{run['device']}, {counted(run['threads'], 'thread')}" for run in metrics})
    rest = sorted(f"{name} {version}" for name, version in versions.items())
    return f"Trained with {', '.join(trained)};\non {'; '.join(devices)}. Summed up with {', '.join(rest)}."


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
