"""Count the content of the corpus and the datasets; compare it with the paper if they are the paper's."""

import pandas as pd
from convexprune.data import corpus, datasets
from convexprune.jobs import csv_files, files, logs
from convexprune.results import counts


def main(smk) -> None:
    logs.start_log(smk.log[0])
    recordings = corpus.read_table(smk.input.corpus)
    tables = {"corpus": datasets.make_items(recordings, "word")}
    for name, path in zip(smk.params.settings["datasets"], smk.input.datasets, strict=True):
        tables[name] = corpus.read_dataset(path)
    test = smk.params.settings.get("test", "paper")
    counted = counts.summarise(tables, compare=smk.params.settings["compare"], test=test)
    table = pd.concat([counted, counts.count_remarks(recordings)], ignore_index=True)
    csv_files.write(smk.output.csv, table)
    digests = recordings.set_index("path")["digest"]
    told = counts.describe_recordings(tables, digests, smk.params.settings["seconds"])
    with files.atomic(smk.output.markdown) as temporary:
        temporary.write_text(counts.markdown(table, told, test), encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
