"""Pretrain a small encoder on the corpus' training split."""

from pathlib import Path

from convexprune import corpus, pretraining, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0], seed=smk.params.settings["seed"])
    corpus.check_samples(smk.input.samples, smk.input.fingerprint)
    pretraining.pretrain(
        Path(smk.output.weights).parent,
        samples=smk.input.samples,
        table=smk.input.table,
        settings=smk.params.settings,
        threads=smk.threads,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
