"""Fine-tune an encoder for a task, with a given number of layers."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.finetuning import finetune
from convexprune.finetuning.recipe import Recipe
from convexprune.jobs import logs
from convexprune.models import devices
from convexprune.setup.experiment import Run


def main(smk):
    logs.start_log(smk.log[0], seed=int(smk.wildcards.seed))
    folder = Path(smk.output.weights).parent
    recipe = Recipe(**smk.params.settings)
    run = Run(smk.wildcards.model, smk.wildcards.task, int(smk.wildcards.layers), int(smk.wildcards.seed))
    fine_tuned = finetune.finetune(
        Path(smk.input.weights).parent,
        corpus.open_corpus(smk.input.samples),
        smk.input.dataset,
        recipe,
        run,
        machine=devices.begin(threads=smk.threads, precision=recipe.precision, **smk.params.speed),
        checkpoint=folder / "checkpoint",
        cached=smk.input.cached or None,
    )
    fine_tuned.save(folder)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
