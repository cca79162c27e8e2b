"""Draw Figure 6: accuracy against latency, size and multiply-adds."""

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure6, style


def main(smk):
    provenance.start_log(smk.log[0])
    names = ("finetuning", "costs", "timing", "plan")
    data = figure6.tabulate(**{name: pd.read_csv(getattr(smk.input, name)) for name in names})
    style.save(figure6.draw(data, smk.params.settings["models"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
