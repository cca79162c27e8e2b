"""Read the archives of Speech Commands into a corpus."""

from convexprune.data import ingestion
from convexprune.jobs import logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    ingestion.ingest_archives(
        smk.input.train,
        smk.input.test or None,
        smk.output.samples,
        smk.output.table,
        smk.output.fingerprint,
        **smk.params.settings,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
