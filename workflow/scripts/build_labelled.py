"""Build a dataset of all recordings that have a label, such as words."""

from convexprune.data import corpus, datasets
from convexprune.jobs import csv_files, logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    table = corpus.read_table(smk.input.table)
    dataset = datasets.build_labelled(smk.wildcards.dataset, table, smk.params.settings["label"])
    csv_files.write(smk.output.dataset, dataset)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
