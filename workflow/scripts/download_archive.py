"""Fetch one archive of Speech Commands."""

from convexprune.data import downloads
from convexprune.jobs import logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    downloads.fetch_archive(smk.output.archive, **smk.params.settings)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
