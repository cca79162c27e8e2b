"""Study the costs of choosing layers by convexity, and of other choices."""

from convexprune.jobs import csv_files, files, logs
from convexprune.results import choices


def main(smk):
    logs.start_log(smk.log[0])
    settings = dict(smk.params.settings)
    folder, embedded = settings.pop("benchmarks"), settings.pop("embedded")
    seconds = choices.read_seconds(folder, settings["models"], embedded)
    sources = {name: csv_files.read(getattr(smk.input, name)) for name in choices.SOURCES}
    table = choices.study_choices(sources, seconds, **settings)
    csv_files.write(smk.output.csv, table)
    with files.atomic(smk.output.markdown) as temporary:
        temporary.write_text(choices.markdown(table, settings["tolerance"]), encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
