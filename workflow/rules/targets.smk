# Further targets of a whole run, and the checks before it. No rules.


def get_intermediates(wildcards):
    """The intermediate files, each of them a target.

    If a job fails or is killed, Snakemake deletes its outputs. If older final results are still there, it would not
    notice that an intermediate file is missing, and would call them up to date. Stored features and downloads are no
    targets, so that users may delete them: the jobs that read them have their sources as inputs too.
    """
    archives = [experiment.MAIN_ARCHIVE, experiment.TEST_ARCHIVE] if "synthetic" in config["corpus"] else []
    return [
        *map(get_archive, archives),
        "<results>/corpus/corpus.h5",
        *get_shards("phones"),
        *get_summarised().values(),
        *expand("<results>/models/{model}/provenance.json", model=MODELS),
        *expand(
            "<results>/embeddings/{embedded}.h5", embedded=map("/".join, experiment.list_embedded(config))
        ),
        *get_scores(wildcards),
        *get_run_files("metrics.json"),
        *get_timings(wildcards),
        *expand(
            "<results>/criteria/{model}/{dataset}{kind}.csv",
            model=MODELS,
            dataset=TASKS,
            kind=["", ".similarities"],
        ),
        *get_folded(),
        *tables(
            *("convexity", "costs", "criteria", "exports", "finetuning", "folding", "groups"),
            *("significance", "similarities", "timing"),
        ).values(),
    ]


def check_results_folder():
    """Refuse to start if the results folder cannot be written: Snakemake itself would end with a traceback."""
    folder = next(path for path in (RESULTS, *RESULTS.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        sys.exit(f"Results: allow writing to {folder}, or name another folder in pathvars, and run again")


def check_terms_of_maus():
    """Refuse to start alignments by a service whose terms of use were not accepted. A dry run is allowed."""
    aligns = any(job.rule.name == "align_shard" for job in workflow.dag.needrun_jobs())
    accepted = config["maus"]["accept_terms"] and config["maus"]["contact"]
    if USES_MAUS and aligns and not accepted:
        sys.exit(
            "Config: datasets.phonemes.aligner: maus sends the recordings to a web service. Read its terms of "
            "use (workflow/README.md), then set maus.accept_terms: true and maus.contact: your e-mail address; "
            "or take aligner: pocketsphinx, which works offline"
        )
