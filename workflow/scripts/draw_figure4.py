"""Draw Figure 4: accuracy against the convexity of the last layer."""

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure4, style


def main(smk):
    provenance.start_log(smk.log[0])
    data, correlations = pd.read_csv(smk.input.convergence), pd.read_csv(smk.input.correlations)
    style.save(figure4.draw(data, correlations, smk.params.settings["models"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
