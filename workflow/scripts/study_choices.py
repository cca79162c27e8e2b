"""Study what choosing layers by each criterion costs, and judge the criteria."""

from convexprune.jobs import csv_files, files, logs
from convexprune.results import choices, choices_text, verdict


def main(smk):
    logs.start_log(smk.log[0])
    settings = smk.params.settings
    seconds = choices.read_seconds(settings["benchmarks"], settings["models"], settings["embedded"])
    sources = {name: csv_files.read(getattr(smk.input, name)) for name in choices.SOURCES}
    runs = choices.study_runs(sources, seconds, settings["models"])
    table, judged = choices.average_seeds(runs), verdict.judge(runs)
    csv_files.write(smk.output.csv, table)
    csv_files.write(smk.output.verdict, judged)
    with files.atomic(smk.output.markdown) as temporary:
        temporary.write_text(choices_text.write_markdown(table, judged), encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
