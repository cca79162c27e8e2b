"""Cut and fold a fine-tuned full model to every depth: how accurate it then is."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.finetuning import folds
from convexprune.jobs import csv_files, logs
from convexprune.models import devices


def main(smk):
    logs.start_log(smk.log[0])
    table = folds.fold_layers(
        Path(smk.input.full[0]).parent,
        corpus.open_corpus(smk.input.samples),
        smk.input.dataset,
        batch_size=smk.params.speed["batch_size"],
        machine=devices.begin(smk.params.speed["gpus"], smk.threads),
    )
    names = {"model": smk.wildcards.model, "task": smk.wildcards.task, "seed": int(smk.wildcards.seed)}
    for place, (name, value) in enumerate(names.items()):
        table.insert(place, name, value)
    csv_files.write(smk.output.table, table)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
