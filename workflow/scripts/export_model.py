"""Export a pruned, fine-tuned model: a Hugging Face folder with a model card and an ONNX file."""

from pathlib import Path

from convexprune.jobs import logs
from convexprune.models import exporting, timing


def main(smk) -> None:
    logs.start_log(smk.log[0])
    settings = dict(smk.params.settings)
    passes = timing.Passes(*(settings.pop(name) for name in ("runs", "warmup", "seconds")))
    exporting.export(
        Path(smk.output.weights).parent,
        folder=Path(smk.input.weights).parent,
        described=exporting.Described(smk.input.base, smk.input.dataset, smk.input.timing),
        passes=passes,
        **settings,
    )


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
