"""Draw Figure 1: convexity by layer."""

import pandas as pd
from convexprune import figures, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    settings = smk.params.settings
    tables = pd.read_csv(smk.input.convexity), pd.read_csv(smk.input.plan)
    data = figures.figure1_data(*tables, settings["models"], settings["average"])
    figures.save(figures.figure1(data, settings["models"], settings["sizes"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
