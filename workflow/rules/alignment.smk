# Phonemes: forced alignment of the words of one split, in shards -> segments -> the phonemes dataset.

PHONEMES = config["datasets"].get("phonemes", {})


rule align_shard:
    input:
        code=library("alignment", "answers", "corpus", "maus", "retries"),
        samples=ancient("<results>/corpus/corpus.h5"),
        fingerprint="<results>/corpus/corpus.sha256",
        table="<results>/corpus/corpus.csv",
    output:
        phones="<results>/alignment/shards/{shard}-of-{shards}.phones.csv",
        failures="<results>/alignment/shards/{shard}-of-{shards}.failures.csv",
    log:
        "<results>/logs/align_shard/{shard}-of-{shards}.log",
    benchmark:
        "<results>/benchmarks/align_shard/{shard}-of-{shards}.tsv"
    localrule: uses_maus()  # compute nodes have no internet
    conda:
        "../../envs/alignment.yaml"
    threads: 1 if uses_maus() else config["threads"]
    resources:
        maus=int(uses_maus()),
        max_requests=config["maus"]["max_requests"],
        timeout=config["maus"]["timeout"],
        contact=config["maus"]["contact"] if config["maus"]["accept_terms"] else "",
        store=workflow.pathvars.apply("<resources>/alignments"),
        mem_mb=get_memory("align_shard"),
        runtime=get_runtime("align_shard"),
    params:
        settings=get_alignment_settings(),
    script:
        "../scripts/align_shard.py"


rule merge_alignments:
    input:
        code=library("alignment", "answers", "corpus", "maus", "retries"),
        phones=get_shards("phones"),
        failures=get_shards("failures"),
        table="<results>/corpus/corpus.csv",
    output:
        phones="<results>/alignment/phones.csv",
        failures="<results>/alignment/failures.csv",
    log:
        "<results>/logs/merge_alignments.log",
    localrule: True
    conda:
        "../../envs/alignment.yaml"
    params:
        settings={
            "max_failed_share": PHONEMES.get("max_failed_share"),
            "split": PHONEMES.get("convexity_split"),
        },
    script:
        "../scripts/merge_alignments.py"


rule build_phonemes:
    input:
        code=library("datasets", "corpus"),
        phones="<results>/alignment/phones.csv",
    output:
        dataset="<results>/datasets/phonemes.csv",
        labels="<results>/datasets/phonemes.labels.csv",
    log:
        "<results>/logs/build_phonemes.log",
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        settings={"min_count": PHONEMES.get("min_count")},
    script:
        "../scripts/build_phonemes.py"
