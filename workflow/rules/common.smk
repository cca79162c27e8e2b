# Config validation, wildcard constraints and input functions of all stages. No rules.

import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(workflow.basedir) / "workflow/scripts"))

from convexprune import configuration, needs, provenance


def check(function, argument):
    """Call a function of `configuration`. What it finds wrong is told alone, without Snakemake's trace."""
    try:
        function(argument)
    except configuration.ConfigError as error:
        sys.exit(str(error))


for file in workflow.configfiles or ["config.yaml"]:
    check(configuration.read_yaml, file)

# A config given with --configfile replaces config.yaml. Merging the two would add the paper's models to it.
if not workflow.configfiles:

    configfile: "config.yaml"


check(configuration.complete, config)

MODELS = config["models"]
DATASETS = list(config["datasets"])
TASKS = config["tasks"]
SEEDS = config["finetuning"]["seeds"]

# Without these lines `--cores` alone would start any number of GPU jobs and of requests to MAUS at once.
workflow.global_resources.setdefault("gpu", config["gpus"])
workflow.global_resources.setdefault("maus", config["maus"]["max_requests"])


def get_archives():
    """Source (URL or local file), size and SHA-256 of each archive of Speech Commands, if these are the corpus."""
    archives = config["corpus"].get("speech_commands", {})
    return {
        name: {
            "source": configuration.archive_source(archives, name),
            "size": archive["size"],
            "sha256": archive["sha256"],
        }
        for name, archive in archives.items()
        if name != "mirror"
    }


def get_sums():
    """The SHA-256 that the config asks of the archives, for the arguments of ingest_archives."""
    archives = get_archives()
    names = {"train_sum": "speech_commands_v0.02", "test_sum": "speech_commands_test_set_v0.02"}
    return {key: archives[name]["sha256"] for key, name in names.items() if name in archives}


def get_downloads():
    """Wildcard constraint: the archives that come from a URL."""
    urls = [name for name, archive in get_archives().items() if configuration.is_url(archive["source"])]
    return "|".join(re.escape(name) for name in urls) or "(?!)"


wildcard_constraints:
    model="|".join(re.escape(name) for name in MODELS),
    dataset="|".join(DATASETS),
    state="|".join(["untrained", "pretrained", *TASKS]),
    task="|".join(TASKS),
    layers=r"\d+",
    seed=r"\d+",


def library(*modules):
    """Files of library modules a stage runs, so that an edit runs it again (contents are compared)."""
    return [f"workflow/scripts/convexprune/{module}.py" for module in modules]


def get_archive(name):
    """An archive of Speech Commands. A downloaded one is `ancient`: its SHA-256 says that it is still the same.

    A local one is read where it is, and a change of it is noticed.
    """
    if "synthetic" in config["corpus"]:
        return f"<results>/synthetic/{name}.tar.gz"
    source = get_archives()[name]["source"]
    if not configuration.is_url(source):
        return source
    return ancient(f"<resources>/speech_commands/{name}.tar.gz")


def get_summarised():
    """The tables that the summary counts, by name: the datasets, and all aligned phones, rare ones too."""
    phones = {"phones": "<results>/alignment/phones.csv"} if "phonemes" in DATASETS else {}
    return {name: f"<results>/datasets/{name}.csv" for name in DATASETS} | phones


def models_from(source):
    """Wildcard constraint: the models of one source."""
    return "|".join(re.escape(name) for name in MODELS if MODELS[name]["source"] == source) or "(?!)"


def get_model_files(wildcards):
    """The files of a local model folder."""
    folder = Path(MODELS[wildcards.model]["path"])
    settings = [folder / "config.json", folder / "preprocessor_config.json"]  # the second may be missing
    return [str(path) for path in (*settings, configuration.find_weights(folder)) if path.exists()]


def get_layers(model, task):
    """Layers that the pruned model keeps: from the config, or else from the plan.

    Only a model whose layers are left to the plan touches the checkpoint; with all layers in the config a dry
    run shows every job.
    """
    keep = MODELS[model]["keep"].get(task)
    if keep is not None:
        return keep
    plan = pd.read_csv(checkpoints.plan_layers.get().output.plan)
    return int(plan.query("model == @model and task == @task").layers.item())


def get_runs(tasks=None):
    """(model, task, layers, seed) of every fine-tuning run: full, pruned and sweep."""
    for task in tasks or TASKS:
        for model in MODELS:
            swept = needs.swept_layers(config, model, task)
            for layers in sorted({MODELS[model]["layers"], get_layers(model, task), *swept}):
                for seed in SEEDS:
                    yield model, task, layers, seed


def get_run_files(name):
    """A file of every fine-tuning run."""
    return [
        f"<results>/finetuned/{model}/{task}/{layers}/{seed}/{name}"
        for model, task, layers, seed in get_runs()
    ]


def get_timed_layers(model, task):
    """Layers whose inference is timed against the full model's: those kept, and the sweep's."""
    swept = {*needs.swept_layers(config, model, task)} - {MODELS[model]["layers"]}
    return sorted({get_layers(model, task), *swept})


def get_timings(wildcards):
    return [
        f"<results>/timing/{model}/{task}/{layers}.json"
        for model in MODELS
        for task in TASKS
        for layers in get_timed_layers(model, task)
    ]


def get_predictions(size):
    """Test predictions of every full or pruned model and seed."""
    return [
        f"<results>/finetuned/{model}/{task}/{layers}/{seed}/predictions.csv"
        for model in MODELS
        for task in TASKS
        for layers in [MODELS[model]["layers"] if size == "full" else get_layers(model, task)]
        for seed in SEEDS
    ]


def get_probes(wildcards):
    """Linear probes of every swept model."""
    return [
        f"<results>/probes/{model}/{task}.csv"
        for task, sweep in config["sweep"].items()
        for model in sweep["models"]
    ]


def get_encoder(wildcards):
    """The folder of the weights that `state` names."""
    if wildcards.state in ("untrained", "pretrained"):
        return "<results>/models/{model}"
    layers = MODELS[wildcards.model]["layers"]
    return f"<results>/finetuned/{{model}}/{{state}}/{layers}/{SEEDS[0]}"


def get_trace(wildcards):
    """A small file that changes with those weights: Snakemake compares contents only below 1 MB."""
    trained_here = wildcards.state in TASKS
    return f"{get_encoder(wildcards)}/{'metrics' if trained_here else 'provenance'}.json"


def uses_maus():
    return config["datasets"].get("phonemes", {}).get("aligner") == "maus"


def check_results_folder():
    """Refuse to start where nothing can be written: Snakemake itself would end with a traceback."""
    results = Path(config["pathvars"]["results"])
    folder = next(path for path in (results, *results.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        sys.exit(f"Results: allow writing to {folder}, or name another folder in pathvars, and run again")


def check_terms_of_maus():
    """Refuse to start, not to plan, alignments by a service whose terms of use were not accepted."""
    aligns = any(job.rule.name == "align_shard" for job in workflow.dag.needrun_jobs())
    accepted = config["maus"]["accept_terms"] and config["maus"]["contact"]
    if uses_maus() and aligns and not accepted:
        sys.exit(
            "Config: datasets.phonemes.aligner: maus sends the recordings to a web service. Read its terms of "
            "use (workflow/README.md), then set maus.accept_terms: true and maus.contact: your e-mail address; "
            "or take aligner: pocketsphinx, which works offline"
        )


def get_shards(kind):
    """Phones or failures of each shard of the recordings to align."""
    shards = config["datasets"]["phonemes"]["shards"] if "phonemes" in DATASETS else 0
    return expand(
        "<results>/alignment/shards/{shard}-of-{shards}.{kind}.csv",
        shard=range(1, shards + 1),
        shards=shards,
        kind=kind,
    )


def get_alignment_settings():
    """What the phones depend on. How a service is called (contact, limits) is a resource."""
    phonemes = config["datasets"].get("phonemes", {})
    settings = {"aligner": phonemes.get("aligner"), "split": phonemes.get("convexity_split")}
    if uses_maus():
        settings |= {key: config["maus"][key] for key in ("language", "url")}
    return dict(sorted(settings.items()))


def get_embedding_settings(wildcards):
    dataset = config["datasets"][wildcards.dataset]
    return {
        "context": dataset.get("context", "segment"),
        "frames": config["embeddings"]["frames"],
        "layers": MODELS[wildcards.model]["layers"],
        "seed": (config["convexity"]["untrained_seed"] if wildcards.state == "untrained" else None),
        "split": dataset["convexity_split"],
    }


def get_states(model, dataset):
    """States of `model` whose convexity is measured on `dataset`."""
    untrained = ["untrained"] if dataset in config["convexity"]["untrained"] else []
    return [*untrained, "pretrained", *TASKS]


def get_scored():
    """What is embedded and scored: model/state/dataset."""
    return [
        f"{model}/{state}/{dataset}"
        for model in MODELS
        for dataset in DATASETS
        for state in get_states(model, dataset)
    ]


def get_scores(wildcards):
    return expand("<results>/convexity/{scored}.csv", scored=get_scored())


def get_plan_scores(wildcards):
    """Only models whose layers are left to the plan need their scores first."""
    return [
        f"<results>/convexity/{model}/pretrained/{task}.csv"
        for model in MODELS
        for task in TASKS
        if task not in MODELS[model]["keep"]
    ]


def get_plan_settings(wildcards):
    def settings(model, task):
        keep = MODELS[model]["keep"].get(task)
        rule_name = config["plan"]["rule"] if keep is None else "explicit"
        return {
            "keep": keep,
            "layers": MODELS[model]["layers"],
            "rule": rule_name,
            "split": config["datasets"][task]["convexity_split"],
            "tolerance": (config["plan"]["tolerance"] if rule_name == "tolerance" else None),
        }

    return {
        "average": config["convexity"]["average"],
        "models": {model: {task: settings(model, task) for task in TASKS} for model in MODELS},
    }


def get_finetuning_settings(wildcards):
    """Only what this run depends on, so that changing the pruned learning rate leaves full models alone."""
    other = {"seeds", "micro_batch_size", "gradient_checkpointing"}
    settings = {key: value for key, value in config["finetuning"].items() if key not in other}
    full_layers = MODELS[wildcards.model]["layers"]
    size = "full" if int(wildcards.layers) == full_layers else "pruned"
    settings["learning_rate"] = settings["learning_rate"][wildcards.task][size]
    settings["full_layers"] = full_layers
    return dict(sorted(settings.items()))


def get_cached_features(wildcards):
    """The stored features of the front end, where the config wants them.

    Not `temp`: a file that is gone would be made again for one more run, and take all others with it.
    """
    wanted = config["finetuning"]["cache_features"] != "none"
    return ancient("<results>/features/{model}/{task}.h5") if wanted else []


def get_pruned(wildcards):
    """The folder of the pruned model, first seed."""
    layers = get_layers(wildcards.model, wildcards.task)
    return f"<results>/finetuned/{{model}}/{{task}}/{layers}/{SEEDS[0]}"


def get_full_weights(wildcards):
    layers = MODELS[wildcards.model]["layers"]
    return f"<results>/finetuned/{{model}}/{{task}}/{layers}/{SEEDS[0]}/model.safetensors"


def get_intermediates(wildcards):
    """What the results are made of, each a target of its own.

    Snakemake deletes what a job that fails or is killed was to make again. Where results of before an edit are there
    further on, it would not miss that, and call them up to date. Stored features and downloads are no targets, so
    that they may be deleted: what they are made of is an input of what reads them too.
    """
    archives = (
        ["speech_commands_v0.02", "speech_commands_test_set_v0.02"] if "synthetic" in config["corpus"] else []
    )
    return [
        *map(get_archive, archives),
        "<results>/corpus/corpus.h5",
        *get_shards("phones"),
        *get_summarised().values(),
        *expand("<results>/models/{model}/provenance.json", model=MODELS),
        *expand("<results>/embeddings/{scored}.h5", scored=get_scored()),
        *get_scores(wildcards),
        *get_run_files("metrics.json"),
        *get_timings(wildcards),
        *get_probes(wildcards),
        *expand(
            "<results>/{table}.csv", table=["convexity", "costs", "finetuning", "significance", "timing"]
        ),
    ]


def print_failures(logs):
    """What each failed job says to do, last of all: Snakemake's own lines bury it."""
    told = "".join(Path(log).read_text() for log in logs)
    failed = re.findall(r"^ *log: (.+) \(check log", told, re.MULTILINE)
    for path in dict.fromkeys(failed):
        if Path(path).exists() and (advice := provenance.read_advice(path)):
            print(f"{path}: {advice}", file=sys.stderr)


def print_outcome():
    """What a person wants to see at the end of a run: layers kept, Table 1, and where the rest is."""
    summary = Path(config["pathvars"]["results"], "summary.md")
    if summary.exists():
        print(summary.read_text().partition("## Figures")[0])
        print(
            f"All of it: {summary}   Figures: {summary.parent}/figures/   Models: {summary.parent}/exported/"
        )
