"""Store the convolutional features of a dataset's training and validation splits."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.finetuning import features
from convexprune.jobs import logs
from convexprune.models import devices


def main(smk):
    logs.start_log(smk.log[0])
    settings, speed = smk.params.settings, smk.params.speed
    features.cache_features(
        smk.output.cached,
        folder=Path(smk.input.weights).parent,
        recordings=corpus.open_corpus(smk.input.samples),
        dataset=smk.input.dataset,
        stored=features.Stored(settings["cache_features"], settings["seconds"], settings["padding"]),
        batch_size=speed["batch_size"],
        machine=devices.begin(speed["gpus"], smk.threads, precision=settings["precision"]),
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
