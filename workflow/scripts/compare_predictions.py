"""Compare the predictions of full and pruned models, with a row for each model, task and seed."""

from pathlib import Path

import pandas as pd
from convexprune.jobs import csv_files, logs
from convexprune.results import significance


def main(smk):
    logs.start_log(smk.log[0])
    datasets = {Path(path).stem: csv_files.read(path) for path in smk.input.datasets}
    rows = []
    for full, pruned in zip(smk.input.full, smk.input.pruned, strict=True):
        model, task, layers, seed = Path(pruned).parts[-5:-1]  # a fine-tuned model's folder names them
        run = {"model": model, "task": task, "layers": int(layers), "full_layers": int(Path(full).parts[-3])}
        read = (csv_files.read(full), csv_files.read(pruned), datasets[task])
        rows.append({**run, "seed": int(seed), **significance.compare_predictions(*read)})
    csv_files.write(smk.output.table, significance.correct_for_models(pd.DataFrame(rows)))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
