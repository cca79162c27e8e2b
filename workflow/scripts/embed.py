"""Embed one dataset with one state of a model."""

from pathlib import Path

from convexprune import corpus, extraction, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0], seed=smk.params.settings["seed"])
    corpus.check_samples(smk.input.samples, smk.input.fingerprint)
    extraction.embed(
        smk.output.embeddings,
        folder=Path(smk.input.weights).parent,
        trace=smk.input.trace,
        samples=smk.input.samples,
        fingerprint=smk.input.fingerprint,
        dataset=smk.input.dataset,
        table=smk.input.table,
        identity={name: getattr(smk.wildcards, name) for name in ("model", "state", "dataset")},
        settings=smk.params.settings,
        batch_size=smk.resources.batch_size,
        threads=smk.threads,
        gpus=smk.resources.gpu,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
