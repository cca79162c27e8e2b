# Table 1, the costs of the models, whether convexity chose well, and the summary.

# The outcome of the alignment, in the order in which the summary reads the files.
ALIGNMENT = [
    "<results>/alignment/failures.csv",
    "<results>/datasets/phonemes.labels.csv",
    "<results>/datasets/phonemes.refusal.txt",
]

CHOICE = "7. Does convexity choose well?"
# Tables that the report shows, by the name of their caption in report/: (file, category, title).
SHOWN = {
    "table1": ("table1", "5. Table 1", "Full against pruned models"),
    "plan": ("plan", "4. Plan", "Layers kept, and why"),
    "convexity": ("convexity", "3. Convexity", "Convexity by model, state, dataset and layers"),
    "counts": ("datasets/summary", "2. Data", "Files, classes, speakers and durations"),
    "correlations": ("correlations", CHOICE, "Last-layer convexity against accuracy: rank correlations"),
    "convergence": (
        "convergence",
        CHOICE,
        "Fine-tuned convexity: in the last layer, and where it stops rising",
    ),
    "folding": ("folding", CHOICE, "Full models cut and folded to every depth, without training"),
    "costs": ("costs", "8. Costs", "Parameters, size and multiply-adds at every depth"),
    "timing": (
        "timing",
        "8. Costs",
        "Times of inference and of a training step, against the full model",
    ),
}
if config["sweep"]:
    SHOWN["verdict"] = ("verdict", CHOICE, "The verdict: what each criterion loses, with intervals")
    SHOWN["choices"] = ("choices", CHOICE, "Choices of layers by model and task")


rule count_costs:
    input:
        code=library("count_costs"),
        configs=[f"<results>/models/{model}/config.json" for model in MODELS],
        feature_extractors=[f"<results>/models/{model}/preprocessor_config.json" for model in MODELS],
        datasets=[f"<results>/datasets/{task}.csv" for task in TASKS],
    output:
        table="<results>/costs.csv",
    log:
        "<results>/logs/count_costs.log",
    benchmark:
        "<results>/benchmarks/count_costs.tsv"
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=get_memory("count_costs"),
        runtime=get_runtime("count_costs"),
    params:
        settings={
            "projector_size": config["finetuning"]["projector_size"],
            "seconds": config["clips"]["seconds"],
            "tasks": TASKS,
        },
    script:
        "../scripts/count_costs.py"


rule make_table1:
    input:
        **tables("finetuning", "timing", "plan", "costs", "significance", "exports", "folding"),
        code=library("make_table1"),
    output:
        csv="<results>/table1.csv",
        markdown="<results>/table1.md",
        latex="<results>/table1.tex",
    log:
        "<results>/logs/make_table1.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={
            "data": "own" if "table" in CORPUS else experiment.test_settings(config).get("test", "paper"),
            "models": list(MODELS),
            "seed": SEEDS[0],
            "tasks": TASKS,
        },
    script:
        "../scripts/make_table1.py"


rule study_choices:
    input:
        **tables("finetuning", "criteria", "plan", "costs", "timing", "folding"),
        code=library("study_choices"),
    output:
        csv="<results>/choices.csv",
        verdict="<results>/verdict.csv",
        markdown="<results>/choices.md",
    log:
        "<results>/logs/study_choices.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={
            "benchmarks": str(RESULTS / "benchmarks"),
            "embedded": {task: experiment.embedded_with(config, task) for task in SWEPT_MODELS},
            "models": SWEPT_MODELS,
        },
    script:
        "../scripts/study_choices.py"


rule correlate_convexity:
    input:
        **tables("finetuning", "convexity", "groups"),
        code=library("correlate_convexity"),
    output:
        correlations="<results>/correlations.csv",
        convergence="<results>/convergence.csv",
    log:
        "<results>/logs/correlate_convexity.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={
            "average": AVERAGE,
            "seed": SEEDS[0],
            "tolerance": config["plan"]["tolerance"],
        },
    script:
        "../scripts/correlate_convexity.py"


rule write_summary:
    input:
        **tables("plan", "convexity", "finetuning", "timing", "costs", "significance", "groups"),
        code=library("write_summary"),
        table1="<results>/table1.md",
        data="<results>/datasets/summary.md",
        choices=["<results>/choices.md"] if config["sweep"] else [],
        alignment=ALIGNMENT if "phonemes" in DATASETS else [],
        provenance=expand("<results>/models/{model}/provenance.json", model=MODELS),
        metrics=[f"{get_full(model, task)}/metrics.json" for model in MODELS for task in TASKS],
        figures=expand("<results>/figures/{figure}.png", figure=DRAWN),
        # The last jobs with benchmarks: the summary also reports what the run took.
        exported=expand("<results>/exported/{model}/{task}/model.onnx", model=MODELS, task=TASKS),
    output:
        summary="<results>/summary.md",
        answer="<results>/answer.md",
        page=report(
            "<results>/summary.html",
            caption="../report/summary.rst",
            category="1. Summary",
            labels={"page": "All of the run on one page"},
        ),
    log:
        "<results>/logs/write_summary.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={
            "average": AVERAGE,
            "corpus": next(iter(CORPUS)),
            "figures": {name: caption for name, (caption, *_) in FIGURES.items()},
            "not_drawn": NOT_DRAWN,
            "seed": SEEDS[0],
            "splits": {name: config["datasets"][name]["convexity_split"] for name in DATASETS},
        },
    script:
        "../scripts/write_summary.py"


for shown, (table, category, title) in SHOWN.items():

    rule:
        name:
            f"show_{shown}"
        input:
            code=library("show_table"),
            table=f"<results>/{table}.csv",
        output:
            page=report(
                f"<results>/pages/{shown}.html",
                caption=f"../report/{shown}.rst",
                category=category,
                labels={"table": title},
            ),
        log:
            f"<results>/logs/show_table/{shown}.log",
        localrule: True
        conda:
            "../../envs/results.yaml"
        params:
            settings={"title": title},
        script:
            "../scripts/show_table.py"


# This job comes last, so that a problem with the phonemes prevents no other result.
rule accept_phonemes:
    input:
        code=library("accept_phonemes"),
        refusal="<results>/datasets/phonemes.refusal.txt",
        summary="<results>/summary.md",
        pages=expand("<results>/pages/{shown}.html", shown=SHOWN),
    output:
        touch("<results>/datasets/phonemes.accepted"),
    log:
        "<results>/logs/accept_phonemes.log",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    script:
        "../scripts/accept_phonemes.py"
