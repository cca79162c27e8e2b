# Phonemes: forced alignment of the words of one split -> segments -> the phonemes dataset.

PHONEMES = config["datasets"].get("phonemes", {})


rule align_words:
    input:
        code=library("alignment", "corpus"),
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        table="<results>/corpus/corpus.csv",
    output:
        phones="<results>/alignment/phones.csv",
        failures="<results>/alignment/failures.csv",
    log:
        "<results>/logs/align_words.log",
    benchmark:
        "<results>/benchmarks/align_words.tsv"
    conda:
        "../../envs/alignment.yaml"
    threads: config["threads"]
    resources:
        mem_mb=get_memory("align_words"),
        runtime=get_runtime("align_words"),
    params:
        settings={
            "aligner": PHONEMES.get("aligner"),
            "max_failed_share": PHONEMES.get("max_failed_share"),
            "split": PHONEMES.get("convexity_split"),
        },
    script:
        "../scripts/align_words.py"


rule build_phonemes:
    input:
        code=library("datasets", "corpus"),
        phones="<results>/alignment/phones.csv",
    output:
        dataset="<results>/datasets/phonemes.csv",
    log:
        "<results>/logs/build_phonemes.log",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        settings={"min_count": PHONEMES.get("min_count")},
    script:
        "../scripts/build_phonemes.py"
