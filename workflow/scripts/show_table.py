"""Make a page from a table, for the report."""

from convexprune.jobs import csv_files, files, logs
from convexprune.results import pages


def main(smk):
    logs.start_log(smk.log[0])
    table = csv_files.read(smk.input.table)
    with files.atomic(smk.output.page) as temporary:
        temporary.write_text(pages.table_page(smk.params.settings["title"], table), encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
