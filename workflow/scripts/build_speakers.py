"""Build the speakers dataset from the corpus."""

from convexprune import corpus, datasets, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0], seed=smk.params.settings["seed"])
    dataset = datasets.build_speakers(corpus.read_table(smk.input.table), **smk.params.settings)
    provenance.write_csv(smk.output.dataset, dataset)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
