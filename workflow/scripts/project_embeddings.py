"""Project embeddings to two dimensions."""

from convexprune.jobs import csv_files, logs
from convexprune.results import projection


def main(smk):
    logs.start_log(smk.log[0], seed=0)
    projected = projection.project_embeddings(
        smk.input.embeddings, csv_files.read(smk.input.plan), smk.threads
    )
    csv_files.write(smk.output.table, projected)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
