"""Fine-tune an encoder, pruned to a number of layers, for a task."""

from pathlib import Path

from convexprune import finetuning, provenance


def main(smk):
    provenance.start_log(smk.log[0], seed=int(smk.wildcards.seed))
    fine_tuned = finetuning.finetune(
        Path(smk.input.weights).parent,
        smk.input.samples,
        smk.input.dataset,
        smk.params.settings,
        {"model": smk.wildcards.model, "task": smk.wildcards.task},
        layers=int(smk.wildcards.layers),
        seed=int(smk.wildcards.seed),
        threads=smk.threads,
        gpus=smk.resources.gpu,
    )
    fine_tuned.save(Path(smk.output.weights).parent)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
