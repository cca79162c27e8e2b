"""Score the convexity of every layer of one embeddings file."""

from pathlib import Path

from convexprune.convexity import embeddings, layers
from convexprune.jobs import csv_files, logs, provenance


def main(smk):
    logs.start_log(smk.log[0])
    identity = {name: getattr(smk.wildcards, name) for name in ("model", "state", "dataset")}
    embedded = {"dataset": Path(smk.input.embeddings).stem}
    embedded["fingerprint"] = provenance.fingerprint(smk.input.fingerprint, smk.input.embedded)
    embeddings.check_origin(smk.input.embeddings, identity | embedded)
    scored = layers.score_layers(
        smk.input.embeddings,
        csv_files.read(smk.input.dataset),
        identity=identity,
        n_neighbors=smk.params.settings["n_neighbors"],
        threads=smk.threads,
    )
    csv_files.write(smk.output.scores, scored.scores)
    csv_files.write(smk.output.classes, scored.classes)
    csv_files.write(smk.output.covariances, scored.covariances)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
