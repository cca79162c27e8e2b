# Phonemes: forced alignment of the words of one split, in shards -> segments -> the phonemes dataset.

PHONEMES = config["datasets"].get("phonemes", {})
USES_MAUS = PHONEMES.get("aligner") == "maus"


rule align_shard:
    input:
        code=library("align_shard"),
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
    priority: 1  # so that a problem with the alignments shows early
    localrule: USES_MAUS  # compute nodes have no internet
    conda:
        "../../envs/alignment.yaml"
    threads: 1 if USES_MAUS else config["threads"]
    resources:
        maus=int(USES_MAUS),
        mem_mb=get_memory("align_shard"),
        runtime=get_runtime("align_shard"),
    params:
        settings=experiment.alignment_settings(config),
        store=untracked(folder=workflow.pathvars.apply("<resources>/alignments")),
        service=untracked(
            max_requests=config["maus"]["max_requests"],
            timeout=config["maus"]["timeout"],
            contact=config["maus"]["contact"] if config["maus"]["accept_terms"] else "",
        ),
    script:
        "../scripts/align_shard.py"


rule merge_alignments:
    input:
        code=library("merge_alignments"),
        phones=get_shards("phones"),
        failures=get_shards("failures"),
        table="<results>/corpus/corpus.csv",
    output:
        phones="<results>/alignment/phones.csv",
        failures="<results>/alignment/failures.csv",
    log:
        "<results>/logs/merge_alignments.log",
    priority: 1
    localrule: True
    conda:
        "../../envs/alignment.yaml"
    params:
        settings={"split": PHONEMES.get("convexity_split")},
    script:
        "../scripts/merge_alignments.py"


rule build_phonemes:
    input:
        code=library("build_phonemes"),
        phones="<results>/alignment/phones.csv",
        failures="<results>/alignment/failures.csv",
        table="<results>/corpus/corpus.csv",
    output:
        dataset="<results>/datasets/phonemes.csv",
        labels="<results>/datasets/phonemes.labels.csv",
        refusal="<results>/datasets/phonemes.refusal.txt",
    log:
        "<results>/logs/build_phonemes.log",
    priority: 1
    localrule: True
    conda:
        "../../envs/corpus.yaml"
    params:
        settings=experiment.phoneme_settings(config),
    script:
        "../scripts/build_phonemes.py"
