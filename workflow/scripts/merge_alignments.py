"""Merge the alignments of all shards; too many failures end the workflow here."""

from convexprune import alignment, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    phones, failures = alignment.merge_shards(
        smk.input.phones, smk.input.failures, smk.input.table, **smk.params.settings
    )
    provenance.write_csv(smk.output.phones, phones)
    provenance.write_csv(smk.output.failures, failures)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
