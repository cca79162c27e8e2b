"""Problems of a config that no schema can express: keys that refer to each other, files that are missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convexprune.data import downloaded
from convexprune.setup import model_files
from convexprune.setup.experiment import archive_source, is_url, labels_of, list_archives
from convexprune.setup.schema import word_problem
from convexprune.setup.tables import table_problems, why_unread

ARCHIVED = ("word", "speaker")  # the labels that the names of files in the archives give
MODEL_KEYS = {"hub": ("id", "revision"), "path": ("path",), "pretrain": ("pretrain",)}


def find_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Problems that a schema cannot express: of keys that refer to each other, and of missing files."""
    corpus, datasets, models, tasks = (config[key] for key in ("corpus", "datasets", "models", "tasks"))
    yield from corpus_problems(config)
    if config["pathvars"]["results"] == config["pathvars"]["resources"]:
        yield word_problem(
            ["pathvars", "results"], config["pathvars"]["results"], "must be another folder than resources"
        )
    for name, model in models.items():
        yield from model_problems(["models", name], model)
    seconds = config["clips"]["seconds"]
    yield from clip_problems(models, seconds)
    if config["finetuning"]["spec_augment"]:
        yield from mask_problems(models, seconds)
    for task in tasks:
        if task not in datasets:
            yield word_problem(["tasks"], task, f"needs datasets.{task}; there are {', '.join(datasets)}")
        if task not in config["finetuning"]["learning_rate"]:
            yield f"finetuning.learning_rate.{task}: missing; required for the tasks {', '.join(tasks)}"
    for path, held_out in (
        (["corpus", "table"], corpus.get("table")),
        (["datasets", "speakers"], datasets.get("speakers")),
    ):
        if held_out and (share := held_out["test_share"] + held_out["validation_share"]) >= 1:
            yield word_problem(
                [*path, "test_share"],
                held_out["test_share"],
                f"leaves nothing to train on: with validation_share it is {share:g}; must be below 1",
            )
    recipe = config["finetuning"]
    if recipe["cache_features"] != "none" and not recipe["freeze_feature_encoder"]:
        yield word_problem(
            ["finetuning", "cache_features"],
            recipe["cache_features"],
            "a front end that is trained (freeze_feature_encoder: false) changes; allowed then: none",
        )
    if recipe["micro_batch_size"] and recipe["batch_size"] % recipe["micro_batch_size"]:
        yield word_problem(
            ["finetuning", "micro_batch_size"],
            recipe["micro_batch_size"],
            f"must divide batch_size, {recipe['batch_size']}",
        )
    if recipe["precision"] == "float16" and not config["gpus"]:
        yield word_problem(
            ["finetuning", "precision"],
            recipe["precision"],
            "needs a GPU (gpus: 0); allowed then: auto, float32, bfloat16",
        )
    for dataset in config["convexity"]["untrained"]:
        if dataset not in datasets:
            yield word_problem(["convexity", "untrained"], dataset, f"allowed: {', '.join(datasets)}")
    for task in tasks:
        if longer := [other for other in tasks if other.startswith(f"{task}_")]:
            told = f"begins with the task {task} and _, so columns of Table 1 would have one name: rename it"
            yield word_problem(["tasks"], longer[0], told)
    by_task = [(["finetuning", "learning_rate"], config["finetuning"]["learning_rate"])]
    by_task += [(["models", name, "keep"], model["keep"]) for name, model in models.items()]
    for path, given in by_task:
        for task in given:
            if task not in (*datasets, "words", "speakers"):
                yield word_problem(
                    [*path, task], given[task], f"no such dataset; there are {', '.join(datasets)}"
                )
    for task, sweep in config["sweep"].items():
        yield from sweep_problems(["sweep", task], sweep, task, tasks, models)


def corpus_problems(config: Mapping[str, Any]) -> Iterator[str]:
    corpus, datasets, pathvars = config["corpus"], config["datasets"], config["pathvars"]
    if "table" not in corpus:
        for name, label in labels_of(config).items():
            if label not in ARCHIVED:
                told = f"the archives of Speech Commands have {' and '.join(ARCHIVED)} only"
                yield word_problem(["datasets", name, "label"], label, told)
    if len(corpus) != 1:
        yield word_problem(
            ["corpus"], sorted(corpus), "must have exactly one of speech_commands, synthetic, table"
        )
    elif "table" in corpus:
        yield from table_problems(config, Path(corpus["table"]["csv"]))
    elif "speech_commands" in corpus:
        yield from archive_problems(["corpus", "speech_commands"], corpus["speech_commands"], pathvars)
    elif "speakers" in datasets:
        speech, least = corpus["synthetic"], datasets["speakers"]["min_files"]
        if (made := len(speech["words"]) * speech["takes"]) <= least:
            told = f"must be below the {made} recordings that corpus.synthetic makes of each speaker"
            yield word_problem(["datasets", "speakers", "min_files"], least, told)


def archive_problems(
    path: list[str], archives: Mapping[str, Any], pathvars: Mapping[str, str]
) -> Iterator[str]:
    """Problems of the archives that show without reading them: of local files and of earlier downloads."""
    folder = Path(pathvars["resources"], "speech_commands")
    names = list_archives(archives)
    for name in names:
        if name not in archives:
            yield f"{'.'.join([*path, name])}: missing; required, except with test: standard"
            continue
        archive, source = archives[name], archive_source(archives, name)
        if not source:
            yield f"{'.'.join([*path, name])}: required: its url or path, or a mirror"
        elif is_url(source):
            yield from download_problems([*path, name], folder / f"{name}.tar.gz", source, archive["sha256"])
        elif reason := why_unread(source):
            key = [name, "path"] if archive["path"] else ["mirror"]
            yield word_problem([*path, *key], source, reason)
        elif archive["size"] not in (None, size := Path(source).stat().st_size):
            yield word_problem([*path, name, "size"], archive["size"], f"{source} has {size} bytes")


def download_problems(path: list[str], there: Path, source: str, sha256: str | None) -> Iterator[str]:
    """A problem if the archive `there` was downloaded before and is not the one that the config asks for."""
    recorded, origin = downloaded.read_sum(there), downloaded.read_source(there)
    if not (there.exists() and recorded):
        return
    if sha256 and recorded != sha256.lower():
        yield word_problem(
            [*path, "sha256"],
            sha256,
            f"{there}, which is there, has {recorded}: correct the one or delete the other",
        )
    elif not sha256 and origin not in (None, source):
        yield word_problem(
            path,
            source,
            f"{there} came from {origin}: if it is the same archive, write sha256: {recorded} into the "
            f"config; if not, name another folder (pathvars.resources), or delete it and {there}.sha256",
        )


def model_problems(path: list[str], model: Mapping[str, Any]) -> Iterator[str]:
    expected = MODEL_KEYS[model["source"]]
    taken = f"source {model['source']} takes {', '.join(expected)}"
    for key in expected:
        if key not in model:
            yield f"{'.'.join([*path, key])}: missing; {taken}"
    for key in {key for keys in MODEL_KEYS.values() for key in keys} - set(expected):
        if key in model:
            yield word_problem([*path, key], model[key], f"not allowed; {taken}")
    for task, layers in model["keep"].items():
        if layers >= model["layers"]:
            yield word_problem(
                [*path, "keep", task], layers, f"must be below the model's {model['layers']} layers"
            )
    if model["source"] == "path" and "path" in model:
        yield from folder_problems(path, Path(model["path"]), model["layers"])
    if model["source"] == "pretrain" and "pretrain" in model:
        settings = model["pretrain"]
        if settings["hidden_size"] % settings["attention_heads"]:
            yield word_problem(
                [*path, "pretrain", "hidden_size"],
                settings["hidden_size"],
                f"must be a multiple of attention_heads, {settings['attention_heads']}",
            )


def folder_problems(path: list[str], folder: Path, layers: int) -> Iterator[str]:
    """Problems of a local model that show without loading it. It must have the number `layers` of layers."""
    if not os.path.isdir(folder):
        yield word_problem([*path, "path"], str(folder), f"no such folder (seen from {os.getcwd()})")
        return
    if problems := list(model_files.find_problems(folder)):
        for problem in problems:
            yield word_problem([*path, "path"], str(folder), problem)
        return
    found = model_files.read_layers(folder)
    if found not in (None, layers):
        yield word_problem([*path, "layers"], layers, f"must be {found}, as {folder / 'config.json'} says")


def clip_problems(models: Mapping[str, Mapping[str, Any]], seconds: float) -> Iterator[str]:
    """Problems of models whose shape is known: they cannot take clips of `seconds`."""
    for name, model in models.items():
        for problem in try_shape(model, model_files.find_clip_problems, seconds):
            yield word_problem(["clips", "seconds"], seconds, f"model {name} has {problem}")
        longest, frames = (
            (model.get("pretrain") or {}).get("mask_length", 0),
            model_files.count_frames(*model_files.CONVOLUTIONS, seconds),
        )
        if 0 < frames < longest:
            yield word_problem(
                ["models", name, "pretrain", "mask_length"],
                longest,
                f"must be at most {frames}, the frames of a clip",
            )


def mask_problems(models: Mapping[str, Mapping[str, Any]], seconds: float) -> Iterator[str]:
    """Problems of models whose shape is known: SpecAugment cannot mask their clips as their config asks."""
    for name, model in models.items():
        for problem in try_shape(model, model_files.find_mask_problems, seconds):
            told = f"model {name} has {problem}; change that or take false"
            yield word_problem(["finetuning", "spec_augment"], True, told)


def try_shape(
    model: Mapping[str, Any], find: Callable[[Mapping[str, Any], float], Iterator[str]], seconds: float
) -> list[str]:
    """The problems that `find` sees in the config.json of a model; none if it is not known before a run."""
    kernels, strides = model_files.CONVOLUTIONS
    try:
        if model["source"] == "pretrain":
            return list(find({"conv_kernel": kernels, "conv_stride": strides}, seconds))
        return list(find(model_files.read_object(Path(model["path"]) / "config.json"), seconds))
    except (KeyError, TypeError, ValueError):  # a model of the hub, or reported elsewhere
        return []


def sweep_problems(
    path: list[str], sweep: Mapping[str, Any], task: str, tasks: Sequence[str], models: Mapping[str, Any]
) -> Iterator[str]:
    if task not in tasks:
        yield word_problem(path, sweep, f"only tasks are swept; there are {', '.join(tasks)}")
    for name in sweep["models"]:
        if name not in models:
            yield word_problem([*path, "models"], name, f"no such model; allowed: {', '.join(models)}")
    full = {name: models[name]["layers"] for name in sweep["models"] if name in models}
    for layers in sweep.get("layers", []):
        if beyond := [f"{count} layers of {name}" for name, count in full.items() if layers > count]:
            yield word_problem([*path, "layers"], layers, f"must be at most the {', the '.join(beyond)}")
