"""Draw Figure 2: accuracy after pruning against convexity."""

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure2, style


def main(smk):
    provenance.start_log(smk.log[0])
    settings = smk.params.settings
    tables = pd.read_csv(smk.input.convexity), pd.read_csv(smk.input.finetuning)
    data = figure2.tabulate(*tables, settings["swept"], settings["task"], settings["average"])
    style.save(figure2.draw(data, settings["models"], settings["task"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
