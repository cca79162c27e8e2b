"""Score every layer of a pretrained model's embeddings by every criterion for choosing layers."""

from pathlib import Path

from convexprune.convexity import averages, embeddings
from convexprune.criteria import scoring
from convexprune.jobs import csv_files, logs, provenance


def main(smk):
    logs.start_log(smk.log[0])
    settings = smk.params.settings
    identity = {"model": smk.wildcards.model, "state": "pretrained", "dataset": smk.wildcards.dataset}
    embedded = {"dataset": Path(smk.input.embeddings).stem}
    embedded["fingerprint"] = provenance.fingerprint(smk.input.fingerprint, smk.input.embedded)
    embeddings.check_origin(smk.input.embeddings, identity | embedded)
    columns = averages.COLUMNS[settings["average"]].score, averages.ACROSS[settings["average"]]
    convexity = csv_files.read(smk.input.convexity).set_index("layers")[[*columns]]
    convexity.columns = scoring.CONVEXITIES
    criteria, similarities = scoring.score_layers(
        smk.input.embeddings,
        csv_files.read(smk.input.dataset),
        convexity,
        identity=identity,
        n_neighbors=settings["n_neighbors"],
        threads=smk.threads,
    )
    csv_files.write(smk.output.criteria, criteria)
    csv_files.write(smk.output.similarities, similarities)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
