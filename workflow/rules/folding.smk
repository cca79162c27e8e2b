# Full models cut to every depth, with a projector that makes up for the layers dropped. Nothing is trained.


rule fold_layers:
    input:
        code=library("fold_layers"),
        full=lambda wildcards: list_trained(get_full(wildcards.model, wildcards.task, wildcards.seed)),
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{task}.csv",
    output:
        table="<results>/folding/{model}/{task}/{seed}.csv",
    log:
        "<results>/logs/fold_layers/{model}/{task}/{seed}.log",
    benchmark:
        "<results>/benchmarks/fold_layers/{model}/{task}/{seed}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: config["threads"]
    resources:
        gpu=min(1, config["gpus"]),
        mem_mb=get_memory("fold_layers"),
        runtime=get_runtime("fold_layers"),
    params:
        speed=untracked(gpus=min(1, config["gpus"]), batch_size=config["embeddings"]["batch_size"]),
    script:
        "../scripts/fold_layers.py"


# Only where trainings start from folded models (finetuning.start).
rule fold_model:
    input:
        code=library("fold_model"),
        full=lambda wildcards: list_trained(get_full(wildcards.model, wildcards.task, wildcards.seed)),
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{task}.csv",
    output:
        weights="<results>/folded/{model}/{task}/{layers}/{seed}/model.safetensors",
        config="<results>/folded/{model}/{task}/{layers}/{seed}/config.json",
        feature_extractor="<results>/folded/{model}/{task}/{layers}/{seed}/preprocessor_config.json",
        provenance="<results>/folded/{model}/{task}/{layers}/{seed}/provenance.json",
    log:
        "<results>/logs/fold_model/{model}/{task}/{layers}/{seed}.log",
    benchmark:
        "<results>/benchmarks/fold_model/{model}/{task}/{layers}/{seed}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: config["threads"]
    resources:
        gpu=min(1, config["gpus"]),
        mem_mb=get_memory("fold_model"),
        runtime=get_runtime("fold_model"),
    params:
        speed=untracked(gpus=min(1, config["gpus"]), batch_size=config["embeddings"]["batch_size"]),
    script:
        "../scripts/fold_model.py"


rule merge_folding:
    input:
        code=library("merge_tables"),
        tables=get_folded(),
    output:
        table="<results>/folding.csv",
    log:
        "<results>/logs/merge_folding.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    script:
        "../scripts/merge_tables.py"
