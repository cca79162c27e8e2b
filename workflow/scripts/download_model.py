"""Download a model of the Hugging Face hub."""

from pathlib import Path

from convexprune.jobs import logs
from convexprune.models import sources


def main(smk) -> None:
    logs.start_log(smk.log[0])
    settings = smk.params.settings
    sources.download_encoder(
        Path(smk.output.weights).parent,
        model_id=settings["id"],
        revision=settings["revision"],
        layers=settings["layers"],
        seconds=settings.get("seconds"),
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
