"""Write Table 1 as CSV, Markdown and LaTeX."""

import pandas as pd
from convexprune import provenance, tables


def main(smk):
    provenance.start_log(smk.log[0])
    sources = {name: pd.read_csv(getattr(smk.input, name)) for name in tables.NEEDED}
    table = tables.table1(**sources, **smk.params.settings)
    provenance.write_csv(smk.output.csv, table)
    for path, text in (
        (smk.output.markdown, tables.markdown(table)),
        (smk.output.latex, tables.latex(table)),
    ):
        with provenance.atomic(path) as temporary:
            temporary.write_text(text)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
