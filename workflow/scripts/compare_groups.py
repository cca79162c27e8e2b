"""Compare full and pruned models by class and by speaker, with a row for each model, task and group."""

from pathlib import Path

import pandas as pd
from convexprune.jobs import csv_files, logs
from convexprune.results import groups, significance


def main(smk):
    logs.start_log(smk.log[0])
    datasets = {Path(path).stem: csv_files.read(path) for path in smk.input.datasets}
    tables = []
    for full, pruned, classes in zip(smk.input.full, smk.input.pruned, smk.input.classes, strict=True):
        model, task, layers, seed = Path(pruned).parts[-5:-1]  # a fine-tuned model's folder names them
        read = (csv_files.read(full), csv_files.read(pruned), datasets[task])
        kept = csv_files.read(classes).query(f"layers == {layers}").set_index("label")["score"]
        compared = groups.compare_groups(significance.pair_predictions(*read), kept)
        run = {"model": model, "task": task, "layers": int(layers), "seed": int(seed)}
        tables.append(pd.DataFrame(run, index=compared.index).join(compared))
    csv_files.write(smk.output.table, pd.concat(tables))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
