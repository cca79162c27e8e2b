"""Draw Figure 3: what each choice of layers costs."""

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure3, style


def main(smk):
    provenance.start_log(smk.log[0])
    choices = pd.read_csv(smk.input.choices)
    style.save(figure3.draw(choices, smk.params.settings["models"]), choices, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
