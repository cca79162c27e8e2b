"""Align the words of one split of the corpus: their phones."""

from convexprune import alignment, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    phones, failures = alignment.align_words(
        smk.input.samples, smk.input.table, threads=smk.threads, **smk.params.settings
    )
    provenance.write_csv(smk.output.phones, phones)
    provenance.write_csv(smk.output.failures, failures)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
