# The resources of a job, from the model's size and the attempt (library module needs). No rules.
# Without a cluster only `gpu` limits jobs: Snakemake minds memory and runtime only if it is given their limits.


def get_job(rule_name, wildcards):
    model = wildcards.get("model", "")
    layers = wildcards.get("layers") if rule_name == "finetune" else None  # other rules run the full model
    full_layers = MODELS[model]["layers"] if model else 0
    return needs.Job(rule_name, model, full_layers if layers is None else int(layers))


def get_memory(rule_name):
    """MB, more at every attempt, so that a job killed for its memory gets more when it is tried again."""
    return lambda wildcards, attempt: attempt * needs.memory(get_job(rule_name, wildcards), config)


def get_runtime(rule_name):
    """Minutes, more at every attempt."""
    return lambda wildcards, attempt: attempt * needs.time_limit(get_job(rule_name, wildcards), config)


def runs_here():
    """Whether the jobs of this run are processes on this machine, not on a cluster's nodes."""
    return workflow.local_exec and not workflow.remote_exec


def get_whole_machine(wildcards):
    """Threads of a job that measures times: all cores here, so that no other job of the workflow runs beside it.

    On a cluster, the profile requests a whole node for it.
    """
    return workflow.resource_settings.cores if runs_here() else config["threads"]


def get_timing_gpus(wildcards):
    """All GPUs of this machine, so that no other job of the workflow disturbs the times; on a cluster, one."""
    return config["gpus"] if runs_here() else min(1, config["gpus"])
