# Config validation, wildcard constraints and input functions of all stages. No rules.

from pathlib import Path

import pandas as pd
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

validate(config, "../schemas/config.schema.yaml")

MODELS = config["models"]
DATASETS = list(config["datasets"])
TASKS = config["tasks"]
SEEDS = config["finetuning"]["seeds"]

# Without this line `--cores` alone would start any number of GPU jobs at once.
workflow.global_resources.setdefault("gpu", config["gpus"])


def check(condition, message):
    if not condition:
        raise WorkflowError(f"Config: {message}")


def get_archives():
    """Source (URL or local file), size and SHA-256 of each archive of Speech Commands, if these are the corpus."""
    archives = dict(config["corpus"].get("speech_commands", {}))
    mirror = archives.pop("mirror", None)
    return {
        name: {
            "source": archive["path"]
            or (f"{mirror.rstrip('/')}/{name}.tar.gz" if mirror else archive["url"]),
            "size": archive["size"],
            "sha256": archive["sha256"],
        }
        for name, archive in archives.items()
    }


def check_config():
    """What a schema cannot express: keys that refer to each other."""
    sources = {"speech_commands", "synthetic", "table"} & set(config["corpus"])
    check(
        len(sources) == 1,
        f"corpus: give one of speech_commands, synthetic, table; found {sorted(sources)}",
    )
    for name, archive in get_archives().items():
        check(
            archive["source"],
            f"corpus.speech_commands.{name}: give its url or path, or a mirror for both archives",
        )
        path = Path(config["pathvars"].get("resources", "resources"), f"speech_commands/{name}.tar.gz")
        record = Path(f"{path}.sha256")
        if archive["sha256"] and path.exists() and record.exists():
            recorded = record.read_text().split()[0]
            check(
                recorded == archive["sha256"].lower(),
                f"corpus.speech_commands.{name}.sha256 is {archive['sha256']}, but {path}, which is there, has "
                f"{recorded}: correct the one or delete the other",
            )
    for name, model in MODELS.items():
        keys = {"hub": {"id", "revision"}, "path": {"path"}, "pretrain": {"pretrain"}}
        found = {"id", "revision", "path", "pretrain"} & set(model)
        expected = keys[model["source"]]
        check(
            found == expected,
            f"models.{name}: source {model['source']} takes {sorted(expected)}; found {sorted(found)}",
        )
        for task, layers in model["keep"].items():
            check(
                layers < model["layers"],
                f"models.{name}.keep.{task}: {layers} is not below the model's {model['layers']} layers",
            )
    for task in TASKS:
        check(task in DATASETS, f"tasks: {task} needs datasets.{task}")
        check(
            task in config["finetuning"]["learning_rate"],
            f"tasks: {task} needs finetuning.learning_rate.{task}",
        )
    for place, held_out in (
        ("corpus.table", config["corpus"].get("table")),
        ("datasets.speakers", config["datasets"].get("speakers")),
    ):
        check(
            held_out is None or held_out["test_share"] + held_out["validation_share"] < 1,
            f"{place}: test_share and validation_share leave nothing to train on",
        )
    for task, sweep in config["sweep"].items():
        check(task in TASKS, f"sweep.{task}: {task} is not among the tasks {TASKS}")
        for name in sweep["models"]:
            check(
                name in MODELS,
                f"sweep.{task}.models: {name} is not a model; there are {list(MODELS)}",
            )
            beyond = [layers for layers in sweep["layers"] if layers > MODELS[name]["layers"]]
            check(
                not beyond,
                f"sweep.{task}.layers: {beyond} is beyond the {MODELS[name]['layers']} layers of {name}",
            )


check_config()


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
    """An archive of Speech Commands. A downloaded one is `ancient`: its SHA-256 says that it is still the same."""
    if "synthetic" in config["corpus"]:
        return f"<results>/synthetic/{name}.tar.gz"
    return ancient(f"<resources>/speech_commands/{name}.tar.gz")


def get_summarised():
    """The tables that the summary counts, by name: the datasets, and all aligned phones, rare ones too."""
    phones = {"phones": "<results>/alignment/phones.csv"} if "phonemes" in DATASETS else {}
    return {name: f"<results>/datasets/{name}.csv" for name in DATASETS} | phones


def models_from(source):
    """Wildcard constraint: the models of one source."""
    return "|".join(re.escape(name) for name in MODELS if MODELS[name]["source"] == source) or "(?!)"


def get_model_files(wildcards):
    """The files of a local model folder. Transformers accepts either form of weights, whole or in shards."""
    folder = Path(MODELS[wildcards.model]["path"])
    names = ["model.safetensors", "pytorch_model.bin"]
    weights = [folder / f"{name}{suffix}" for name in names for suffix in ("", ".index.json")]
    found = next((path for path in weights if path.exists()), weights[0])
    return [str(folder / "config.json"), str(folder / "preprocessor_config.json"), str(found)]


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
        sweep = config["sweep"].get(task, {"models": [], "layers": []})
        for model in MODELS:
            swept = sweep["layers"] if model in sweep["models"] else []
            for layers in sorted({MODELS[model]["layers"], get_layers(model, task), *swept}):
                for seed in SEEDS:
                    yield model, task, layers, seed


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


def get_embedding_settings(wildcards):
    return {
        "frames": config["embeddings"]["frames"],
        "layers": MODELS[wildcards.model]["layers"],
        "seed": (config["convexity"]["untrained_seed"] if wildcards.state == "untrained" else None),
        "split": config["datasets"][wildcards.dataset]["convexity_split"],
    }


def get_states(model, dataset):
    """States of `model` whose convexity is measured on `dataset`."""
    untrained = ["untrained"] if dataset in config["convexity"]["untrained"] else []
    return [*untrained, "pretrained", *TASKS]


def get_scores(wildcards):
    return [
        f"<results>/convexity/{model}/{state}/{dataset}.csv"
        for model in MODELS
        for dataset in DATASETS
        for state in get_states(model, dataset)
    ]


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
            "tolerance": (config["plan"]["tolerance"] if rule_name == "tolerance" else None),
        }

    return {
        "average": config["convexity"]["average"],
        "models": {model: {task: settings(model, task) for task in TASKS} for model in MODELS},
    }


def get_finetuning_settings(wildcards):
    """Only what this run depends on, so that changing the pruned learning rate leaves full models alone."""
    settings = dict(config["finetuning"])
    settings.pop("seeds")
    full_layers = MODELS[wildcards.model]["layers"]
    size = "full" if int(wildcards.layers) == full_layers else "pruned"
    settings["learning_rate"] = settings["learning_rate"][wildcards.task][size]
    settings["full_layers"] = full_layers
    return dict(sorted(settings.items()))


def get_pruned(wildcards):
    """The folder of the pruned model, first seed."""
    layers = get_layers(wildcards.model, wildcards.task)
    return f"<results>/finetuned/{{model}}/{{task}}/{layers}/{SEEDS[0]}"


def get_full_weights(wildcards):
    layers = MODELS[wildcards.model]["layers"]
    return f"<results>/finetuned/{{model}}/{{task}}/{layers}/{SEEDS[0]}/model.safetensors"
