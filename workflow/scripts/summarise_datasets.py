"""Count what the corpus and the datasets hold; compare with the paper where they are the paper's."""

from convexprune import corpus, counts, datasets, provenance


def main(smk) -> None:
    provenance.start_log(smk.log[0])
    tables = {"corpus": datasets.make_items(corpus.read_table(smk.input.corpus), "word")}
    for name, path in zip(smk.params.settings["datasets"], smk.input.datasets, strict=True):
        tables[name] = corpus.read_dataset(path)
    table = counts.summarise(tables, compare=smk.params.settings["compare"])
    provenance.write_csv(smk.output.csv, table)
    with provenance.atomic(smk.output.markdown) as temporary:
        temporary.write_text(counts.markdown(table))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
