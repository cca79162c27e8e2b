# Full, pruned and sweep models, all fine-tuned by one rule, and their running times.

# Of `finetuning`: what changes no result.
UNTRACKED_IN_TRAINING = ["micro_batch_size", "gradient_checkpointing", "report_to"]


rule cache_features:
    input:
        code=library("cache_features"),
        weights=ancient("<results>/models/{model}/model.safetensors"),
        config="<results>/models/{model}/config.json",
        feature_extractor="<results>/models/{model}/preprocessor_config.json",
        provenance="<results>/models/{model}/provenance.json",
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{task}.csv",
    output:
        cached=FEATURES,
    log:
        "<results>/logs/cache_features/{model}/{task}.log",
    benchmark:
        "<results>/benchmarks/cache_features/{model}/{task}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: config["threads"]
    resources:
        gpu=min(1, config["gpus"]),
        mem_mb=get_memory("cache_features"),
        runtime=get_runtime("cache_features"),
    params:
        settings={
            **config["clips"],
            **{key: config["finetuning"][key] for key in ("cache_features", "precision")},
        },
        speed=untracked(gpus=min(1, config["gpus"]), batch_size=config["embeddings"]["batch_size"]),
    script:
        "../scripts/cache_features.py"


rule finetune:
    input:
        code=library("finetune"),
        weights=lambda wildcards: ancient(f"{get_start(wildcards)}/model.safetensors"),
        config=lambda wildcards: f"{get_start(wildcards)}/config.json",
        feature_extractor=lambda wildcards: f"{get_start(wildcards)}/preprocessor_config.json",
        provenance=lambda wildcards: f"{get_start(wildcards)}/provenance.json",
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{task}.csv",
        cached=get_cached_features,
    output:
        weights="<results>/finetuned/{model}/{task}/{layers}/{seed}/model.safetensors",
        config="<results>/finetuned/{model}/{task}/{layers}/{seed}/config.json",
        feature_extractor="<results>/finetuned/{model}/{task}/{layers}/{seed}/preprocessor_config.json",
        metrics="<results>/finetuned/{model}/{task}/{layers}/{seed}/metrics.json",
        log="<results>/finetuned/{model}/{task}/{layers}/{seed}/training_log.csv",
        predictions="<results>/finetuned/{model}/{task}/{layers}/{seed}/predictions.csv",
    log:
        "<results>/logs/finetune/{model}/{task}/{layers}/{seed}.log",
    benchmark:
        "<results>/benchmarks/finetune/{model}/{task}/{layers}/{seed}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: config["threads"]
    resources:
        gpu=min(1, config["gpus"]),
        mem_mb=get_memory("finetune"),
        runtime=get_runtime("finetune"),
    params:
        settings=get_finetuning_settings,
        speed=untracked(
            gpus=min(1, config["gpus"]),
            **{key: config["finetuning"][key] for key in UNTRACKED_IN_TRAINING},
        ),
    script:
        "../scripts/finetune.py"


rule merge_finetuning:
    input:
        code=library("merge_metrics"),
        metrics=lambda wildcards: get_run_files("metrics.json"),
    output:
        table="<results>/finetuning.csv",
    log:
        "<results>/logs/merge_finetuning.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    script:
        "../scripts/merge_metrics.py"


rule time_models:
    input:
        code=library("time_models"),
        full=lambda wildcards: list_trained(get_full(wildcards.model, wildcards.task)),
        pruned=list_trained(get_trained("{model}", "{task}", "{layers}")),
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        dataset="<results>/datasets/{task}.csv",
    output:
        timing="<results>/timing/{model}/{task}/{layers}.json",
    log:
        "<results>/logs/time_models/{model}/{task}/{layers}.log",
    benchmark:
        "<results>/benchmarks/time_models/{model}/{task}/{layers}.tsv"
    conda:
        "../../envs/models.yaml"
    # Reserves all cores of a local run, so that no other job disturbs the times. It computes with config["threads"].
    threads: get_whole_machine
    resources:
        gpu=get_timing_gpus,
        mem_mb=get_memory("time_models"),
        runtime=get_runtime("time_models"),
    params:
        settings=lambda wildcards: {
            "full_layers": MODELS[wildcards.model]["layers"],
            "runs": config["timing"]["runs"],
            "seconds": config["clips"]["seconds"],
            "steps": config["timing"]["steps"],
            "threads": config["threads"],
            "warmup": config["timing"]["warmup"],
        },
        speed=untracked(gpus=min(1, config["gpus"])),
    script:
        "../scripts/time_models.py"


rule merge_timing:
    input:
        code=library("merge_metrics"),
        metrics=get_timings,
    output:
        table="<results>/timing.csv",
    log:
        "<results>/logs/merge_timing.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    script:
        "../scripts/merge_metrics.py"
