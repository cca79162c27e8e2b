"""Draw Figure 2: accuracy after pruning against convexity."""

import pandas as pd
from convexprune import figures, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    settings = smk.params.settings
    tables = pd.read_csv(smk.input.convexity), pd.read_csv(smk.input.finetuning)
    data = figures.figure2_data(*tables, settings["swept"], settings["task"], settings["average"])
    figures.save(figures.figure2(data, settings["models"], settings["task"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
