# What a job asks for, from the model's size and the attempt (library module needs). No rules.
# Without a cluster only `gpu` limits anything: Snakemake takes memory and runtime into account where it is told to.


def get_job(rule_name, wildcards):
    model = wildcards.get("model", "")
    layers = wildcards.get("layers") if rule_name == "finetune" else None
    full_layers = MODELS[model]["layers"] if model else 0
    return needs.Job(rule_name, model, full_layers if layers is None else int(layers))


def get_memory(rule_name):
    """MB, more at every attempt: a job that was killed for its memory gets through at the next."""
    return lambda wildcards, attempt: attempt * needs.memory(get_job(rule_name, wildcards), config)


def get_runtime(rule_name):
    """Minutes, more at every attempt."""
    return lambda wildcards, attempt: attempt * needs.time_limit(get_job(rule_name, wildcards), config)


def runs_here():
    """Whether the jobs of this run are processes of this machine, not of a cluster's nodes."""
    return workflow.local_exec and not workflow.remote_exec


def get_whole_machine(wildcards):
    """Threads of a job that is timed: all cores, so that nothing of the workflow runs beside it here.

    On a cluster the profile asks for a node of its own.
    """
    return workflow.resource_settings.cores if runs_here() else config["threads"]


def get_timing_gpus(wildcards):
    """All GPUs of this machine, so that no other job of the workflow disturbs; on a cluster one, as it gives it."""
    return config["gpus"] if runs_here() else min(1, config["gpus"])
