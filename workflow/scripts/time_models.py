"""Time a full model and its pruned one in turn: inference and a training step."""

from pathlib import Path

from convexprune.data import corpus
from convexprune.finetuning import steps
from convexprune.jobs import files, logs
from convexprune.models import devices, timing


def main(smk):
    logs.start_log(smk.log[0])
    corpus.open_corpus(smk.input.samples)
    full, pruned = (Path(paths[0]).parent for paths in (smk.input.full, smk.input.pruned))
    settings = smk.params.settings
    names = {"model": smk.wildcards.model, "task": smk.wildcards.task}
    machine = devices.begin(smk.params.speed["gpus"], settings["threads"])
    inference = timing.time_inference(
        full,
        pruned,
        names,
        layers=int(smk.wildcards.layers),
        full_layers=settings["full_layers"],
        passes=timing.Passes(**{key: settings[key] for key in ("runs", "warmup", "seconds")}),
        machine=machine,
    )
    training = steps.time_steps(
        full,
        pruned,
        smk.input.samples,
        smk.input.dataset,
        steps=settings["steps"],
        machine=machine,
    )
    files.write_json(smk.output.timing, inference | training)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
