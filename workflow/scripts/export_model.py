"""Export a pruned, fine-tuned model: a Hugging Face folder with a model card and an ONNX file."""

from pathlib import Path

from convexprune import exporting, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    exporting.export(
        Path(smk.output.weights).parent,
        folder=Path(smk.input.weights).parent,
        base=smk.input.base,
        dataset=smk.input.dataset,
        settings=smk.params.settings,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
