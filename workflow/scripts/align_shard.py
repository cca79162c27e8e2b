"""Align one shard of the words of a split of the corpus: their phones."""

from pathlib import Path

from convexprune import alignment, corpus, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    corpus.check_samples(smk.input.samples, smk.input.fingerprint)
    settings = smk.params.settings
    phones, failures = alignment.align_shard(
        smk.input.samples,
        smk.input.table,
        settings=settings,
        shard=int(smk.wildcards.shard),
        shards=int(smk.wildcards.shards),
        store=Path(smk.resources.store) / settings["aligner"],
        service={name: getattr(smk.resources, name) for name in ("contact", "max_requests", "timeout")},
        threads=smk.threads,
    )
    provenance.write_csv(smk.output.phones, phones)
    provenance.write_csv(smk.output.failures, failures)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
