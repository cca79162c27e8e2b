"""What a config asks for: what is embedded and scored, which models are trained, with which settings.

These are pure functions of a completed config (`complete`). Both the rules and the estimate call them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from convexprune.setup import model_files

Config: TypeAlias = Mapping[str, Any]
# The archives of Speech Commands. The main one has the recordings that `testing_list.txt` names, too.
MAIN_ARCHIVE, TEST_ARCHIVE = "speech_commands_v0.02", "speech_commands_test_set_v0.02"


@dataclass(frozen=True, order=True)
class Run:
    """One fine-tuned model: full, pruned and swept models differ in `layers` only."""

    model: str
    task: str
    layers: int
    seed: int


# Datasets of these names are not the recordings of a split: they have items of their own.
OWN_ITEMS = ("speakers", "phonemes")
PLAN_SETTINGS = {"tolerance": ("tolerance",), "significant": ("alpha", "margin")}  # of the rules of a plan


def labels_of(config: Config) -> dict[str, str]:
    """The datasets whose items are recordings in the corpus' splits, each with the column that labels it."""
    return {name: one["label"] for name, one in config["datasets"].items() if name not in OWN_ITEMS}


def embedded_with(config: Config, dataset: str) -> str:
    """The dataset whose embeddings hold the items of `dataset`: the first one of the same recordings."""
    labels, datasets = labels_of(config), config["datasets"]
    if dataset not in labels:
        return dataset
    split = datasets[dataset]["convexity_split"]
    return next(name for name in labels if datasets[name]["convexity_split"] == split)


def list_states(config: Config, dataset: str) -> list[str]:
    """States of a model whose convexity is measured on `dataset`."""
    untrained = ["untrained"] if dataset in config["convexity"]["untrained"] else []
    return [*untrained, "pretrained", *config["tasks"]]


def list_scored(config: Config) -> list[tuple[str, str, str]]:
    """Every (model, state, dataset) that is embedded and scored."""
    return [
        (model, state, dataset)
        for model in config["models"]
        for dataset in config["datasets"]
        for state in list_states(config, dataset)
    ]


def list_embedded(config: Config) -> list[tuple[str, str, str]]:
    """Every (model, state, dataset) that is embedded: datasets of the same recordings only once."""
    embedded = (
        (model, state, embedded_with(config, dataset)) for model, state, dataset in list_scored(config)
    )
    return list(dict.fromkeys(embedded))


def swept_layers(config: Config, model: str, task: str) -> list[int]:
    """Depths at which the sweep trains a model; [] if it does not train it.

    By default these are no layers, every second layer in the paper's numbering (0, 2, ...), and all layers.
    """
    sweep = config["sweep"].get(task, {"models": []})
    if model not in sweep["models"]:
        return []
    full = config["models"][model]["layers"]
    return sweep.get("layers", [0, *range(1, full, 2), full])


def list_runs(config: Config, kept: Callable[[str, str], int]) -> list[Run]:
    """Every fine-tuning run; `kept(model, task)` is the number of layers that the pruned model keeps."""
    runs = []
    for task in config["tasks"]:
        for model, described in config["models"].items():
            depths = {described["layers"], kept(model, task), *swept_layers(config, model, task)}
            runs += [
                Run(model, task, layers, seed)
                for layers in sorted(depths)
                for seed in config["finetuning"]["seeds"]
            ]
    return runs


def timed_layers(config: Config, model: str, task: str, kept: int) -> list[int]:
    """Depths that are timed in turn with the full model: the pruned model's and the sweep's."""
    full = config["models"][model]["layers"]
    return sorted({kept, *swept_layers(config, model, task)} - {full}) or [full]


def alignment_settings(config: Config) -> dict[str, Any]:
    """The settings that the phones depend on. How a service is called (contact, limits) changes no phone."""
    phonemes = config["datasets"].get("phonemes", {})
    settings = {"aligner": phonemes.get("aligner"), "split": phonemes.get("convexity_split")}
    if settings["aligner"] == "maus":
        settings |= {key: config["maus"][key] for key in ("language", "url")}
    return dict(sorted(settings.items()))


def phoneme_settings(config: Config) -> dict[str, Any]:
    """How phonemes are chosen. Only in the context of their word does it matter how long clips are."""
    phonemes = config["datasets"].get("phonemes", {})
    settings = {key: phonemes.get(key) for key in ("context", "max_failed_share", "min_count")}
    return settings | ({"seconds": config["clips"]["seconds"]} if settings["context"] == "word" else {})


def source_settings(config: Config, model: str) -> dict[str, Any]:
    """What the import or the download of a model depends on: for Whisper also the length of clips."""
    described = config["models"][model]
    settings = {key: described[key] for key in ("id", "layers", "path", "revision") if key in described}
    return settings | ({"seconds": config["clips"]["seconds"]} if model_files.is_whisper(described) else {})


def pretraining_settings(config: Config, model: str) -> dict[str, Any]:
    described = config["models"][model]
    return {
        "layers": described["layers"],
        "seconds": config["clips"]["seconds"],
        **described["pretrain"],
    }


def embedding_settings(config: Config, model: str, state: str, dataset: str) -> dict[str, Any]:
    described = config["datasets"][dataset]
    return {
        "context": described.get("context", "segment"),
        "frames": config["embeddings"]["frames"],
        "layers": config["models"][model]["layers"],
        "recordings": dataset not in OWN_ITEMS,
        **config["clips"],
        "seed": config["convexity"]["untrained_seed"] if state == "untrained" else None,
        "split": described["convexity_split"],
    }


def drawing_settings(config: Config) -> dict[str, Any]:
    """How splits are drawn for a table that has none (`splits.Drawing`): spread over the labels of all tasks.

    Their order in the config does not count, nor do datasets that are no tasks.
    """
    table, labels = config["corpus"]["table"], labels_of(config)
    of_tasks = {labels[task] for task in config["tasks"] if task in labels}
    others = "word" if "phonemes" in config["datasets"] else "speaker"
    return {
        "group": table["split_by"],
        "labels": sorted(of_tasks) or [next(iter(labels.values()), others)],
        **{key: table[key] for key in ("seed", "test_share", "validation_share")},
    }


def plan_settings(config: Config) -> dict[str, Any]:
    def settings(model: str, task: str) -> dict[str, Any]:
        keep = config["models"][model]["keep"].get(task)
        rule = config["plan"]["rule"] if keep is None else "explicit"
        return {
            "keep": keep,
            "layers": config["models"][model]["layers"],
            "rule": rule,
            "split": config["datasets"][task]["convexity_split"],
            **{key: config["plan"][key] for key in PLAN_SETTINGS.get(rule, ())},
        }

    return {
        "average": config["convexity"]["average"],
        "models": {
            model: {task: settings(model, task) for task in config["tasks"]} for model in config["models"]
        },
    }


def start_of(config: Config, model: str, layers: int) -> str:
    """What a training starts from: the full model always from the pretrained encoder."""
    full = layers == config["models"][model]["layers"]
    return "pretrained" if full else config["finetuning"]["start"]


def finetuning_settings(config: Config, model: str, task: str, layers: int) -> dict[str, Any]:
    """Only the settings that this run depends on: a full model's lack the learning rate of pruned ones."""
    other = {"seeds", "micro_batch_size", "gradient_checkpointing", "report_to"}
    settings = {key: value for key, value in config["finetuning"].items() if key not in other}
    full_layers = config["models"][model]["layers"]
    size = "full" if layers == full_layers else "pruned"
    settings["learning_rate"] = settings["learning_rate"][task][size]
    settings["start"] = start_of(config, model, layers)
    settings["full_layers"] = full_layers
    settings |= config["clips"]
    return dict(sorted(settings.items()))


def list_archives(archives: Mapping[str, Any]) -> list[str]:
    """The archives of Speech Commands that are read: the standard test split is in the main one."""
    return [MAIN_ARCHIVE] if archives["test"] == "standard" else [MAIN_ARCHIVE, TEST_ARCHIVE]


def test_settings(config: Config) -> dict[str, str]:
    """The test split, for jobs that tell it. Nothing for the paper's, so that older results stay."""
    test = config["corpus"].get("speech_commands", {}).get("test", "paper")
    return {} if test == "paper" else {"test": test}


def archive_source(archives: Mapping[str, Any], name: str) -> str | None:
    """The file or URL of an archive of Speech Commands: its path, else the mirror, else its url."""
    if archives[name]["path"]:
        return archives[name]["path"]
    mirror = archives.get("mirror")
    return f"{mirror.rstrip('/')}/{name}.tar.gz" if mirror else archives[name]["url"]


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))
