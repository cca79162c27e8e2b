"""What each job needs, from the config alone: memory, time, a GPU. The rules and the estimate use it.

Times come from the arithmetic of the models and modest rates of hardware; a job's time limit leaves a margin.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convexprune.jobs import csv_files
from convexprune.setup import experiment, model_files
from convexprune.setup.experiment import Config

CLIPS = 25_000  # items of the largest dataset that is embedded (the paper's phonemes)
EVALUATED = 10_000  # clips of a validation split
LAYER = 0.7  # GFLOP of a base model's transformer layer on a second of audio: 2 x 7.1e6 weights x 50 frames
FRONT_END = 7  # the convolutions before the layers cost as much as this number of layers
LAYER_MB = 28  # weights of that layer in float32
# MB that a pass takes for each second of a clip, and training also for each layer: measured were 19 and, with
# 12 layers, 50 of wav2vec2-base. The bases of MEMORY count the first second.
SECOND_MB, TRAINED_MB = 20, 3
GPU_RATE = 10_000  # GFLOP/s that a job sustains on one GPU
THREAD_RATE = 70  # GFLOP/s that it sustains on one thread of a CPU
START = 0.12  # minutes until a job starts its work: imports, opening files
STEP = 0.02 / 60  # minutes of a training step that do not depend on the model
ALONE = ("export_model", "time_models")  # no other job runs beside them, so that none disturbs the times
RECORDINGS = 106_000  # of Speech Commands' main archive; the paper's test archive adds 5 %
ON_GPU = ("cache_features", "embed", "finetune", "fold_layers", "fold_model", "time_models")


# Memory (MB) of each rule that is submitted to a cluster: a base, a factor for the MB of the model's weights,
# and an amount for each thread. Training holds weights, gradients, two moments, and clips being loaded.
MEMORY = {
    "align_shard": (1_000, 0, 500),
    "cache_features": (4_000, 4, 0),
    "count_costs": (4_000, 0, 0),
    "embed": (4_000, 4, 0),
    "export_model": (4_000, 6, 0),
    "finetune": (4_000, 10, 0),
    "fold_layers": (4_000, 6, 0),
    "fold_model": (4_000, 6, 0),
    "import_model": (2_000, 4, 0),
    "ingest_archives": (4_000, 0, 0),
    "ingest_table": (4_000, 0, 0),
    "pretrain_model": (3_000, 10, 0),
    "project_embeddings": (3_000, 0, 0),
    "score_convexity": (3_000, 0, 0),
    "score_criteria": (4_000, 0, 0),
    "synthesise_archives": (1_000, 0, 200),
    "time_models": (4_000, 14, 0),
}


@dataclass(frozen=True)
class Job:
    """One job: its rule and, if its cost depends on them, the model and the number of layers it runs."""

    rule: str
    model: str = ""
    layers: int = 0


def gpus(job: Job, config: Config) -> int:
    """GPUs of a job: one for the rules in ON_GPU, if the config has any."""
    return min(1, config["gpus"]) if job.rule in ON_GPU else 0


def memory(job: Job, config: Config) -> int:
    """MB of main memory that a job may use at its first attempt. KeyError for a rule not in MEMORY."""
    weights = layer_size(config, job.model) * (FRONT_END + job.layers) * LAYER_MB
    base, by_weights, by_thread = MEMORY[job.rule]
    total = base + by_weights * weights + by_thread * config["threads"] + memory_of_longer(job, config)
    return math.ceil(total / 500) * 500


def memory_of_longer(job: Job, config: Config) -> float:
    """MB that clips of more than a second take, beyond what they take in the first."""
    further, recipe = max(0.0, config["clips"]["seconds"] - 1), config["finetuning"]
    if job.rule in ("embed", "cache_features", "fold_layers", "fold_model"):
        return further * config["embeddings"]["batch_size"] * SECOND_MB
    if job.rule in ("finetune", "time_models"):
        clips = recipe["micro_batch_size"] or recipe["batch_size"]
        layers = job.layers * layer_size(config, job.model) ** 0.5
        return further * clips * (SECOND_MB + TRAINED_MB * layers)
    if job.rule == "export_model":
        return further * 3 * SECOND_MB
    if job.rule == "pretrain_model":  # it holds all clips, as they are and normalised
        return further * count_recordings(config) * 2 * 64e-3
    return 0


def minutes(job: Job, config: Config) -> float:
    """Minutes that a job takes on modest hardware."""
    threads = config["threads"]
    rate = 60 * (GPU_RATE if gpus(job, config) else THREAD_RATE * threads)  # GFLOP a minute
    clip = count_operations(config, job)
    clips = count_clips(config)
    if job.rule == "embed":
        work = clips * clip / rate
    elif job.rule == "cache_features":
        work = 4 * clips * clip / rate  # training and validation splits
    elif job.rule in ("fold_layers", "fold_model"):
        work = 0.25 + 5 * clips * clip / rate  # all splits
    elif job.rule == "finetune":
        settings = config["finetuning"]
        evaluations = settings["max_steps"] / settings["eval_steps"]
        evaluated = min(clips, EVALUATED) if "speech_commands" in config["corpus"] else clips // 5
        # A backward pass costs two forward passes; a frozen front end has none.
        front = count_operations(config, Job("", job.model)) if settings["freeze_feature_encoder"] else 0
        trained = settings["max_steps"] * settings["batch_size"] * (3 * clip - 2 * front)
        work = (trained + evaluated * evaluations * clip) / rate + settings["max_steps"] * STEP
    elif job.rule == "pretrain_model":
        pretrain = config["models"][job.model]["pretrain"]
        seen = pretrain["epochs"] * 0.8 * count_recordings(config)  # those of the training split
        work = 3 * seen * clip / rate + seen / pretrain["batch_size"] * STEP
    elif job.rule in ALONE:
        passes = config["timing"]["runs"] + config["timing"]["warmup"]
        slower = 10 if gpus(job, config) else 2  # one clip at a time keeps a GPU busy less than a CPU
        work = 0.3 + 2 * passes * slower * clip / rate
        if job.rule == "time_models":
            work += 2 * 3 * config["timing"]["steps"] * config["finetuning"]["batch_size"] * clip / rate
    elif job.rule == "score_convexity":
        # 25,000 points of 768 dimensions took 40 s a layer on two threads; the time grows with their square.
        work = (job.layers + 1) * 1.5 / threads * (clips / CLIPS) ** 2
    elif job.rule == "score_criteria":  # at most twice the time of convexity
        work = (job.layers + 1) * 3 / threads * (clips / CLIPS) ** 2
    elif job.rule == "project_embeddings":
        # Three views of each model and dataset, of at most 2,000 points: 3 s each on one thread.
        work = 3 * len(config["models"]) * len(config["tasks"]) / 20 / threads
    elif job.rule == "align_shard":
        work = 20 * clips / CLIPS / config["datasets"]["phonemes"]["shards"]
    elif job.rule == "count_costs":
        work = 0.1 * len(config["models"])
    elif job.rule == "import_model":
        work = 0.5
    else:  # the corpus: 100,000 recordings of a second took 15 minutes
        work = count_recordings(config) * 15e-5
    return START + work


def count_operations(config: Config, job: Job) -> float:
    """GFLOP of a forward pass on one clip."""
    if not job.model:
        return 0
    model = config["models"][job.model]
    size = layer_size(config, job.model)
    front, seconds = min(1.0, size), config["clips"]["seconds"]
    if model["source"] == "pretrain":
        front = (model["pretrain"]["conv_dim"][-1] / 512) ** 2
    elif model_files.is_whisper(model):
        seconds = model_files.measure_window(seconds)
    return LAYER * seconds * (FRONT_END * front + job.layers * size)


def count_clips(config: Config) -> int:
    """The most clips that a job may work on: of the synthetic corpus, the user's table, or else the paper."""
    corpus = config["corpus"]
    if "table" in corpus:
        return count_rows(corpus["table"]["csv"])
    speech = corpus.get("synthetic")
    return len(speech["words"]) * sum(speech["speakers"].values()) * speech["takes"] if speech else CLIPS


def count_recordings(config: Config) -> int:
    """The recordings of the corpus."""
    return RECORDINGS if "speech_commands" in config["corpus"] else count_clips(config)


@cache
def count_rows(path: str) -> int:
    """The recordings that a user's table lists."""
    return len(csv_files.read_rows(path, skipinitialspace=True)[1])


def time_limit(job: Job, config: Config) -> int:
    """Minutes after which a job's first attempt is stopped: ten, plus three times the expected duration."""
    return math.ceil(10 + 3 * minutes(job, config))


def layer_size(config: Config, name: str) -> float:
    """Weights of one transformer layer of a model, as a multiple of a base model's."""
    if not name:
        return 0
    model = config["models"][name]
    if model["source"] == "pretrain":
        width = model["pretrain"]["hidden_size"]
    elif model["source"] == "path":
        width = model_files.read_width(Path(model["path"]))
    else:  # from the hub: the usual width of models with this number of layers
        width = 1024 if model["layers"] > 12 else 768
    return (width / 768) ** 2


def list_jobs(config: Config) -> list[Job]:
    """Every job of a whole run that is submitted to a cluster's nodes, in the order of the stages.

    If the plan chooses the layers, their number is not known before the run. The pruned model then counts
    with one layer less than the full one.
    """

    def kept(model: str, task: str) -> int:
        described = config["models"][model]
        return described["keep"].get(task, described["layers"] - 1)

    corpus, models, tasks = config["corpus"], config["models"], config["tasks"]
    phonemes = config["datasets"].get("phonemes", {"shards": 0, "aligner": None})
    jobs = [Job("ingest_table" if "table" in corpus else "ingest_archives")]
    if "synthetic" in corpus:
        jobs.insert(0, Job("synthesise_archives"))
    if phonemes["aligner"] != "maus":  # nodes have no internet
        jobs += [Job("align_shard")] * phonemes["shards"]
    made = {"path": "import_model", "pretrain": "pretrain_model"}
    jobs += [
        Job(made[model["source"]], name, model["layers"])
        for name, model in models.items()
        if model["source"] in made
    ]
    embedded, scored = experiment.list_embedded(config), experiment.list_scored(config)
    jobs += [Job("embed", name, models[name]["layers"]) for name, _, _ in embedded]
    jobs += [Job("score_convexity", name, models[name]["layers"]) for name, _, _ in scored]
    jobs += [Job("finetune", run.model, run.layers) for run in experiment.list_runs(config, kept)]
    if config["finetuning"]["start"] == "folded":
        runs = [run for run in experiment.list_runs(config, kept) if run.layers < models[run.model]["layers"]]
        jobs += [Job("fold_model", run.model, models[run.model]["layers"]) for run in runs]
    for name, model in models.items():
        for task in tasks:
            full = model["layers"]
            if config["finetuning"]["cache_features"] != "none":
                jobs.append(Job("cache_features", name))
            timed = experiment.timed_layers(config, name, task, kept(name, task))
            jobs += [Job("time_models", name, full)] * len(timed)
            jobs += [Job("fold_layers", name, full)] * len(config["finetuning"]["seeds"])
            jobs.append(Job("score_criteria", name, full))
            jobs.append(Job("export_model", name, full))
    return [*jobs, Job("count_costs"), Job("project_embeddings")]


def disk(config: Config) -> float:
    """GB of a whole run: the corpus, embeddings of all layers, and the weights of models in float32."""
    clips, models = count_clips(config), config["models"]
    corpus = count_recordings(config) * 32e-6  # a second of 16 bits at 16 kHz
    if "table" in config["corpus"]:
        corpus *= max(1, config["clips"]["seconds"])  # for recordings as long as the clips
    else:
        corpus *= 1.7  # the archives too
    vectors = sum(
        (models[name]["layers"] + 1) * 768 * layer_size(config, name) ** 0.5
        for name, _, _ in experiment.list_embedded(config)
    )
    jobs = [job for job in list_jobs(config) if job.rule in ("finetune", "import_model", "pretrain_model")]
    exported = [Job("", name, model["layers"]) for name, model in models.items() for _ in config["tasks"]]
    weights = sum(
        (1.5 + job.layers) * LAYER_MB * layer_size(config, job.model) for job in [*jobs, *exported, *exported]
    )
    return corpus + clips * vectors * 4e-9 + weights / 1000


def wall_minutes(config: Config, cores: int) -> float:
    """Minutes of a whole run on one machine with the config's GPUs: its jobs side by side as far as they can.

    Some 30 short jobs merge tables and draw figures.
    """
    total = 30 * START / cores
    for job in list_jobs(config):
        beside = 1 if job.rule in ALONE else max(1, cores // config["threads"])
        slower = max(1, config["threads"] / cores)  # with fewer cores than threads
        if gpus(job, config):
            beside, slower = min(beside, config["gpus"]), 1
        total += slower * minutes(job, config) / beside
    return total


COLUMNS = (
    "GPU-hours, core-hours: expected, of all jobs of a rule; at most: if GPU jobs use up their limits.",
    "minutes: of its longest job; limit: minutes after which a cluster stops it. GB: memory of its largest.",
)


def estimate(config: Config) -> str:
    """A table of the submitted jobs by rule, what its columns mean, and the time and disk of a run here."""
    jobs = list_jobs(config)
    form = "{:20} {:>5} {:>10} {:>8} {:>11} {:>8} {:>6} {:>6}"
    lines = [form.format("rule", "jobs", "GPU-hours", "at most", "core-hours", "minutes", "limit", "GB")]
    totals = [0.0, 0.0, 0.0]
    for rule in dict.fromkeys(job.rule for job in jobs):
        mine = [job for job in jobs if job.rule == rule]
        hours = [
            sum(gpus(job, config) * minutes(job, config) for job in mine) / 60,
            sum(gpus(job, config) * time_limit(job, config) for job in mine) / 60,
            sum(minutes(job, config) for job in mine) * config["threads"] / 60,
        ]
        totals = [total + more for total, more in zip(totals, hours, strict=True)]
        longest, limit, most = (
            max(need(job, config) for job in mine) for need in (minutes, time_limit, memory)
        )
        counted = (f"{value:.1f}" for value in (*hours, longest))
        lines.append(form.format(rule, len(mine), *counted, limit, f"{most / 1000:.1f}"))
    lines.append(form.format("submitted", len(jobs), *(f"{total:.1f}" for total in totals), "", "", ""))
    return "\n".join([*map(str.rstrip, lines), *COLUMNS, estimate_here(config)])


def estimate_here(config: Config) -> str:
    """The time of a whole run on this machine, and its disk."""
    cores = os.cpu_count() or 1
    wall = wall_minutes(config, cores)
    took = f"{wall:.0f} minutes" if wall < 90 else f"{wall / 60:.0f} hours"
    machine = f"{cores} cores and {config['gpus'] or 'no'} GPU"
    return f"With {machine}, about {took}. Disk: about {disk(config):.1f} GB."
