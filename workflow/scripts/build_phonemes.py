"""Build the phonemes dataset from the aligned phones."""

from convexprune import corpus, datasets, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    phones = corpus.read_dataset(smk.input.phones)
    dataset, labels = datasets.build_phonemes(phones, **smk.params.settings)
    provenance.write_csv(smk.output.labels, labels)
    provenance.write_csv(smk.output.dataset, dataset)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
