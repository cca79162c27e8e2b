"""Choose how many layers each pruned model keeps."""

import pandas as pd
from convexprune import planning, provenance


def main(smk):
    provenance.start_log(smk.log[0])
    tables = [pd.read_csv(path) for path in smk.input.scores]
    plan = planning.plan_layers(
        smk.params.settings["models"],
        convexity=pd.concat(tables) if tables else None,
        average=smk.params.settings["average"],
    )
    provenance.write_csv(smk.output.plan, plan)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
