"""Problems of a config that no schema can express: keys that refer to each other, files that are missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convexprune.data import downloaded
from convexprune.setup import model_files
from convexprune.setup.experiment import archive_source, is_url
from convexprune.setup.schema import show_value, word_problem

MODEL_KEYS = {"hub": ("id", "revision"), "path": ("path",), "pretrain": ("pretrain",)}


def find_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Problems that a schema cannot express: of keys that refer to each other, and of missing files."""
    corpus, datasets, models, tasks = (config[key] for key in ("corpus", "datasets", "models", "tasks"))
    yield from corpus_problems(corpus, datasets, config["pathvars"])
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
    for task, sweep in config["sweep"].items():
        yield from sweep_problems(["sweep", task], sweep, task, tasks, models)


def corpus_problems(
    corpus: Mapping[str, Any], datasets: Mapping[str, Any], pathvars: Mapping[str, str]
) -> Iterator[str]:
    if len(corpus) != 1:
        yield word_problem(
            ["corpus"], sorted(corpus), "must have exactly one of speech_commands, synthetic, table"
        )
    elif "table" in corpus:
        yield from table_problems(Path(corpus["table"]["csv"]), datasets)
    elif "speech_commands" in corpus:
        yield from archive_problems(["corpus", "speech_commands"], corpus["speech_commands"], pathvars)
    elif "speakers" in datasets:
        speech, least = corpus["synthetic"], datasets["speakers"]["min_files"]
        if (made := len(speech["words"]) * speech["takes"]) <= least:
            told = f"must be below the {made} recordings that corpus.synthetic makes of each speaker"
            yield word_problem(["datasets", "speakers", "min_files"], least, told)


def why_unread(path: str) -> str | None:
    """Why the file at `path` cannot be read; None if it can."""
    from convexprune.data import recordings

    try:
        recordings.find_file(Path(), path)
    except ValueError as error:
        return f"{error} (seen from {os.getcwd()})"
    return None


def archive_problems(
    path: list[str], archives: Mapping[str, Any], pathvars: Mapping[str, str]
) -> Iterator[str]:
    """Problems of the archives that show without reading them: of local files and of earlier downloads."""
    folder = Path(pathvars["resources"], "speech_commands")
    for name, archive in archives.items():
        if name == "mirror":
            continue
        source = archive_source(archives, name)
        if not source:
            yield f"{'.'.join([*path, name])}: required: its url or path, or a mirror for both archives"
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


def table_problems(csv: Path, datasets: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the user's table that show without its audio."""
    import numpy as np

    from convexprune.data import recordings

    def problem(text: str) -> str:
        return word_problem(["corpus", "table", "csv"], str(csv), text)

    if reason := why_unread(str(csv)):
        yield problem(reason)
        return
    try:
        listed = recordings.read_user_table(
            csv, ["path", "word", *(["speaker"] if "speakers" in datasets else [])]
        )
    except (OSError, ValueError) as error:
        yield problem(" ".join(str(error).removeprefix(f"{csv} ").split()))
        return
    if bad := listed.tell_bad():
        yield problem(bad)
        return
    table = listed.rows
    # If the splits are still to be drawn, the training split holds at most all rows.
    splits = table["split"] if "split" in table else np.repeat("train", len(table))
    if "words" in datasets:
        known = set(table["word"][splits == "train"])
        for split in ("train", "validation", "test") if "split" in table else ("train",):
            place = f"split {split}" if "split" in table else "table"
            found = set(table["word"][splits == split])
            if len(found) < 2:
                yield problem(
                    f"its {place} has the words {show_value(sorted(found))}; required: two words or more"
                )
            elif found - known:
                yield problem(
                    f"its {place} has the words {show_value(sorted(found - known))}, which split train lacks"
                )
    if "speakers" in datasets:
        least = datasets["speakers"]["min_files"]
        enough = (table["speaker"][splits == "train"].value_counts() > least).sum()
        if enough < 2:
            told = (
                f"{enough} speakers of {csv} have more training recordings than that; required: two or more"
            )
            yield word_problem(["datasets", "speakers", "min_files"], least, told)
