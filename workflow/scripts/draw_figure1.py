"""Draw Figure 1: convexity by layer."""

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure1, style


def main(smk):
    provenance.start_log(smk.log[0])
    settings = smk.params.settings
    tables = pd.read_csv(smk.input.convexity), pd.read_csv(smk.input.plan)
    data = figure1.tabulate(*tables, settings["models"], settings["average"])
    style.save(figure1.draw(data, settings["models"], settings["sizes"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
