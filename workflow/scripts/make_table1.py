"""Write Table 1 as CSV, Markdown and LaTeX."""

from convexprune.jobs import csv_files, files, logs
from convexprune.results import table1


def main(smk):
    logs.start_log(smk.log[0])
    sources = {name: csv_files.read(getattr(smk.input, name)) for name in table1.NEEDED}
    settings = dict(smk.params.settings)
    data = "own" if smk.params.own_data else settings.pop("test", "paper")
    table = table1.table1(**sources, **settings)
    csv_files.write(smk.output.csv, table)
    for path, text in (
        (smk.output.markdown, table1.markdown(table, data)),
        (smk.output.latex, table1.latex(table, data)),
    ):
        with files.atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
