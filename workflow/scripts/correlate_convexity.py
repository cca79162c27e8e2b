"""Rank correlations of convexity and accuracy, and where fine-tuned convexity stops rising."""

import pandas as pd
from convexprune import correlation, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    settings = smk.params.settings
    finetuning, convexity = pd.read_csv(smk.input.finetuning), pd.read_csv(smk.input.convexity)
    probes = pd.concat([pd.read_csv(path) for path in smk.input.probes]) if smk.input.probes else None
    convergence = correlation.study_convergence(
        finetuning, convexity, settings["average"], settings["tolerance"], settings["seed"]
    )
    provenance.write_csv(smk.output.convergence, convergence)
    correlations = correlation.correlate(
        finetuning, convexity, probes, convergence, settings["models"], settings["average"]
    )
    provenance.write_csv(smk.output.correlations, correlations)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
