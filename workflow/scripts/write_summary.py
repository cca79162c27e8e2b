"""Write the summary of the run."""

import json
from pathlib import Path

import pandas as pd
from convexprune import benchmarks, pages, provenance, summary


def main(smk):
    provenance.start_log(smk.log[0])
    settings = smk.params.settings
    folder = Path(smk.output.summary).parent
    text = summary.summarise(
        title=str(folder),
        plan=pd.read_csv(smk.input.plan),
        table1=Path(smk.input.table1).read_text(),
        convexity=pd.read_csv(smk.input.convexity),
        studies=[Path(path).read_text() for path in (*smk.input.choices, smk.input.data)],
        failures=pd.read_csv(smk.input.failures[0]) if smk.input.failures else None,
        labels=pd.read_csv(smk.input.labels[0], na_filter=False) if smk.input.labels else None,
        timing=pd.read_csv(smk.input.timing),
        took=benchmarks.summarise(benchmarks.read_benchmarks(folder / "benchmarks")),
        provenance={
            Path(path).parent.name: json.loads(Path(path).read_text()) for path in smk.input.provenance
        },
        metrics=[json.loads(Path(path).read_text()) for path in smk.input.metrics],
        versions=provenance.installed_versions(),
        figures=[Path(path).relative_to(folder).as_posix() for path in smk.input.figures],
        **settings,
    )
    for path, content in ((smk.output.summary, text), (smk.output.page, pages.text_page(text, folder))):
        with provenance.atomic(path) as temporary:
            temporary.write_text(content)


if "snakemake" in globals():
    main(snakemake)  # noqa: F821
