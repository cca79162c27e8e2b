"""Choose how many layers each pruned model keeps."""

import pandas as pd
from convexprune.convexity import planning
from convexprune.jobs import csv_files, logs


def main(smk):
    logs.start_log(smk.log[0])
    convexity, covariances = (
        pd.concat([csv_files.read(path) for path in paths]) if paths else pd.DataFrame()
        for paths in (smk.input.scores, smk.input.covariances)
    )
    settings = smk.params.settings
    plan = planning.plan_layers(settings["models"], convexity, covariances, settings["average"])
    csv_files.write(smk.output.plan, plan)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
