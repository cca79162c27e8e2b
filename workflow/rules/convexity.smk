# Graph convexity of every layer, and the plan: how many layers each pruned model keeps.


rule score_convexity:
    input:
        code=library("score_convexity"),
        embeddings=lambda wildcards: get_embeddings(**wildcards),
        embedded=lambda wildcards: get_embedded(wildcards.dataset),
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{dataset}.csv",
    output:
        scores="<results>/convexity/{model}/{state}/{dataset}.csv",
        classes="<results>/convexity/{model}/{state}/{dataset}.classes.csv",
        covariances="<results>/convexity/{model}/{state}/{dataset}.covariances.csv",
    log:
        "<results>/logs/score_convexity/{model}/{state}/{dataset}.log",
    benchmark:
        "<results>/benchmarks/score_convexity/{model}/{state}/{dataset}.tsv"
    conda:
        "../../envs/convexity.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("score_convexity"),
        runtime=get_runtime("score_convexity"),
    params:
        settings={"n_neighbors": config["convexity"]["n_neighbors"]},
    script:
        "../scripts/score_convexity.py"


rule merge_convexity:
    input:
        tables=get_scores,
    output:
        table="<results>/convexity.csv",
    log:
        "<results>/logs/merge_convexity.log",
    localrule: True
    conda:
        "../../envs/convexity.yaml"
    script:
        "../scripts/merge_tables.py"


checkpoint plan_layers:
    input:
        code=library("plan_layers"),
        scores=get_plan_scores(),
        covariances=get_plan_scores(".covariances"),
    output:
        plan="<results>/plan.csv",
    log:
        "<results>/logs/plan_layers.log",
    localrule: True
    conda:
        "../../envs/convexity.yaml"
    params:
        settings=experiment.plan_settings(config),
    script:
        "../scripts/plan_layers.py"
