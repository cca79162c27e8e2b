"""Copy a model from a local folder."""

from pathlib import Path

from convexprune.jobs import logs
from convexprune.models import sources


def main(smk) -> None:
    logs.start_log(smk.log[0])
    sources.import_encoder(Path(smk.output.weights).parent, **smk.params.settings)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
