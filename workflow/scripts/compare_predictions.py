"""Compare the predictions of full and pruned models, with a row for each model, task and seed."""

from pathlib import Path

import pandas as pd
from convexprune.jobs import csv_files, logs
from convexprune.results import significance


def main(smk):
    logs.start_log(smk.log[0])
    rows = []
    for full, pruned in zip(smk.input.full, smk.input.pruned, strict=True):
        model, task, layers, seed = Path(pruned).parts[-5:-1]  # a fine-tuned model's folder names them
        compared = significance.compare_predictions(csv_files.read(full), csv_files.read(pruned))
        rows.append({"model": model, "task": task, "layers": int(layers), "seed": int(seed), **compared})
    csv_files.write(smk.output.table, pd.DataFrame(rows))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
