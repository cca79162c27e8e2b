"""Choose how many layers each pruned model keeps."""

import pandas as pd
from convexprune.convexity import planning
from convexprune.jobs import csv_files, logs


def main(smk):
    logs.start_log(smk.log[0])
    tables = [csv_files.read(path) for path in smk.input.scores]
    plan = planning.plan_layers(
        smk.params.settings["models"],
        convexity=pd.concat(tables) if tables else None,
        average=smk.params.settings["average"],
    )
    csv_files.write(smk.output.plan, plan)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
