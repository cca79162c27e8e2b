"""Read the recordings that the user's CSV lists into a corpus."""

from convexprune.data import ingestion, splits
from convexprune.jobs import logs


def main(smk) -> None:
    logs.start_log(smk.log[0], seed=(smk.params.settings or {}).get("seed"))
    settings = smk.params.settings
    ingestion.ingest_table(
        smk.input.csv,
        smk.output.samples,
        smk.output.table,
        smk.output.fingerprint,
        drawing=splits.Drawing(**settings) if settings else None,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
