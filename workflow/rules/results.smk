# Table 1 and the figures.

SIZES = {name: MODELS[name]["size"] for name in MODELS}
# Figure 2 shows one sweep: of words, as in the paper, where both tasks are swept.
SWEPT = "words" if "words" in config["sweep"] else "speakers"
# Tables that the report shows, by the name of their caption in report/: file, category, title.
SHOWN = {
    "table1": ("table1", "Table 1", "Full against pruned models"),
    "plan": ("plan", "Plan", "Layers kept, and why"),
    "convexity": ("convexity", "Convexity", "Convexity by model, state, dataset and layers"),
    "counts": ("datasets/summary", "Data", "Files, classes, speakers and durations"),
}


rule make_table1:
    input:
        code=library("tables"),
        finetuning="<results>/finetuning.csv",
        timing="<results>/timing.csv",
        plan="<results>/plan.csv",
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
        settings={"models": list(MODELS)},
    script:
        "../scripts/make_table1.py"


rule draw_figure1:
    input:
        code=library("figures"),
        convexity="<results>/convexity.csv",
        plan="<results>/plan.csv",
    output:
        pdf="<results>/figures/figure1.pdf",
        png=report(
            "<results>/figures/figure1.png",
            caption="../report/figure1.rst",
            category="Figures",
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
            "layers": {name: MODELS[name]["layers"] for name in MODELS},
            "models": list(MODELS),
            "sizes": SIZES,
        },
    script:
        "../scripts/draw_figure1.py"


rule draw_figure2:
    input:
        code=library("figures"),
        convexity="<results>/convexity.csv",
        finetuning="<results>/finetuning.csv",
    output:
        pdf="<results>/figures/figure2.pdf",
        png=report(
            "<results>/figures/figure2.png",
            caption="../report/figure2.rst",
            category="Figures",
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
            "models": config["sweep"].get(SWEPT, {}).get("models"),
            "task": SWEPT,
        },
    script:
        "../scripts/draw_figure2.py"


rule write_summary:
    input:
        code=library("summary", "pages"),
        plan="<results>/plan.csv",
        table1="<results>/table1.md",
        convexity="<results>/convexity.csv",
        data="<results>/datasets/summary.md",
        failures=["<results>/alignment/failures.csv"] if "phonemes" in DATASETS else [],
        provenance=expand("<results>/models/{model}/provenance.json", model=MODELS),
        metrics=[
            f"<results>/finetuned/{model}/{task}/{MODELS[model]['layers']}/{SEEDS[0]}/metrics.json"
            for model in MODELS
            for task in TASKS
        ],
        figures=[
            "<results>/figures/figure1.png",
            *(["<results>/figures/figure2.png"] if config["sweep"] else []),
        ],
    output:
        summary="<results>/summary.md",
        page=report(
            "<results>/summary.html",
            caption="../report/summary.rst",
            category="Summary",
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
