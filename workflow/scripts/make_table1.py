"""Write Table 1 as CSV, Markdown and LaTeX."""

import pandas as pd
from convexprune import provenance, tables


def main(smk):
    provenance.start_log(smk.log[0])
    inputs = (pd.read_csv(path) for path in (smk.input.finetuning, smk.input.timing, smk.input.plan))
    table = tables.table1(*inputs, models=smk.params.settings["models"])
    provenance.write_csv(smk.output.csv, table)
    for path, text in (
        (smk.output.markdown, tables.markdown(table)),
        (smk.output.latex, tables.latex(table)),
    ):
        with provenance.atomic(path) as temporary:
            temporary.write_text(text)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
