"""Probe every layer of a pretrained model's embeddings with a linear classifier."""

from pathlib import Path

from convexprune.convexity import embeddings
from convexprune.jobs import csv_files, logs, provenance
from convexprune.results import probing


def main(smk):
    logs.start_log(smk.log[0])
    task = smk.wildcards.task
    origin = {"model": smk.wildcards.model, "state": "pretrained", "dataset": Path(smk.input.embeddings).stem}
    origin["fingerprint"] = provenance.fingerprint(smk.input.fingerprint, smk.input.embedded)
    embeddings.check_origin(smk.input.embeddings, origin)
    probed = probing.probe_layers(smk.input.embeddings, smk.input.dataset, task, smk.threads)
    probed.insert(0, "model", smk.wildcards.model)
    probed.insert(1, "task", task)
    csv_files.write(smk.output.table, probed)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
