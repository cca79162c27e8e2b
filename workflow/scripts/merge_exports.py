"""Merge the metrics of exported models into one table."""

from convexprune.finetuning import metrics
from convexprune.jobs import csv_files, logs


def main(smk):
    logs.start_log(smk.log[0])
    csv_files.write(smk.output.table, metrics.merge_exports(smk.input.metrics))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
