"""Fine-tune an encoder, pruned to a number of layers, for a task."""

from pathlib import Path

from convexprune import corpus, finetuning, provenance


def main(smk):
    provenance.start_log(smk.log[0], seed=int(smk.wildcards.seed))
    corpus.check_samples(smk.input.samples, smk.input.fingerprint)
    folder = Path(smk.output.weights).parent
    fine_tuned = finetuning.finetune(
        Path(smk.input.weights).parent,
        smk.input.samples,
        smk.input.fingerprint,
        smk.input.dataset,
        smk.params.settings,
        {"model": smk.wildcards.model, "task": smk.wildcards.task},
        cached=smk.input.cached or None,
        checkpoint=folder / "checkpoint",
        layers=int(smk.wildcards.layers),
        seed=int(smk.wildcards.seed),
        threads=smk.threads,
        gpus=smk.resources.gpu,
        micro_batch_size=smk.resources.micro_batch_size,
        gradient_checkpointing=bool(smk.resources.gradient_checkpointing),
    )
    fine_tuned.save(folder)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
