"""Compare the predictions of full and pruned models, a row a model, task and seed."""

from pathlib import Path

import pandas as pd
from convexprune import corpus, provenance, significance


def main(smk):
    provenance.start_log(smk.log[0])
    rows = []
    for full, pruned in zip(smk.input.full, smk.input.pruned, strict=True):
        model, task, layers, seed = Path(pruned).parts[-5:-1]  # a fine-tuned model's folder says what it is
        compared = significance.compare_predictions(corpus.read_csv(full), corpus.read_csv(pruned))
        rows.append({"model": model, "task": task, "layers": int(layers), "seed": int(seed), **compared})
    provenance.write_csv(smk.output.table, pd.DataFrame(rows))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
