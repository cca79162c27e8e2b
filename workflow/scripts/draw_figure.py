"""Draw a figure with the module of the same name."""

import importlib
from pathlib import Path

from convexprune.jobs import logs
from convexprune.results.figures import style


def main(smk):
    logs.start_log(smk.log[0])
    figure = importlib.import_module(f"convexprune.results.figures.{Path(smk.output.csv).stem}")
    tables = {name: style.read(paths) for name, paths in smk.input.items() if name != "code"}
    drawn, data = figure.draw(**tables, **smk.params.settings)
    style.save(drawn, data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
