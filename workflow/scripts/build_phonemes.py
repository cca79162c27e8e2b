"""Build the phonemes dataset from the aligned phones."""

from convexprune import corpus, datasets, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    dataset = datasets.build_phonemes(corpus.read_dataset(smk.input.phones), **smk.params.settings)
    provenance.write_csv(smk.output.dataset, dataset)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
