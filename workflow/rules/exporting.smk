# Exports for the user: the pruned, fine-tuned models (first seed) with a model card and an ONNX file.


rule export_model:
    input:
        code=library("export_model"),
        weights=ancient(lambda wildcards: f"{get_pruned(wildcards)}/model.safetensors"),
        config=lambda wildcards: f"{get_pruned(wildcards)}/config.json",
        feature_extractor=lambda wildcards: f"{get_pruned(wildcards)}/preprocessor_config.json",
        metrics=lambda wildcards: f"{get_pruned(wildcards)}/metrics.json",
        base="<results>/models/{model}/provenance.json",
        dataset="<results>/datasets/{task}.csv",
        timing=get_pruned_timing,
    output:
        weights="<results>/exported/{model}/{task}/model.safetensors",
        config="<results>/exported/{model}/{task}/config.json",
        feature_extractor="<results>/exported/{model}/{task}/preprocessor_config.json",
        onnx="<results>/exported/{model}/{task}/model.onnx",
        card="<results>/exported/{model}/{task}/README.md",
        metrics="<results>/exported/{model}/{task}/metrics.json",
    log:
        "<results>/logs/export_model/{model}/{task}.log",
    benchmark:
        "<results>/benchmarks/export_model/{model}/{task}.tsv"
    conda:
        "../../envs/models.yaml"
    # All cores of a local run, as in time_models: this job measures the CPU latency.
    threads: get_whole_machine
    resources:
        mem_mb=get_memory("export_model"),
        runtime=get_runtime("export_model"),
    params:
        settings={
            "corpus": next(iter(config["corpus"])),
            "runs": config["timing"]["runs"],
            "seconds": config["clips"]["seconds"],
            "threads": config["threads"],
            "warmup": config["timing"]["warmup"],
        }
        | experiment.test_settings(config),
    script:
        "../scripts/export_model.py"


rule merge_exports:
    input:
        code=library("merge_exports"),
        metrics=expand("<results>/exported/{model}/{task}/metrics.json", model=MODELS, task=TASKS),
    output:
        table="<results>/exports.csv",
    log:
        "<results>/logs/merge_exports.log",
    localrule: True
    conda:
        "../../envs/results.yaml"
    script:
        "../scripts/merge_exports.py"
