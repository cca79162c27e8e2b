"""Draw Figure 2: accuracy after pruning against convexity."""

import pandas as pd
from convexprune import figures, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    tables = pd.read_csv(smk.input.convexity), pd.read_csv(smk.input.finetuning)
    figures.save(figures.figure2(*tables, **smk.params.settings), smk.output.pdf, smk.output.png)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
