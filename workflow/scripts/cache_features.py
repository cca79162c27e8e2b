"""Store the convolutional features of a dataset's training and validation splits."""

from pathlib import Path

from convexprune import corpus, features, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    corpus.check_samples(smk.input.samples, smk.input.fingerprint)
    features.cache_features(
        smk.output.cached,
        folder=Path(smk.input.weights).parent,
        samples=smk.input.samples,
        fingerprint=smk.input.fingerprint,
        dataset=smk.input.dataset,
        settings=smk.params.settings,
        batch_size=smk.resources.batch_size,
        threads=smk.threads,
        gpus=smk.resources.gpu,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
