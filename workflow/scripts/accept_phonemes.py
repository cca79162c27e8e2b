"""End the run with an error if phonemes can have no results. Runs after all other results are made."""

from pathlib import Path

from convexprune.data import datasets
from convexprune.jobs import logs


def main(smk) -> None:
    logs.start_log(smk.log[0])
    datasets.accept_phonemes(Path(smk.input.refusal).read_text(encoding="utf-8"))


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
