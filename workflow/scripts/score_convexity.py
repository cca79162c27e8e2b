"""Score the convexity of every layer of one embeddings file."""

from convexprune import convexity, embeddings, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    identity = {name: getattr(smk.wildcards, name) for name in ("model", "state", "dataset")}
    fingerprint = provenance.fingerprint(smk.input.fingerprint, smk.input.dataset)
    embeddings.check_origin(smk.input.embeddings, identity | {"fingerprint": fingerprint})
    scores, classes = convexity.score_layers(
        smk.input.embeddings,
        identity=identity,
        n_neighbors=smk.params.settings["n_neighbors"],
        threads=smk.threads,
    )
    provenance.write_csv(smk.output.scores, scores)
    provenance.write_csv(smk.output.classes, classes)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
