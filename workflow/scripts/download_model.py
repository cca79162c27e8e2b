"""Download a model of the Hugging Face hub."""

from pathlib import Path

from convexprune import provenance, sources


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    sources.download_encoder(Path(smk.output.weights).parent, smk.params.settings)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
