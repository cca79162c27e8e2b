"""Draw Figure 3: what each choice of layers costs."""

import pandas as pd
from convexprune import figures, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    choices = pd.read_csv(smk.input.choices)
    figures.save(figures.figure3(choices, smk.params.settings["models"]), choices, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
