"""Build the words dataset from the corpus."""

from convexprune.data import corpus, datasets
from convexprune.jobs import csv_files, logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    dataset = datasets.build_words(corpus.read_table(smk.input.table))
    csv_files.write(smk.output.dataset, dataset)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
