"""Fold a fine-tuned full model to the layers that a training starts from."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.finetuning import folds
from convexprune.jobs import logs
from convexprune.models import devices


def main(smk):
    logs.start_log(smk.log[0])
    folds.fold_model(
        Path(smk.output.weights).parent,
        Path(smk.input.full[0]).parent,
        corpus.open_corpus(smk.input.samples),
        smk.input.dataset,
        layers=int(smk.wildcards.layers),
        batch_size=smk.params.speed["batch_size"],
        machine=devices.begin(smk.params.speed["gpus"], smk.threads),
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
