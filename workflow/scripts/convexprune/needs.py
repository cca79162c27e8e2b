"""What each job needs, from the config alone: memory, time, a GPU. The rules ask, and so does the estimate.

Times come from the arithmetic of the models and modest rates of hardware; a job's time limit leaves a margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CLIPS = 25_000  # items of the largest dataset that is embedded (the paper's phonemes)
EVALUATED = 10_000  # clips of a validation split
LAYER = 0.7  # GFLOP of a base model's transformer layer on a second of audio: 2 x 7.1e6 weights x 50 frames
FRONT_END = 7  # the convolutions before the layers cost as much as so many of them
LAYER_MB = 28  # weights of that layer in float32
GPU_RATE = 10_000  # GFLOP/s that a job sustains on one GPU
THREAD_RATE = 30  # GFLOP/s that it sustains on one thread of a CPU
START = 0.5  # minutes until a job works
ON_GPU = ("cache_features", "embed", "finetune", "time_inference")


# MB of each rule that is submitted to a cluster: as such, by MB of the model's weights, by thread.
# Training holds weights, gradients, two moments, and clips on their way.
MEMORY = {
    "align_shard": (1_000, 0, 500),
    "cache_features": (4_000, 4, 0),
    "count_costs": (4_000, 0, 0),
    "draw_figure8": (3_000, 0, 0),
    "embed": (4_000, 4, 0),
    "export_model": (4_000, 6, 0),
    "finetune": (4_000, 10, 0),
    "import_model": (2_000, 4, 0),
    "ingest_archives": (4_000, 0, 0),
    "ingest_table": (4_000, 0, 0),
    "pretrain_model": (3_000, 10, 0),
    "probe_layers": (3_000, 0, 0),
    "score_convexity": (3_000, 0, 0),
    "synthesise_archives": (1_000, 0, 200),
    "time_inference": (4_000, 4, 0),
}


@dataclass(frozen=True)
class Job:
    """One job: its rule and, where they matter to its cost, the model and the layers it runs."""

    rule: str
    model: str = ""
    layers: int = 0


def gpus(job: Job, config: Mapping[str, Any]) -> int:
    """GPUs of a job: one, where there are any, for what a GPU is good for."""
    return min(1, config["gpus"]) if job.rule in ON_GPU else 0


def memory(job: Job, config: Mapping[str, Any]) -> int:
    """MB of main memory that a job may use at its first attempt. KeyError for a rule not in MEMORY."""
    weights = layer_size(config, job.model) * (FRONT_END + job.layers) * LAYER_MB
    base, by_weights, by_thread = MEMORY[job.rule]
    return math.ceil((base + by_weights * weights + by_thread * config["threads"]) / 500) * 500


def minutes(job: Job, config: Mapping[str, Any]) -> float:
    """Minutes that a job takes on modest hardware."""
    threads = config["threads"]
    rate = 60 * (GPU_RATE if gpus(job, config) else THREAD_RATE * threads)  # GFLOP a minute
    size = layer_size(config, job.model)
    clip = LAYER * (FRONT_END * min(1, size) + job.layers * size)  # GFLOP of a forward pass
    clips = count_clips(config)
    if job.rule == "embed":
        work = clips * clip / rate
    elif job.rule == "cache_features":
        work = 4 * clips * clip / rate  # training and validation splits
    elif job.rule == "finetune":
        settings = config["finetuning"]
        evaluations = settings["max_steps"] / settings["eval_steps"]
        # A backward pass costs two forward passes.
        seen = 3 * settings["max_steps"] * settings["batch_size"] + min(clips, EVALUATED) * evaluations
        work = seen * clip / rate
    elif job.rule == "pretrain_model":
        work = 3 * config["models"][job.model]["pretrain"]["epochs"] * clips * clip / rate
    elif job.rule in ("time_inference", "export_model"):
        passes = config["timing"]["runs"] + config["timing"]["warmup"]
        work = 2 * passes * 10 * clip / rate  # one clip at a time: a tenth of the rate
    elif job.rule == "score_convexity":
        # 25,000 points of 768 dimensions took 40 s a layer on two threads; the time grows with their square.
        work = (job.layers + 1) * 1.5 / threads * (clips / CLIPS) ** 2
    elif job.rule == "probe_layers":
        # 10,000 points of 768 dimensions took 25 s a layer on one thread.
        work = (job.layers + 1) * clips / CLIPS
    elif job.rule == "draw_figure8":
        # Three views of each model and dataset, of at most 2,000 points: a guess of 10 s each on one thread.
        work = 3 * len(config["models"]) * len(config["tasks"]) / 6 / threads
    elif job.rule == "align_shard":
        work = 20 / config["datasets"]["phonemes"]["shards"]
    else:
        known = {"count_costs": 2, "import_model": 2, "ingest_archives": 15, "ingest_table": 15}
        work = known.get(job.rule, 30)
    return START + work


def count_clips(config: Mapping[str, Any]) -> int:
    """Clips that a job may work on: known of speech made here, else as many as the paper has."""
    speech = config["corpus"].get("synthetic")
    return len(speech["words"]) * sum(speech["speakers"].values()) * speech["takes"] if speech else CLIPS


def time_limit(job: Job, config: Mapping[str, Any]) -> int:
    """Minutes after which a job is stopped at its first attempt: three times what it should take, and ten."""
    return math.ceil(10 + 3 * minutes(job, config))


def layer_size(config: Mapping[str, Any], name: str) -> float:
    """Weights of one transformer layer of a model, as a multiple of a base model's."""
    if not name:
        return 0
    model = config["models"][name]
    width = 1024 if model["size"] == "large" else model.get("pretrain", {}).get("hidden_size", 768)
    return (width / 768) ** 2


def list_jobs(config: Mapping[str, Any]) -> Iterator[Job]:
    """Every job of a whole run, in the order of the stages.

    The layers of a model that are left to the plan are not known before the run: its pruned model is taken to
    be as large as the full one.
    """
    datasets, tasks, models = config["datasets"], config["tasks"], config["models"]
    corpus = config["corpus"]
    if "table" in corpus:
        yield Job("ingest_table")
    else:
        yield from ([Job("synthesise_archives")] if "synthetic" in corpus else [Job("download_archive")] * 2)
        yield Job("ingest_archives")
    if "phonemes" in datasets:
        yield from [Job("align_shard")] * datasets["phonemes"]["shards"]
        yield Job("merge_alignments")
    for dataset in datasets:
        yield Job(f"build_{dataset}")
    yield Job("summarise_datasets")
    for name, model in models.items():
        full = model["layers"]
        source = {"hub": "download_model", "path": "import_model", "pretrain": "pretrain_model"}
        yield Job(source[model["source"]], name, full)
        for dataset in datasets:
            states = 1 + len(tasks) + (dataset in config["convexity"]["untrained"])
            yield from [Job("embed", name, full), Job("score_convexity", name, full)] * states
    for name, model in models.items():
        full = model["layers"]
        for task in tasks:
            if config["finetuning"]["cache_features"] != "none":
                yield Job("cache_features", name)
            kept = model["keep"].get(task)
            runs = [full, full] if kept is None else [full, kept]
            swept = swept_layers(config, name, task)
            for layers in [*runs, *sorted(set(swept) - set(runs))]:
                yield from [Job("finetune", name, layers)] * len(config["finetuning"]["seeds"])
            if swept:
                yield Job("probe_layers", name, full)
            timed = 1 + len(set(swept) - {full, kept})
            yield from [Job("time_inference", name, full)] * timed
            yield Job("export_model", name, full)
    for rule in ("merge_convexity", "plan_layers", "merge_finetuning", "merge_timing", "count_costs"):
        yield Job(rule)
    for rule in ("compare_predictions", "make_table1", "correlate_convexity"):
        yield Job(rule)
    if config["sweep"]:
        yield from [Job("study_choices"), Job("draw_figure2"), Job("draw_figure3")]
    yield from [Job(f"draw_figure{number}") for number in (1, 4, 5, 6, 7, 8)]
    shown = ["table1", "plan", "convexity", "counts", "correlations", "convergence", "costs", "timing"]
    for table in [*shown, *(["choices"] if config["sweep"] else [])]:
        yield Job(f"show_{table}")
    yield Job("write_summary")
    yield Job("all")


def is_submitted(job: Job, config: Mapping[str, Any]) -> bool:
    """Whether a job goes to the cluster's nodes, which have no internet."""
    by_service = job.rule == "align_shard" and config["datasets"]["phonemes"]["aligner"] == "maus"
    return job.rule in MEMORY and not by_service


def swept_layers(config: Mapping[str, Any], model: str, task: str) -> list[int]:
    """Depths at which the sweep trains a model, if it does.

    By default none, every second layer as the paper numbers them, and the full model.
    """
    sweep = config["sweep"].get(task, {"models": []})
    if model not in sweep["models"]:
        return []
    full = config["models"][model]["layers"]
    return sweep.get("layers", [0, *range(1, full, 2), full])


def estimate(config: Mapping[str, Any]) -> str:
    """A table of the submitted jobs by rule, with hours expected and hours that their limits reserve."""
    jobs = list(list_jobs(config))
    lines = [f"{'rule':20} {'jobs':>5} {'GPU-hours':>10} {'at most':>8} {'core-hours':>11} {'memory':>14}"]
    hours: list[tuple[float, float, float]] = []
    submitted = [job for job in jobs if is_submitted(job, config)]  # the others run on the submitting host
    for rule in dict.fromkeys(job.rule for job in submitted):
        mine = [job for job in submitted if job.rule == rule]
        gpu_hours = sum(gpus(job, config) * minutes(job, config) for job in mine) / 60
        at_most = sum(gpus(job, config) * time_limit(job, config) for job in mine) / 60
        core_hours = sum(minutes(job, config) for job in mine) * config["threads"] / 60
        sizes = sorted(memory(job, config) / 1000 for job in mine)
        hours.append((gpu_hours, at_most, core_hours))
        lines.append(
            f"{rule:20} {len(mine):5} {gpu_hours:10.1f} {at_most:8.1f} {core_hours:11.1f} "
            f"{f'{sizes[0]:.1f}-{sizes[-1]:.1f} GB':>14}"
        )
    gpu_hours, at_most, core_hours = (sum(column) for column in zip(*hours, strict=True))
    lines.append(f"{'submitted':20} {len(submitted):5} {gpu_hours:10.1f} {at_most:8.1f} {core_hours:11.1f}")
    lines.append(f"{'on this host':20} {len(jobs) - len(submitted):5}")
    return "\n".join(lines)
