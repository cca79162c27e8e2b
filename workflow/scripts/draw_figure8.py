"""Draw Figure 8: embeddings in two dimensions."""

from pathlib import Path

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure8, style


def main(smk):
    provenance.start_log(smk.log[0], seed=0)
    settings = smk.params.settings
    paths = {(Path(path).parts[-3], Path(path).stem): path for path in smk.input.embeddings}
    tables = pd.read_csv(smk.input.plan), pd.read_csv(smk.input.convexity)
    data = figure8.tabulate(paths, *tables, settings["average"], smk.threads)
    style.save(figure8.draw(data, settings["models"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
