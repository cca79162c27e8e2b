# Encoders: downloaded, imported from a folder, or pretrained here -> one Hugging Face folder per model.
# The three rules write the same files; the model's `source` decides which one applies.


rule download_model:
    input:
        code=ancient(library("download_model")),  # an existing model stays, as an archive does
    output:
        weights="<results>/models/{model}/model.safetensors",
        config="<results>/models/{model}/config.json",
        feature_extractor="<results>/models/{model}/preprocessor_config.json",
        provenance="<results>/models/{model}/provenance.json",
    log:
        "<results>/logs/download_model/{model}.log",
    benchmark:
        "<results>/benchmarks/download_model/{model}.tsv"
    wildcard_constraints:
        model=models_from("hub"),
    priority: 1  # so that a run without a network fails soon
    localrule: True
    conda:
        "../../envs/models.yaml"
    params:
        settings=lambda wildcards: experiment.source_settings(config, wildcards.model),
    script:
        "../scripts/download_model.py"


rule import_model:
    input:
        code=library("import_model"),
        source=get_model_files,
    output:
        weights="<results>/models/{model}/model.safetensors",
        config="<results>/models/{model}/config.json",
        feature_extractor="<results>/models/{model}/preprocessor_config.json",
        provenance="<results>/models/{model}/provenance.json",
    log:
        "<results>/logs/import_model/{model}.log",
    benchmark:
        "<results>/benchmarks/import_model/{model}.tsv"
    wildcard_constraints:
        model=models_from("path"),
    conda:
        "../../envs/models.yaml"
    resources:
        mem_mb=get_memory("import_model"),
        runtime=get_runtime("import_model"),
    params:
        settings=lambda wildcards: experiment.source_settings(config, wildcards.model),
        files=lambda wildcards: provenance.identify(get_model_files(wildcards)),
    script:
        "../scripts/import_model.py"


rule pretrain_model:
    input:
        code=library("pretrain_model"),
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        table="<results>/corpus/corpus.csv",
    output:
        weights="<results>/models/{model}/model.safetensors",
        config="<results>/models/{model}/config.json",
        feature_extractor="<results>/models/{model}/preprocessor_config.json",
        provenance="<results>/models/{model}/provenance.json",
    log:
        "<results>/logs/pretrain_model/{model}.log",
    benchmark:
        "<results>/benchmarks/pretrain_model/{model}.tsv"
    wildcard_constraints:
        model=models_from("pretrain"),
    conda:
        "../../envs/models.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("pretrain_model"),
        runtime=get_runtime("pretrain_model"),
    params:
        settings=lambda wildcards: experiment.pretraining_settings(config, wildcards.model),
    script:
        "../scripts/pretrain_model.py"
