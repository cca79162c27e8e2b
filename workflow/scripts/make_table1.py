"""Write Table 1 as CSV, Markdown and LaTeX."""

from convexprune.jobs import csv_files, files, logs
from convexprune.results import table1, table1_text


def main(smk):
    logs.start_log(smk.log[0])
    sources = {name: csv_files.read(getattr(smk.input, name)) for name in table1.NEEDED}
    asked = table1.Asked(**smk.params.settings)
    table = table1.table1(**sources, asked=asked)
    csv_files.write(smk.output.csv, table)
    for path, text in (
        (smk.output.markdown, table1_text.markdown(table, asked)),
        (smk.output.latex, table1_text.latex(table, asked)),
    ):
        with files.atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
