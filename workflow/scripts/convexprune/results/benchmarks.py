"""The time and memory that a run took, by rule, from Snakemake's benchmark files."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from convexprune.jobs import csv_files

NUMBERS = ["s", "max_rss", "cpu_time"]


def read_benchmarks(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Every job measured below `folder` (<results>/benchmarks): rule, s, max_rss (MB), cpu_time (s).

    A job too short to be sampled has no memory and no processor time. Raises ValueError if there is no file.
    """
    folder = Path(folder)
    paths = sorted(folder.rglob("*.tsv"))
    if not paths:
        raise ValueError(f"{folder} holds no benchmark files: run the workflow first, or name its results")
    tables = [
        read_benchmark(path).assign(rule=path.relative_to(folder).parts[0].removesuffix(".tsv"))
        for path in paths
    ]
    return pd.concat(tables, ignore_index=True)[["rule", *NUMBERS]]


def read_benchmark(path: Path) -> pd.DataFrame:
    """The NUMBERS of a benchmark file: a row per job, the last one last. Values not measured are missing."""
    columns, rows = csv_files.read_rows(path, delimiter="\t")
    return pd.DataFrame(rows, columns=columns).reindex(columns=NUMBERS).apply(pd.to_numeric, errors="coerce")


def summarise(jobs: pd.DataFrame) -> pd.DataFrame:
    """By rule, the longest first: jobs; minutes in all, of the longest job and of CPUs; peak memory (MB)."""
    rules = jobs.groupby("rule")
    table = pd.DataFrame(
        {
            "jobs": rules.size(),
            "minutes": rules["s"].sum() / 60,
            "longest": rules["s"].max() / 60,
            "cpu_minutes": rules["cpu_time"].sum() / 60,
            "peak_mb": rules["max_rss"].max(),
        }
    ).sort_values("minutes", ascending=False)
    table.loc["all"] = [
        *table[["jobs", "minutes"]].sum(),
        table.longest.max(),
        table.cpu_minutes.sum(),
        table.peak_mb.max(),
    ]
    return table.astype({"jobs": int}).reset_index(names="rule")


def as_text(table: pd.DataFrame) -> str:
    headings = {"longest": "longest job", "cpu_minutes": "CPU minutes", "peak_mb": "peak MB"}
    formats = {"minutes": "{:.1f}", "longest": "{:.1f}", "cpu_minutes": "{:.1f}", "peak_mb": "{:.0f}"}
    shown = table.assign(**{name: table[name].map(form.format) for name, form in formats.items()})
    return shown.rename(columns=headings).to_string(index=False)
