"""Time inference of a full model and its pruned one, in turn."""

from pathlib import Path

from convexprune import provenance, timing


def main(smk):
    provenance.start_log(smk.log[0])
    measured = timing.time_inference(
        Path(smk.input.full_weights).parent,
        Path(smk.input.pruned_weights).parent,
        smk.params.settings,
        {"model": smk.wildcards.model, "task": smk.wildcards.task},
        layers=int(smk.wildcards.layers),
        gpus=smk.resources.gpu,
    )
    provenance.write_json(smk.output.timing, measured)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
