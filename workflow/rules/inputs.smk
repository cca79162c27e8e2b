# Input functions and settings of single stages, in the order of the stages: Snakemake's linter wants them apart from rules.


def get_archives():
    """Source (URL or local file), size and SHA-256 of each archive of Speech Commands, if these are the corpus."""
    archives = config["corpus"].get("speech_commands", {})
    return {
        name: {
            "source": experiment.archive_source(archives, name),
            "size": archives[name]["size"],
            "sha256": archives[name]["sha256"],
        }
        for name in (experiment.list_archives(archives) if archives else [])
    }


def get_sums():
    """The SHA-256 that the config requires of the archives, as arguments of ingest_archives."""
    archives = get_archives()
    names = {"train_sum": experiment.MAIN_ARCHIVE, "test_sum": experiment.TEST_ARCHIVE}
    return {key: archives[name]["sha256"] for key, name in names.items() if name in archives}


def get_downloads():
    """Wildcard constraint: the archives that come from a URL."""
    urls = [name for name, archive in get_archives().items() if experiment.is_url(archive["source"])]
    return "|".join(re.escape(name) for name in urls) or "(?!)"


def get_archive(name):
    """An archive of Speech Commands. A downloaded one is `ancient`: its SHA-256 shows that it is still the same.

    A local one is read where it is, and Snakemake notices if it changes.
    """
    if "synthetic" in config["corpus"]:
        return f"<results>/synthetic/{name}.tar.gz"
    source = get_archives()[name]["source"]
    if not experiment.is_url(source):
        return source
    return ancient(f"<resources>/speech_commands/{name}.tar.gz")


def get_test_archive():
    """The archive with the test split; none if that is in the main one."""
    return [] if experiment.test_settings(config) else get_archive(experiment.TEST_ARCHIVE)


def get_drawing():
    """How the splits of the user's table are drawn; None if it has splits."""
    header, _ = csv_files.read_rows(config["corpus"]["table"]["csv"], skipinitialspace=True)
    return None if "split" in map(str.strip, header) else experiment.drawing_settings(config)


def get_local_archives():
    """The archives of Speech Commands that are read where they are."""
    sources = [archive["source"] for archive in get_archives().values()]
    return [source for source in sources if not experiment.is_url(source)]


def get_summarised():
    """The tables that the summary counts, by name: the datasets, and all aligned phones, rare ones too."""
    phones = {"phones": "<results>/alignment/phones.csv"} if "phonemes" in DATASETS else {}
    return {name: f"<results>/datasets/{name}.csv" for name in DATASETS} | phones


def get_shards(kind):
    """Phones or failures of each shard of the recordings to align."""
    shards = PHONEMES.get("shards", 0)
    return expand(
        "<results>/alignment/shards/{shard}-of-{shards}.{kind}.csv",
        shard=range(1, shards + 1),
        shards=shards,
        kind=kind,
    )


def models_from(source):
    """Wildcard constraint: the models of one source."""
    return "|".join(re.escape(name) for name in MODELS if MODELS[name]["source"] == source) or "(?!)"


def get_model_files(wildcards):
    """The files that are read from a local model folder."""
    return list(map(str, model_files.find_model_files(Path(MODELS[wildcards.model]["path"]))))


def get_encoder(wildcards):
    """The folder with the weights for the wildcard `state`."""
    if wildcards.state in ("untrained", "pretrained"):
        return "<results>/models/{model}"
    return get_full(wildcards.model, wildcards.state)


def get_trace(wildcards):
    """A small file that changes with these weights, since Snakemake compares contents only below 1 MB."""
    trained_here = wildcards.state in TASKS
    return f"{get_encoder(wildcards)}/{'metrics' if trained_here else 'provenance'}.json"


def get_plan_scores(kind=""):
    """The scores that the plan needs, or the files beside them of a `kind`: of models that are left to it."""
    return [
        f"<results>/convexity/{model}/pretrained/{task}{kind}.csv"
        for model in MODELS
        for task in TASKS
        if task not in MODELS[model]["keep"]
    ]


def get_finetuning_settings(wildcards):
    return experiment.finetuning_settings(config, wildcards.model, wildcards.task, int(wildcards.layers))


def get_start(wildcards):
    """The folder of the model that a training starts from."""
    start = experiment.start_of(config, wildcards.model, int(wildcards.layers))
    if start == "folded":
        return "<results>/folded/{model}/{task}/{layers}/{seed}".format(**wildcards)
    return f"<results>/models/{wildcards.model}"


# Snakemake does not look at what follows an ancient input that is made again. So features of other settings are another
# file, and trainings on them run at once.
FEATURES = "<results>/features/{{model}}/{{task}}-{}s-{}-{}-{}.h5".format(
    config["clips"]["seconds"],
    config["clips"]["padding"],
    config["finetuning"]["cache_features"],
    config["finetuning"]["precision"],
)


def get_cached_features(wildcards):
    """The stored features of the front end, if the config asks for them.

    Not `temp`: one more run would make a deleted file again, and that would repeat all other runs.
    """
    wanted = config["finetuning"]["cache_features"] != "none"
    return ancient(FEATURES) if wanted else []


def list_trained(folder):
    """The files of a fine-tuned model in `folder`, the weights first. metrics.json says how it was trained."""
    names = ("model.safetensors", "config.json", "preprocessor_config.json", "metrics.json")
    return [f"{folder}/{name}" for name in names]


def get_pruned(wildcards):
    """The folder of the pruned model, first seed."""
    layers = get_layers(wildcards.model, wildcards.task)
    return get_trained(wildcards.model, wildcards.task, layers)


def get_pruned_timing(wildcards):
    """Times of the pruned model against the full one; none if it keeps all layers."""
    layers = get_layers(wildcards.model, wildcards.task)
    whole = layers == MODELS[wildcards.model]["layers"]
    return [] if whole else f"<results>/timing/{wildcards.model}/{wildcards.task}/{layers}.json"


def tables(*names):
    """Tables as inputs, each under its own name."""
    return {name: f"<results>/{name}.csv" for name in names}


def get_folded():
    """Accuracies of every full model and seed, cut and folded to every depth."""
    return expand("<results>/folding/{model}/{task}/{seed}.csv", model=MODELS, task=TASKS, seed=SEEDS)


def get_predictions(size, seeds=SEEDS):
    """Test predictions of every full or pruned model and of each of `seeds`."""
    return [
        f"{get_trained(model, task, layers, seed)}/predictions.csv"
        for model in MODELS
        for task in TASKS
        for layers in [MODELS[model]["layers"] if size == "full" else get_layers(model, task)]
        for seed in seeds
    ]
