"""Count the costs of each model at every depth."""

from pathlib import Path

import pandas as pd
from convexprune.data import corpus
from convexprune.jobs import csv_files, logs
from convexprune.models import costs


def main(smk):
    logs.start_log(smk.log[0])
    tables, settings = [], smk.params.settings
    for task, dataset in zip(settings["tasks"], smk.input.datasets, strict=True):
        items = corpus.read_dataset(dataset)
        classes = items[items["split"] == "train"]["label"].nunique()
        for config in smk.input.configs:
            folder = Path(config).parent
            counted = costs.count_costs(folder, classes, settings["projector_size"], settings["seconds"])
            tables.append(counted.assign(model=folder.name, task=task))
    table = pd.concat(tables, ignore_index=True)
    csv_files.write(smk.output.table, table[["model", "task", *costs.COLUMNS]])


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
