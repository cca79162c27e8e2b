"""Write the summary of the run."""

import json
from pathlib import Path

from convexprune.jobs import csv_files, files, logs, provenance
from convexprune.results import answer, benchmarks, pages, summary


def main(smk):
    logs.start_log(smk.log[0])
    folder = Path(smk.output.summary).parent
    settings = dict(smk.params.settings)
    tables = answer.Tables(*(csv_files.read(smk.input[name]) for name in answer.Tables._fields))
    findings = summary.Findings(
        plan=tables.plan,
        convexity=csv_files.read(smk.input.convexity),
        timing=tables.timing,
        answer=answer.answer(tables, str(folder), settings.pop("seed")),
        table1=Path(smk.input.table1).read_text(encoding="utf-8"),
        studies=[Path(path).read_text(encoding="utf-8") for path in (*smk.input.choices, smk.input.data)],
        alignment=summary.read_alignment(*smk.input.alignment) if smk.input.alignment else None,
    )
    origins = summary.Origins(
        models={
            Path(path).parent.name: json.loads(Path(path).read_text(encoding="utf-8"))
            for path in smk.input.provenance
        },
        runs=[json.loads(Path(path).read_text(encoding="utf-8")) for path in smk.input.metrics],
        versions=provenance.installed_versions(),
        took=benchmarks.summarise(benchmarks.read_benchmarks(folder / "benchmarks")),
    )
    asked = summary.Experiment(title=str(folder), **settings)
    text = summary.summarise(asked, findings, origins)
    for path, content in (
        (smk.output.summary, text),
        (smk.output.answer, f"{findings.answer}\n"),
        (smk.output.page, pages.text_page(text, folder)),
    ):
        with files.atomic(path) as temporary:
            temporary.write_text(content, encoding="utf-8")


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
