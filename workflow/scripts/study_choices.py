"""What the choice of layers costs that convexity makes, and others."""

import pandas as pd
from convexprune import provenance, selection


def main(smk):
    provenance.start_log(smk.log[0])
    settings = dict(smk.params.settings)
    seconds = selection.read_seconds(settings.pop("benchmarks"), settings["models"])
    names = ("finetuning", "convexity", "plan", "costs")
    sources = {name: pd.read_csv(getattr(smk.input, name)) for name in names}
    probes = pd.concat([pd.read_csv(path) for path in smk.input.probes])
    choices = selection.study_choices(**sources, probes=probes, seconds=seconds, **settings)
    provenance.write_csv(smk.output.csv, choices)
    with provenance.atomic(smk.output.markdown) as temporary:
        temporary.write_text(selection.markdown(choices, settings["tolerance"]))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
