"""Make a page of a table, for the report."""

import pandas as pd
from convexprune import pages, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    table = pd.read_csv(smk.input.table)
    with provenance.atomic(smk.output.page) as temporary:
        temporary.write_text(pages.table_page(smk.params.settings["title"], table))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
