# The checked config, wildcard constraints, and functions that several stages share. No rules.

import os
import shlex
import sys
from pathlib import Path

# Relative to this file: the workflow may run in another folder, or as a module of another workflow.
WORKFLOW = Path(workflow.current_basedir).parent
sys.path.insert(0, str(WORKFLOW / "scripts"))

from convexprune.jobs import csv_files, locales, logs, provenance, terminal
from convexprune.setup import configuration, experiment, imports, leftovers, model_files, needs

# Snakemake has already changed to its --directory, from where other relative arguments may point elsewhere. So this
# restarts only without --directory.
locales.use_utf8(restart=leftovers.is_of_snakemake(sys.orig_argv) and not workflow.overwrite_workdir)

# Snakemake does not quote this path in the shell commands that start jobs: a space in it would make the first one fail.
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)

imports.lead_jobs_here()


def check(function, argument):
    """Call a function of `configuration`. Print only the error that it finds, without Snakemake's trace."""
    try:
        function(argument)
    except configuration.ConfigError as error:
        sys.exit(str(error))


# A config given with --configfile, or by the workflow that uses this one as a module, replaces config.yaml.
# Merging the two would add the paper's models to the given ones.
own = "config.yaml" if Path("config.yaml").exists() else str(WORKFLOW.parent / "config.yaml")
for file in workflow.configfiles or [own]:
    check(configuration.read_yaml, file)

if not workflow.configfiles:

    configfile: own


check(configuration.complete, config)

MODELS = config["models"]
DATASETS = list(config["datasets"])
LABELS = experiment.labels_of(config)
TASKS = config["tasks"]
SEEDS = config["finetuning"]["seeds"]
SWEPT_MODELS = {task: sweep["models"] for task, sweep in config["sweep"].items()}
AVERAGE = config["convexity"]["average"]
RESULTS = Path(workflow.pathvars.apply("<results>"))

# Without these lines, `--cores` alone would not limit how many GPU jobs and requests to MAUS run at once.
workflow.global_resources.setdefault("gpu", config["gpus"])
workflow.global_resources.setdefault("maus", config["maus"]["max_requests"])


wildcard_constraints:
    model="|".join(re.escape(name) for name in MODELS),
    dataset="|".join(map(re.escape, DATASETS)),
    state="|".join(map(re.escape, ["untrained", "pretrained", *TASKS])),
    task="|".join(map(re.escape, TASKS)),
    layers=r"\d+",
    seed=r"\d+",


def library(script, *modules):
    """The library modules that a script runs, so that an edit of one runs its rule again (contents are compared).

    `modules` are those whose names the script builds at run time.
    """
    files = [script, *(f"convexprune/{module}" for module in modules)]
    found = imports.find_code(*(WORKFLOW / f"scripts/{file}.py" for file in files))
    return [local(os.path.relpath(path)) for path in found]


def get_layers(model, task):
    """Layers that the pruned model keeps: from the config, or else from the plan.

    Only a model whose layers are left to the plan needs the checkpoint. If the config gives all layers, a dry
    run shows every job.
    """
    keep = MODELS[model]["keep"].get(task)
    if keep is not None:
        return keep
    plan = csv_files.read(checkpoints.plan_layers.get().output.plan)
    return int(plan.query("model == @model and task == @task").layers.item())


def untracked(**values):
    """Parameters that change no result, such as a batch size of inference: another value runs nothing again.

    Snakemake does not compare parameters that are functions of the input. Resources would not do: a workflow that
    uses our rule with resources of its own replaces all of ours.
    """
    return lambda wildcards, input: values


def get_trained(model, task, layers, seed=SEEDS[0]):
    """The folder of a fine-tuned model, by default the one of the first seed."""
    return f"<results>/finetuned/{model}/{task}/{layers}/{seed}"


def get_full(model, task, seed=SEEDS[0]):
    """The folder of the full fine-tuned model, by default the one of the first seed."""
    return get_trained(model, task, MODELS[model]["layers"], seed)


def get_run_files(name):
    """A file of every fine-tuning run."""
    return [
        f"{get_trained(run.model, run.task, run.layers, run.seed)}/{name}"
        for run in experiment.list_runs(config, get_layers)
    ]


def get_timings(wildcards):
    """Timings of the pruned and the swept models, each in turn with the full one."""
    return [
        f"<results>/timing/{model}/{task}/{layers}.json"
        for model in MODELS
        for task in TASKS
        for layers in experiment.timed_layers(config, model, task, get_layers(model, task))
    ]


def get_embeddings(model, state, dataset):
    """The embeddings that hold the items of a dataset."""
    return f"<results>/embeddings/{model}/{state}/{experiment.embedded_with(config, dataset)}.h5"


def get_embedded(dataset):
    """The dataset that these embeddings were made of."""
    return f"<results>/datasets/{experiment.embedded_with(config, dataset)}.csv"


def get_scores(wildcards):
    return [
        f"<results>/convexity/{model}/{state}/{dataset}.csv"
        for model, state, dataset in experiment.list_scored(config)
    ]
