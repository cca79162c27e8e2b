"""Pretrain a small encoder on the corpus' training split."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.jobs import logs
from convexprune.models import pretraining


def main(smk) -> None:
    logs.start_log(smk.log[0], seed=smk.params.settings["seed"])
    pretraining.pretrain(
        Path(smk.output.weights).parent,
        corpus.open_corpus(smk.input.samples),
        recipe=pretraining.Recipe(**smk.params.settings),
        threads=smk.threads,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
