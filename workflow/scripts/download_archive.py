"""Fetch one archive of Speech Commands."""

from convexprune import downloads, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    downloads.fetch_archive(smk.output.archive, **smk.params.settings)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
