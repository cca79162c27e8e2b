# Recordings: two Speech Commands archives (downloaded or synthesised) or the user's table -> one HDF5, datasets.

CORPUS = config["corpus"]
ARCHIVES = "<results>/synthetic" if "synthetic" in CORPUS else "<resources>/speech_commands"


rule synthesise_archives:
    input:
        code=library("synthesis"),
    output:
        train="<results>/synthetic/speech_commands_v0.02.tar.gz",
        test="<results>/synthetic/speech_commands_test_set_v0.02.tar.gz",
    log:
        "<results>/logs/synthesise_archives.log",
    benchmark:
        "<results>/benchmarks/synthesise_archives.tsv"
    conda:
        "../../envs/corpus.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("synthesise_archives"),
        runtime=get_runtime("synthesise_archives"),
    params:
        settings=CORPUS.get("synthetic"),
    script:
        "../scripts/synthesise_archives.py"


rule download_archive:
    input:
        code=library("downloads"),
    output:
        archive="<resources>/speech_commands/{archive}.tar.gz",
    log:
        "<results>/logs/download_archive/{archive}.log",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        settings=lambda wildcards: CORPUS["speech_commands"][wildcards.archive],
    script:
        "../scripts/download_archive.py"


if "table" in CORPUS:

    rule ingest_table:
        input:
            code=library("ingestion", "corpus"),
            csv=CORPUS["table"]["csv"],
        output:
            samples="<results>/corpus/corpus.h5",
            table="<results>/corpus/corpus.csv",
            fingerprint="<results>/corpus/corpus.sha256",
        log:
            "<results>/logs/ingest_table.log",
        benchmark:
            "<results>/benchmarks/ingest_table.tsv"
        conda:
            "../../envs/corpus.yaml"
        resources:
            mem_mb=get_memory("ingest_table"),
            runtime=get_runtime("ingest_table"),
        params:
            settings={key: CORPUS["table"][key] for key in ("seed", "test_share", "validation_share")},
        script:
            "../scripts/ingest_table.py"

else:

    rule ingest_archives:
        input:
            code=library("ingestion", "corpus"),
            train=f"{ARCHIVES}/speech_commands_v0.02.tar.gz",
            test=f"{ARCHIVES}/speech_commands_test_set_v0.02.tar.gz",
        output:
            samples="<results>/corpus/corpus.h5",
            table="<results>/corpus/corpus.csv",
            fingerprint="<results>/corpus/corpus.sha256",
        log:
            "<results>/logs/ingest_archives.log",
        benchmark:
            "<results>/benchmarks/ingest_archives.tsv"
        conda:
            "../../envs/corpus.yaml"
        resources:
            mem_mb=get_memory("ingest_archives"),
            runtime=get_runtime("ingest_archives"),
        script:
            "../scripts/ingest_archives.py"


rule build_words:
    input:
        code=library("datasets", "corpus"),
        table="<results>/corpus/corpus.csv",
    output:
        dataset="<results>/datasets/words.csv",
    log:
        "<results>/logs/build_words.log",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    script:
        "../scripts/build_words.py"


rule build_speakers:
    input:
        code=library("datasets", "corpus"),
        table="<results>/corpus/corpus.csv",
    output:
        dataset="<results>/datasets/speakers.csv",
    log:
        "<results>/logs/build_speakers.log",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        settings={
            key: config["datasets"].get("speakers", {}).get(key)
            for key in ("min_files", "seed", "test_share", "validation_share")
        },
    script:
        "../scripts/build_speakers.py"
