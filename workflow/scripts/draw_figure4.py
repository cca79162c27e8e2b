"""Draw Figure 4: accuracy against the convexity of the last layer."""

import pandas as pd
from convexprune import figures, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    data, correlations = pd.read_csv(smk.input.convergence), pd.read_csv(smk.input.correlations)
    figures.save(figures.figure4(data, correlations, smk.params.settings["models"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
