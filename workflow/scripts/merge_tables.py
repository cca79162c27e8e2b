"""Put tables with the same columns under each other."""

import pandas as pd
from convexprune import provenance


def main(smk):
    provenance.start_log(smk.log[0])
    tables = [pd.read_csv(path) for path in smk.input.tables]
    provenance.write_csv(smk.output.table, pd.concat(tables, ignore_index=True))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
