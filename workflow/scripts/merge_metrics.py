"""Merge metrics files into one table."""

from convexprune import metrics, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    provenance.write_csv(smk.output.table, metrics.merge_metrics(smk.input.metrics))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
