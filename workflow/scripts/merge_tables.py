"""Append tables with the same columns to one table."""

import pandas as pd
from convexprune.jobs import csv_files, logs


def main(smk):
    logs.start_log(smk.log[0])
    tables = [csv_files.read(path) for path in smk.input.tables]
    csv_files.write(smk.output.table, pd.concat(tables, ignore_index=True))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
