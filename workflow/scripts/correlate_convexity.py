"""Find where fine-tuned convexity stops rising, and its rank correlations with accuracy."""

from convexprune.jobs import csv_files, logs
from convexprune.results import correlation


def main(smk):
    logs.start_log(smk.log[0])
    settings = smk.params.settings
    finetuning = csv_files.read(smk.input.finetuning)
    convexity = csv_files.read(smk.input.convexity)
    convergence = correlation.study_convergence(
        finetuning, convexity, settings["average"], settings["tolerance"], settings["seed"]
    )
    csv_files.write(smk.output.convergence, convergence)
    correlations = correlation.correlate(convergence, csv_files.read(smk.input.groups))
    csv_files.write(smk.output.correlations, correlations)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
