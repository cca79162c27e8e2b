"""Find the phones of the words in one shard of a split of the corpus."""

from pathlib import Path

from convexprune.alignment import shards
from convexprune.data import corpus
from convexprune.jobs import csv_files, logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    settings = dict(smk.params.settings)
    name, split = settings.pop("aligner"), settings.pop("split")
    store = Path(smk.params.store["folder"]) / name
    phones, failures = shards.align_shard(
        corpus.open_corpus(smk.input.samples),
        split,
        shards.make_aligner(name, store, **settings, **smk.params.service),
        store=store,
        shard=int(smk.wildcards.shard),
        shards=int(smk.wildcards.shards),
        threads=smk.threads,
    )
    csv_files.write(smk.output.phones, phones)
    csv_files.write(smk.output.failures, failures)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
