# Convexity-based pruning of speech representation models. The map is workflow/README.md.

from snakemake.utils import min_version

min_version("9.27")


# For `--sdm apptainer` alone: built by apptainer.def, or pulled (docs/cluster.md). All rules share one image.
container: "convexprune.sif"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/alignment.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/embeddings.smk"
include: "workflow/rules/convexity.smk"
include: "workflow/rules/criteria.smk"
include: "workflow/rules/finetuning.smk"
include: "workflow/rules/folding.smk"
include: "workflow/rules/exporting.smk"
include: "workflow/rules/comparison.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/terminal.smk"


rule all:
    default_target: True
    input:
        table1=multiext("<results>/table1", ".csv", ".md", ".tex"),
        figures=expand("<results>/figures/{figure}.pdf", figure=DRAWN),
        choices=multiext("<results>/", "choices.csv", "choices.md", "verdict.csv") if config["sweep"] else [],
        correlations=multiext("<results>/", "correlations.csv", "convergence.csv"),
        plan="<results>/plan.csv",
        data=multiext("<results>/datasets/summary", ".csv", ".md"),
        exported=expand("<results>/exported/{model}/{task}/model.onnx", model=MODELS, task=TASKS),
        summary=multiext("<results>/summary", ".md", ".html"),
        pages=expand("<results>/pages/{shown}.html", shown=SHOWN),
        intermediates=get_intermediates,
        accepted="<results>/datasets/phonemes.accepted" if "phonemes" in DATASETS else [],


# These checks run before any job starts, but not in a dry run, which always shows the whole plan.
onstart:
    check_results_folder()
    check_terms_of_maus()


onsuccess:
    print_outcome()


onerror:
    print_failures()
