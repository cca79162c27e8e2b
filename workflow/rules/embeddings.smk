# Hidden states of every layer, averaged over frames: one HDF5 file per model, state and dataset.


rule embed:
    input:
        code=library("embed"),
        weights=lambda wildcards: ancient(f"{get_encoder(wildcards)}/model.safetensors"),
        config=lambda wildcards: f"{get_encoder(wildcards)}/config.json",
        feature_extractor=lambda wildcards: f"{get_encoder(wildcards)}/preprocessor_config.json",
        trace=get_trace,
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        table=ancient("<results>/corpus/corpus.csv"),
        dataset="<results>/datasets/{dataset}.csv",
    output:
        embeddings="<results>/embeddings/{model}/{state}/{dataset}.h5",
    log:
        "<results>/logs/embed/{model}/{state}/{dataset}.log",
    benchmark:
        "<results>/benchmarks/embed/{model}/{state}/{dataset}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: config["threads"]
    resources:
        gpu=min(1, config["gpus"]),
        mem_mb=get_memory("embed"),
        runtime=get_runtime("embed"),
    params:
        settings=lambda wildcards: experiment.embedding_settings(config, **wildcards),
        speed=untracked(gpus=min(1, config["gpus"]), batch_size=config["embeddings"]["batch_size"]),
    script:
        "../scripts/embed.py"
