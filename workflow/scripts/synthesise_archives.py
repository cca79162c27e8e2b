"""Speak a synthetic Speech Commands into its two archives."""

from convexprune import provenance, synthesis


def main(smk) -> None:
    provenance.start_log(smk.log[0], seed=smk.params.settings["seed"])
    synthesis.synthesise(
        train_path=smk.output.train, test_path=smk.output.test, threads=smk.threads, **smk.params.settings
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
