# Every criterion for choosing layers, at every layer of a pretrained model, on the dataset of every task.


rule score_criteria:
    input:
        code=library("score_criteria"),
        embeddings=lambda wildcards: get_embeddings(wildcards.model, "pretrained", wildcards.dataset),
        embedded=lambda wildcards: get_embedded(wildcards.dataset),
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{dataset}.csv",
        convexity="<results>/convexity/{model}/pretrained/{dataset}.csv",
    output:
        criteria="<results>/criteria/{model}/{dataset}.csv",
        similarities="<results>/criteria/{model}/{dataset}.similarities.csv",
    log:
        "<results>/logs/score_criteria/{model}/{dataset}.log",
    benchmark:
        "<results>/benchmarks/score_criteria/{model}/{dataset}.tsv"
    conda:
        "../../envs/results.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("score_criteria"),
        runtime=get_runtime("score_criteria"),
    params:
        settings={"average": AVERAGE, "n_neighbors": config["convexity"]["n_neighbors"]},
    script:
        "../scripts/score_criteria.py"


rule merge_criteria:
    input:
        tables=expand("<results>/criteria/{model}/{dataset}.csv", model=MODELS, dataset=TASKS),
    output:
        table="<results>/criteria.csv",
    log:
        "<results>/logs/merge_criteria.log",
    localrule: True
    conda:
        "../../envs/convexity.yaml"
    script:
        "../scripts/merge_tables.py"


rule merge_similarities:
    input:
        tables=expand("<results>/criteria/{model}/{dataset}.similarities.csv", model=MODELS, dataset=TASKS),
    output:
        table="<results>/similarities.csv",
    log:
        "<results>/logs/merge_similarities.log",
    localrule: True
    conda:
        "../../envs/convexity.yaml"
    script:
        "../scripts/merge_tables.py"
