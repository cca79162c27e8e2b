"""Draw Figure 7: training curves."""

from pathlib import Path

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure7, style


def main(smk):
    provenance.start_log(smk.log[0])
    logs = []
    for path in smk.input.logs:
        model, task, layers, seed = Path(path).parts[-5:-1]  # a fine-tuned model's folder says what it is
        log = pd.read_csv(path)
        logs.append(log.assign(model=model, task=task, layers=int(layers), seed=int(seed)))
    data = figure7.tabulate(pd.concat(logs), pd.read_csv(smk.input.plan))
    style.save(figure7.draw(data, smk.params.settings["models"]), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
