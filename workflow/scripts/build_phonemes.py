"""Build the phonemes dataset from the aligned phones, or report why there can be none."""

from convexprune.data import corpus, datasets
from convexprune.jobs import csv_files, files, logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    dataset, labels, refusal = datasets.build_phonemes(
        corpus.read_dataset(smk.input.phones),
        csv_files.read(smk.input.failures),
        corpus.read_table(smk.input.table),
        **smk.params.settings,
    )
    csv_files.write(smk.output.labels, labels)
    csv_files.write(smk.output.dataset, dataset)
    with files.atomic(smk.output.refusal) as temporary:
        temporary.write_text(refusal, encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
