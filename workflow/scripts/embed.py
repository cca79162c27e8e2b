"""Embed one dataset with one state of a model."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.jobs import logs
from convexprune.models import devices, extraction


def main(smk) -> None:
    logs.start_log(smk.log[0], seed=smk.params.settings["seed"])
    extraction.embed(
        smk.output.embeddings,
        folder=Path(smk.input.weights).parent,
        recordings=corpus.open_corpus(smk.input.samples),
        dataset=smk.input.dataset,
        identity={name: getattr(smk.wildcards, name) for name in ("model", "state", "dataset")},
        choice=extraction.Choice(**smk.params.settings),
        batch_size=smk.params.speed["batch_size"],
        machine=devices.begin(smk.params.speed["gpus"], smk.threads),
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
