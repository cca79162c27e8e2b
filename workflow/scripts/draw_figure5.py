"""Draw Figure 5: convexity of each class by layer."""

import pandas as pd
from convexprune import provenance
from convexprune.figures import figure5, style


def main(smk):
    provenance.start_log(smk.log[0])
    models = smk.params.settings["models"]
    # the word "null" stays a word, the speaker 007 stays 007
    kinds = {"dtype": {"label": str}, "keep_default_na": False, "na_values": {"score": [""]}}
    classes = pd.concat([pd.read_csv(path, **kinds) for path in smk.input.classes])
    data = figure5.tabulate(classes, pd.read_csv(smk.input.plan), models)
    style.save(figure5.draw(data, models), data, smk.output)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
