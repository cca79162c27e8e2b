# The figures. To add one: an entry here, a module of its name with `draw`, and a caption for the report.

# Only one sweep is drawn: that of words, as in the paper, or else the first.
SWEPT = "words" if "words" in config["sweep"] else next(iter(config["sweep"]), None)

# By figure: the summary's caption, whose first sentence is the title; the tables; and the settings of `draw` in the
# library's results/figures/<name>.py. The report's caption is report/figures/<name>.rst.
FIGURES = {
    "convexity_by_layer": (
        "Convexity by layer (the paper's Figure 1). Look where a solid curve stops rising; a circle marks the "
        "layers that the plan keeps, a broad line those that it would keep on other recordings.",
        tables("convexity", "plan"),
        {"average": AVERAGE},
    ),
    "accuracy_by_convexity": (
        "Accuracy after pruning at each layer against the convexity of that layer (the paper's Figure 2). Points "
        "that rise to the right mean that convexity predicts accuracy. Dotted: the full model, folded to that layer "
        "without training.",
        tables("convexity", "finetuning", "folding"),
        {"average": AVERAGE, "swept": SWEPT_MODELS.get(SWEPT), "task": SWEPT},
    ),
    "criteria": (
        "Criteria for choosing layers, each from its worst to its best layer. Look whether the layers kept agree, "
        "and how near they are to those that were best on test (dotted).",
        {**tables("criteria", "folding"), **(tables("choices") if config["sweep"] else {})},
        {},
    ),
    "similarities": (
        "How similar the layers of each pretrained model are to each other. Look for blocks of like layers.",
        tables("similarities", "plan"),
        {},
    ),
    "choices": (
        "What each choice of layers costs. Good choices lie to the left in both panels.",
        tables("choices"),
        {},
    ),
    "last_layer": (
        "Accuracy of fine-tuned models against the convexity of their last layer.",
        tables("convergence", "correlations"),
        {},
    ),
    "classes": (
        "Convexity of each class by layer in the pretrained models. Look which classes stay low.",
        {
            "classes": expand(
                "<results>/convexity/{model}/pretrained/{dataset}.classes.csv", model=MODELS, dataset=DATASETS
            ),
            **tables("plan"),
        },
        {},
    ),
    "groups": (
        "Who pays for the pruning: recall of classes against their convexity, and change by class and speaker. "
        "Named groups changed significantly.",
        tables("groups", "correlations"),
        {},
    ),
    "tradeoffs": (
        "Accuracy against inference time, size and multiply-adds. The front joins the models that no other beats; "
        "look how near the pruned models (black edge) are to it. Dotted: full models, folded without training.",
        tables("finetuning", "costs", "timing", "plan", "folding"),
        {},
    ),
    "training": (
        "Training: loss and validation accuracy by step. A circle marks the weights kept.",
        {"logs": lambda wildcards: get_run_files("training_log.csv"), **tables("plan")},
        {},
    ),
    "projections": (
        "Embeddings before the first layer, at the layers kept and after the last. Look whether classes separate; "
        "distances between groups mean nothing.",
        tables("projections", "convexity"),
        {"average": AVERAGE},
    ),
}
# Figures that would show nothing, and why.
NOT_DRAWN = {}
if not config["sweep"]:
    NOT_DRAWN |= dict.fromkeys(
        ["accuracy_by_convexity", "choices"], "shows a sweep, and this config has none"
    )
if len(MODELS) == 1:
    NOT_DRAWN["last_layer"] = "compares models, and this config has one"
DRAWN = [name for name in FIGURES if name not in NOT_DRAWN]


rule project_embeddings:
    input:
        code=library("project_embeddings"),
        embeddings=[get_embeddings(model, "pretrained", task) for model in MODELS for task in TASKS],
        datasets=[f"<results>/datasets/{task}.csv" for _ in MODELS for task in TASKS],
        plan="<results>/plan.csv",
    output:
        table="<results>/projections.csv",
    log:
        "<results>/logs/project_embeddings.log",
    benchmark:
        "<results>/benchmarks/project_embeddings.tsv"
    conda:
        "../../envs/results.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("project_embeddings"),
        runtime=get_runtime("project_embeddings"),
    script:
        "../scripts/project_embeddings.py"


for figure in DRAWN:
    caption, inputs, settings = FIGURES[figure]

    rule:
        name:
            f"draw_{figure}"
        input:
            **inputs,
            code=library("draw_figure", f"results/figures/{figure}"),
        output:
            csv=f"<results>/figures/{figure}.csv",
            pdf=f"<results>/figures/{figure}.pdf",
            png=report(
                f"<results>/figures/{figure}.png",
                caption=f"../report/figures/{figure}.rst",
                category="6. Figures",
                labels={"figure": caption.partition(".")[0]},
            ),
        log:
            f"<results>/logs/draw_{figure}.log",
        localrule: True
        conda:
            "../../envs/results.yaml"
        params:
            settings={"models": list(MODELS), **settings},
        script:
            "../scripts/draw_figure.py"
