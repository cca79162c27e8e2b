"""Build the speakers dataset from the corpus."""

from convexprune.data import corpus, datasets
from convexprune.jobs import csv_files, logs


def main(smk) -> None:
    logs.start_log(smk.log[0], seed=smk.params.settings["seed"])
    dataset = datasets.build_speakers(corpus.read_table(smk.input.table), **smk.params.settings)
    csv_files.write(smk.output.dataset, dataset)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
