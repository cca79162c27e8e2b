# Table 1, what the models cost, whether convexity chose well, and the figures.

SWEPT_MODELS = {task: sweep["models"] for task, sweep in config["sweep"].items()}
SIZES = {name: MODELS[name]["size"] for name in MODELS}
# Figure 2 shows one sweep: of words, as in the paper, where both tasks are swept.
SWEPT = "words" if "words" in config["sweep"] else "speakers"
FIGURES = [1, *([2, 3] if config["sweep"] else []), 4, 5, 6, 7, 8]
CHOICE = "7. Does convexity choose well?"
# Tables that the report shows, by the name of their caption in report/: file, category, title.
SHOWN = {
    "table1": ("table1", "5. Table 1", "Full against pruned models"),
    "plan": ("plan", "4. Plan", "Layers kept, and why"),
    "convexity": ("convexity", "3. Convexity", "Convexity by model, state, dataset and layers"),
    "counts": ("datasets/summary", "2. Data", "Files, classes, speakers and durations"),
    "correlations": ("correlations", CHOICE, "Rank correlations with accuracy"),
    "convergence": (
        "convergence",
        CHOICE,
        "Fine-tuned convexity: last layer, and where it stops rising",
    ),
    "costs": ("costs", "8. Costs", "Parameters, size and multiply-adds at every depth"),
    "timing": ("timing", "8. Costs", "Inference times, each against the full model's"),
}
if config["sweep"]:
    SHOWN["choices"] = ("choices", CHOICE, "Choices of layers: accuracy lost and compute")


rule count_costs:
    input:
        code=library("costs", "corpus", "encoders", "pruning"),
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
        settings={"projector_size": config["finetuning"]["projector_size"], "tasks": TASKS},
    script:
        "../scripts/count_costs.py"


rule compare_predictions:
    input:
        code=library("significance", "corpus"),
        full=lambda wildcards: get_predictions("full"),
        pruned=lambda wildcards: get_predictions("pruned"),
    output:
        table="<results>/significance.csv",
    log:
        "<results>/logs/compare_predictions.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    script:
        "../scripts/compare_predictions.py"


rule make_table1:
    input:
        code=library("tables", "markdown_tables"),
        finetuning="<results>/finetuning.csv",
        timing="<results>/timing.csv",
        plan="<results>/plan.csv",
        costs="<results>/costs.csv",
        significance="<results>/significance.csv",
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
        settings={"models": list(MODELS), "seed": SEEDS[0]},
    script:
        "../scripts/make_table1.py"


rule probe_layers:
    input:
        code=library("probing", "corpus", "embeddings", "metrics"),
        embeddings="<results>/embeddings/{model}/pretrained/{task}.h5",
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{task}.csv",
    output:
        table="<results>/probes/{model}/{task}.csv",
    log:
        "<results>/logs/probe_layers/{model}/{task}.log",
    benchmark:
        "<results>/benchmarks/probe_layers/{model}/{task}.tsv"
    conda:
        "../../envs/results.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("probe_layers"),
        runtime=get_runtime("probe_layers"),
    script:
        "../scripts/probe_layers.py"


rule study_choices:
    input:
        code=library("selection", "averages", "tables", "markdown_tables"),
        finetuning="<results>/finetuning.csv",
        convexity="<results>/convexity.csv",
        plan="<results>/plan.csv",
        costs="<results>/costs.csv",
        probes=get_probes,
    output:
        csv="<results>/choices.csv",
        markdown="<results>/choices.md",
    log:
        "<results>/logs/study_choices.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={
            "average": config["convexity"]["average"],
            "benchmarks": f"{config['pathvars']['results']}/benchmarks",
            "models": SWEPT_MODELS,
            "tolerance": config["plan"]["tolerance"],
        },
    script:
        "../scripts/study_choices.py"


rule correlate_convexity:
    input:
        code=library("correlation", "planning", "averages"),
        finetuning="<results>/finetuning.csv",
        convexity="<results>/convexity.csv",
        probes=get_probes,
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
            "average": config["convexity"]["average"],
            "models": SWEPT_MODELS,
            "seed": SEEDS[0],
            "tolerance": config["plan"]["tolerance"],
        },
    script:
        "../scripts/correlate_convexity.py"


rule draw_figure1:
    input:
        code=library("figures/figure1", "figures/style", "averages"),
        convexity="<results>/convexity.csv",
        plan="<results>/plan.csv",
    output:
        csv="<results>/figures/figure1.csv",
        pdf="<results>/figures/figure1.pdf",
        png=report(
            "<results>/figures/figure1.png",
            caption="../report/figure1.rst",
            category="6. Figures",
            labels={"figure": "1: convexity by layer"},
        ),
    log:
        "<results>/logs/draw_figure1.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={
            "average": config["convexity"]["average"],
            "models": list(MODELS),
            "sizes": SIZES,
        },
    script:
        "../scripts/draw_figure1.py"


rule draw_figure2:
    input:
        code=library("figures/figure2", "figures/style", "averages"),
        convexity="<results>/convexity.csv",
        finetuning="<results>/finetuning.csv",
    output:
        csv="<results>/figures/figure2.csv",
        pdf="<results>/figures/figure2.pdf",
        png=report(
            "<results>/figures/figure2.png",
            caption="../report/figure2.rst",
            category="6. Figures",
            labels={"figure": "2: accuracy against convexity"},
        ),
    log:
        "<results>/logs/draw_figure2.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={
            "average": config["convexity"]["average"],
            "models": list(MODELS),
            "swept": SWEPT_MODELS.get(SWEPT),
            "task": SWEPT,
        },
    script:
        "../scripts/draw_figure2.py"


rule draw_figure3:
    input:
        code=library("figures/figure3", "figures/style", "averages"),
        choices="<results>/choices.csv",
    output:
        csv="<results>/figures/figure3.csv",
        pdf="<results>/figures/figure3.pdf",
        png=report(
            "<results>/figures/figure3.png",
            caption="../report/figure3.rst",
            category="6. Figures",
            labels={"figure": "3: what each choice of layers costs"},
        ),
    log:
        "<results>/logs/draw_figure3.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={"models": list(MODELS)},
    script:
        "../scripts/draw_figure3.py"


rule draw_figure4:
    input:
        code=library("figures/figure4", "figures/style", "averages"),
        convergence="<results>/convergence.csv",
        correlations="<results>/correlations.csv",
    output:
        csv="<results>/figures/figure4.csv",
        pdf="<results>/figures/figure4.pdf",
        png=report(
            "<results>/figures/figure4.png",
            caption="../report/figure4.rst",
            category="6. Figures",
            labels={"figure": "4: accuracy against the convexity of the last layer"},
        ),
    log:
        "<results>/logs/draw_figure4.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={"models": list(MODELS)},
    script:
        "../scripts/draw_figure4.py"


rule draw_figure5:
    input:
        code=library("figures/figure5", "figures/style", "averages"),
        classes=expand(
            "<results>/convexity/{model}/pretrained/{dataset}.classes.csv", model=MODELS, dataset=DATASETS
        ),
        plan="<results>/plan.csv",
    output:
        csv="<results>/figures/figure5.csv",
        pdf="<results>/figures/figure5.pdf",
        png=report(
            "<results>/figures/figure5.png",
            caption="../report/figure5.rst",
            category="6. Figures",
            labels={"figure": "5: convexity of each class by layer"},
        ),
    log:
        "<results>/logs/draw_figure5.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={"models": list(MODELS)},
    script:
        "../scripts/draw_figure5.py"


rule draw_figure6:
    input:
        code=library("figures/figure6", "figures/style", "averages"),
        finetuning="<results>/finetuning.csv",
        costs="<results>/costs.csv",
        timing="<results>/timing.csv",
        plan="<results>/plan.csv",
    output:
        csv="<results>/figures/figure6.csv",
        pdf="<results>/figures/figure6.pdf",
        png=report(
            "<results>/figures/figure6.png",
            caption="../report/figure6.rst",
            category="6. Figures",
            labels={"figure": "6: accuracy against latency, size and multiply-adds"},
        ),
    log:
        "<results>/logs/draw_figure6.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={"models": list(MODELS)},
    script:
        "../scripts/draw_figure6.py"


rule draw_figure7:
    input:
        code=library("figures/figure7", "figures/style", "averages"),
        logs=lambda wildcards: get_run_files("training_log.csv"),
        plan="<results>/plan.csv",
    output:
        csv="<results>/figures/figure7.csv",
        pdf="<results>/figures/figure7.pdf",
        png=report(
            "<results>/figures/figure7.png",
            caption="../report/figure7.rst",
            category="6. Figures",
            labels={"figure": "7: training curves"},
        ),
    log:
        "<results>/logs/draw_figure7.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    params:
        settings={"models": list(MODELS)},
    script:
        "../scripts/draw_figure7.py"


rule draw_figure8:
    input:
        code=library("figures/figure8", "figures/style", "averages", "embeddings"),
        embeddings=expand("<results>/embeddings/{model}/pretrained/{task}.h5", model=MODELS, task=TASKS),
        convexity="<results>/convexity.csv",
        plan="<results>/plan.csv",
    output:
        csv="<results>/figures/figure8.csv",
        pdf="<results>/figures/figure8.pdf",
        png=report(
            "<results>/figures/figure8.png",
            caption="../report/figure8.rst",
            category="6. Figures",
            labels={"figure": "8: embeddings in two dimensions"},
        ),
    log:
        "<results>/logs/draw_figure8.log",
    benchmark:
        "<results>/benchmarks/draw_figure8.tsv"
    conda:
        "../../envs/results.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("draw_figure8"),
        runtime=get_runtime("draw_figure8"),
    params:
        settings={"average": config["convexity"]["average"], "models": list(MODELS)},
    script:
        "../scripts/draw_figure8.py"


rule write_summary:
    input:
        code=library("summary", "averages", "markdown_tables", "pages", "benchmarks"),
        plan="<results>/plan.csv",
        table1="<results>/table1.md",
        convexity="<results>/convexity.csv",
        data="<results>/datasets/summary.md",
        choices=["<results>/choices.md"] if config["sweep"] else [],
        failures=["<results>/alignment/failures.csv"] if "phonemes" in DATASETS else [],
        labels=["<results>/datasets/phonemes.labels.csv"] if "phonemes" in DATASETS else [],
        timing="<results>/timing.csv",
        provenance=expand("<results>/models/{model}/provenance.json", model=MODELS),
        metrics=[
            f"<results>/finetuned/{model}/{task}/{MODELS[model]['layers']}/{SEEDS[0]}/metrics.json"
            for model in MODELS
            for task in TASKS
        ],
        figures=expand("<results>/figures/figure{number}.png", number=FIGURES),
        # The last jobs to be measured: what the run took is told too.
        exported=expand("<results>/exported/{model}/{task}/model.onnx", model=MODELS, task=TASKS),
    output:
        summary="<results>/summary.md",
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
            "average": config["convexity"]["average"],
            "corpus": next(iter(CORPUS)),
            "splits": {name: config["datasets"][name]["convexity_split"] for name in DATASETS},
        },
    script:
        "../scripts/write_summary.py"


for shown, (table, category, title) in SHOWN.items():

    rule:
        name:
            f"show_{shown}"
        input:
            code=library("pages"),
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
