"""Make the two archives of a synthetic Speech Commands."""

from convexprune.data import synthesis
from convexprune.jobs import logs


def main(smk) -> None:
    logs.start_log(smk.log[0], seed=smk.params.settings["seed"])
    synthesis.synthesise(
        train_path=smk.output.train, test_path=smk.output.test, threads=smk.threads, **smk.params.settings
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
