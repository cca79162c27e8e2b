# Recordings: two Speech Commands archives (downloaded or synthesised) or the user's table -> one HDF5, datasets.

CORPUS = config["corpus"]


rule synthesise_archives:
    input:
        code=library("synthesise_archives"),
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
        code=ancient(library("download_archive")),  # an existing archive stays, even if this code changes
    output:
        archive="<resources>/speech_commands/{archive}.tar.gz",
    log:
        "<results>/logs/download_archive/{archive}.log",
    benchmark:
        "<results>/benchmarks/download_archive/{archive}.tsv"
    wildcard_constraints:
        archive=get_downloads(),
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        # Not tracked, as a function of the input: an existing archive is not fetched again when its source or
        # sum is written into the config.
        settings=lambda wildcards, input: get_archives()[wildcards.archive],
    script:
        "../scripts/download_archive.py"


if "table" in CORPUS:

    rule ingest_table:
        input:
            code=library("ingest_table"),
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
            settings=get_drawing(),
            files=provenance.identify([CORPUS["table"]["csv"]]),
        script:
            "../scripts/ingest_table.py"

else:

    rule ingest_archives:
        input:
            code=library("ingest_archives"),
            train=get_archive(experiment.MAIN_ARCHIVE),
            test=get_test_archive(),
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
        params:
            # Not tracked either: a sum in the config checks the archive, but does not change it.
            settings=lambda wildcards, input: get_sums(),
            files=provenance.identify(get_local_archives()),
        script:
            "../scripts/ingest_archives.py"


# Words, and every dataset that is the recordings with a label of their own.
rule build_labelled:
    input:
        code=library("build_labelled"),
        table="<results>/corpus/corpus.csv",
    output:
        dataset="<results>/datasets/{dataset}.csv",
    log:
        "<results>/logs/build_labelled/{dataset}.log",
    wildcard_constraints:
        dataset="|".join(LABELS) or "(?!)",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        settings=lambda wildcards: {"label": LABELS[wildcards.dataset]},
    script:
        "../scripts/build_labelled.py"


rule build_speakers:
    input:
        code=library("build_speakers"),
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


rule summarise_datasets:
    input:
        code=library("summarise_datasets"),
        corpus="<results>/corpus/corpus.csv",
        datasets=list(get_summarised().values()),
    output:
        csv="<results>/datasets/summary.csv",
        markdown="<results>/datasets/summary.md",
    log:
        "<results>/logs/summarise_datasets.log",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        # The paper's counts apply only to the real recordings.
        settings={
            "compare": "speech_commands" in CORPUS,
            "datasets": list(get_summarised()),
            "seconds": config["clips"]["seconds"],
        }
        | experiment.test_settings(config),
    script:
        "../scripts/summarise_datasets.py"
