"""Merge the alignments of all shards."""

from convexprune.alignment import shards
from convexprune.jobs import csv_files, logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    phones, failures = shards.merge_shards(
        smk.input.phones, smk.input.failures, smk.input.table, **smk.params.settings
    )
    csv_files.write(smk.output.phones, phones)
    csv_files.write(smk.output.failures, failures)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
