"""Project embeddings to two dimensions."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.jobs import csv_files, logs
from convexprune.results import projection


def main(smk):
    logs.start_log(smk.log[0], seed=0)
    datasets = [(Path(path).stem, corpus.read_dataset(path)) for path in smk.input.datasets]
    plan = csv_files.read(smk.input.plan)
    projected = projection.project_embeddings(smk.input.embeddings, datasets, plan, smk.threads)
    csv_files.write(smk.output.table, projected)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
