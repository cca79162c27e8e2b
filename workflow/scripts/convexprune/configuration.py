"""Configs: read strictly, checked before any job starts, completed with the schema's defaults.

Every problem is one line: the path of the key, its value, and what is allowed.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from convexprune import provenance

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

SCHEMA = Path(__file__).resolve().parents[2] / "schemas/config.schema.yaml"
MODEL_KEYS = {"hub": ("id", "revision"), "path": ("path",), "pretrain": ("pretrain",)}
SPECTROGRAMS = ("whisper", "wav2vec2-bert")  # types of models whose folders must say how clips are prepared
TYPES = {"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number"} | {
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


class ConfigError(ValueError):
    """What is wrong with a config, a line a problem."""

    def __init__(self, problems: Iterable[str]):
        super().__init__("\n".join(f"Config: {problem}" for problem in problems))


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A config file as it stands. ConfigError for keys given twice, bad YAML, or no mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        repeats = list(find_repeats(yaml.compose(text, yaml.SafeLoader), [], set()))
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([f"{path}: cannot be read as YAML: {' '.join(str(error).split())}"]) from error
    if repeats:
        raise ConfigError(f"{repeat} of {path}" for repeat in repeats)
    if not isinstance(content, dict):
        raise ConfigError([f"{path}: {show(content)}; must be {TYPES['object']} with the keys of a config"])
    return content


def find_repeats(node: yaml.Node | None, path: list[str], seen: set[int]) -> Iterator[str]:
    """Keys that a mapping gives twice, of which YAML loaders keep the last in silence: a line each."""
    if id(node) in seen:  # an alias of what was looked at
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield from find_repeats(child, [*path, str(index)], seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, child in node.value:
            here, name = [*path, str(key.value)], str(key.value)
            if name in lines and name != "<<":
                place = f"in lines {lines[name]} and {key.start_mark.line + 1}"
                yield f"{'.'.join(here)}: given twice; allowed: once; see {place}"
            lines[name] = key.start_mark.line + 1
            yield from find_repeats(child, here, seen)


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A config file, checked and completed."""
    config = read_yaml(path)
    complete(config)
    return config


def complete(config: dict[str, Any]) -> None:
    """Check `config` and put the schema's defaults into it, in place.

    Raises ConfigError: where the schema is not met, its problems; else those that a schema cannot express.
    """
    errors = validator().iter_errors(config)
    if problems := sorted({problem for error in errors for problem in explain(error)}):
        raise ConfigError(problems)
    fill(config, validator().schema)
    if problems := list(find_problems(config)):
        raise ConfigError(problems)


@cache
def validator() -> Validator:
    """The validator of the schema; numbers must be finite, whole ones written so (paths have them)."""
    from jsonschema import Draft202012Validator, validators

    types = Draft202012Validator.TYPE_CHECKER

    def is_number(checker: Any, value: Any) -> bool:
        return types.is_type(value, "number") and math.isfinite(value)

    def is_integer(checker: Any, value: Any) -> bool:
        return types.is_type(value, "integer") and isinstance(value, int)

    strict = validators.extend(
        Draft202012Validator,
        type_checker=types.redefine_many({"number": is_number, "integer": is_integer}),
    )
    return strict(yaml.safe_load(SCHEMA.read_text()))


def fill(value: Any, schema: Mapping[str, Any]) -> None:
    """Put the defaults of `schema` into mappings at every level, in place.

    Their keys get the order of the schema, so that another order in the file changes no job's settings. Where
    the user names the keys (models), the order is the user's.
    """
    if not isinstance(value, dict):
        return
    properties = {key: resolve(child) for key, child in schema.get("properties", {}).items()}
    for key, child in properties.items():
        if "default" in child:
            value.setdefault(key, copy.deepcopy(child["default"]))
    ordered = {key: value[key] for key in properties if key in value} | value
    value.clear()
    value.update(ordered)
    for key in value:
        fill(value[key], properties.get(key) or resolve(schema["additionalProperties"]))


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of the schema with what its $ref refers to; what stands beside the $ref wins."""
    if "$ref" not in schema:
        return schema
    return validator().schema["$defs"][schema["$ref"].rsplit("/", 1)[1]] | schema


def show(value: Any) -> str:
    """A value in one short line, as JSON writes it."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    most = 300 if isinstance(value, str) else 70  # paths are told whole
    return text if len(text) <= most else f"{text[: most - 3]}..."


def line(path: Iterable[Any], value: Any, allowed: str) -> str:
    return f"{'.'.join(map(str, path)) or 'config'}: {show(value)}; {allowed}"


def explain(error: ValidationError) -> Iterator[str]:
    """A problem that the schema finds, a line each."""
    path, value, wanted = list(error.absolute_path), error.instance, error.validator_value
    if error.validator == "additionalProperties":
        allowed = list(error.schema["properties"])
        for key in value.keys() - set(allowed):
            close = difflib.get_close_matches(str(key), allowed, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            yield line([*path, key], value[key], f"no such key; allowed: {', '.join(allowed)}.{hint}")
    elif error.validator == "required":
        for key in wanted:
            if key not in value:
                yield f"{'.'.join(map(str, [*path, key]))}: missing; required here: {', '.join(wanted)}"
    elif error.validator == "pattern":  # every one is described
        yield line(path, value, f"allowed: {error.schema['description']}")
    else:
        yield line(path, value, say(error.validator, wanted, value))


def say(kind: str, wanted: Any, value: Any) -> str:
    """What a keyword of the schema allows, in words."""
    if kind == "type":
        kinds = " or ".join(TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
        return f"must be {kinds}{hint(wanted, value)}"
    texts: dict[str, Callable[[], str]] = {
        "enum": lambda: f"allowed: {', '.join(map(str, wanted))}",
        "minimum": lambda: f"must be at least {wanted}",
        "maximum": lambda: f"must be at most {wanted}",
        "exclusiveMinimum": lambda: f"must be above {wanted}",
        "exclusiveMaximum": lambda: f"must be below {wanted}",
        "minItems": lambda: f"must have at least {wanted} of them",
        "minProperties": lambda: f"must have at least {wanted} of them",
        "uniqueItems": lambda: "each may be given once",
    }
    return texts[kind]() if kind in texts else f"must satisfy {kind} {show(wanted)}"


def hint(wanted: str | list[str], value: Any) -> str:
    """How YAML came to read a value so."""
    if wanted == "string" and isinstance(value, bool):
        return ': YAML reads yes, no, on and off so; write them in quotes, as in "yes"'
    if wanted == "string" and isinstance(value, int | float):
        return ": write it in quotes"
    if wanted in ("number", "integer") and isinstance(value, str | float):
        try:
            number = float(value)
        except ValueError:
            return ""
        reading = ": YAML reads it as text; write" if isinstance(value, str) else ": write"
        if math.isfinite(number) and wanted == "number":
            shown = repr(number)  # a number with an exponent needs a point too
            return f"{reading} {shown if '.' in shown else shown.replace('e', '.0e')}"
        if math.isfinite(number) and number.is_integer():
            return f"{reading} {int(number)}"
        return ": write it as a finite number" if wanted == "number" and isinstance(value, float) else ""
    return ""


def find_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What a schema cannot express: keys that refer to each other, files that must be there."""
    corpus, datasets, models, tasks = (config[key] for key in ("corpus", "datasets", "models", "tasks"))
    yield from corpus_problems(corpus, datasets, config["pathvars"])
    if config["pathvars"]["results"] == config["pathvars"]["resources"]:
        yield line(
            ["pathvars", "results"], config["pathvars"]["results"], "must be another folder than resources"
        )
    for name, model in models.items():
        yield from model_problems(["models", name], model)
    for task in tasks:
        if task not in datasets:
            yield line(["tasks"], task, f"needs datasets.{task}; there are {', '.join(datasets)}")
        if task not in config["finetuning"]["learning_rate"]:
            yield f"finetuning.learning_rate.{task}: missing; required for the tasks {', '.join(tasks)}"
    for path, held_out in (
        (["corpus", "table"], corpus.get("table")),
        (["datasets", "speakers"], datasets.get("speakers")),
    ):
        if held_out and (share := held_out["test_share"] + held_out["validation_share"]) >= 1:
            yield line(
                [*path, "test_share"],
                held_out["test_share"],
                f"leaves nothing to train on: with validation_share it is {share:g}; must be below 1",
            )
    recipe = config["finetuning"]
    if recipe["cache_features"] != "none" and not recipe["freeze_feature_encoder"]:
        yield line(
            ["finetuning", "cache_features"],
            recipe["cache_features"],
            "a front end that is trained (freeze_feature_encoder: false) changes; allowed then: none",
        )
    if recipe["micro_batch_size"] and recipe["batch_size"] % recipe["micro_batch_size"]:
        yield line(
            ["finetuning", "micro_batch_size"],
            recipe["micro_batch_size"],
            f"must divide batch_size, {recipe['batch_size']}",
        )
    if recipe["precision"] == "float16" and not config["gpus"]:
        yield line(
            ["finetuning", "precision"],
            recipe["precision"],
            "needs a GPU (gpus: 0); allowed then: auto, float32, bfloat16",
        )
    for dataset in config["convexity"]["untrained"]:
        if dataset not in datasets:
            yield line(["convexity", "untrained"], dataset, f"allowed: {', '.join(datasets)}")
    for task, sweep in config["sweep"].items():
        yield from sweep_problems(["sweep", task], sweep, task, tasks, models)


def corpus_problems(
    corpus: Mapping[str, Any], datasets: Mapping[str, Any], pathvars: Mapping[str, str]
) -> Iterator[str]:
    if len(corpus) != 1:
        yield line(["corpus"], sorted(corpus), "must have exactly one of speech_commands, synthetic, table")
    elif "table" in corpus:
        yield from table_problems(Path(corpus["table"]["csv"]), datasets)
    elif "speech_commands" in corpus:
        yield from archive_problems(["corpus", "speech_commands"], corpus["speech_commands"], pathvars)
    elif "speakers" in datasets:
        speech, least = corpus["synthetic"], datasets["speakers"]["min_files"]
        if (made := len(speech["words"]) * speech["takes"]) <= least:
            told = f"must be below the {made} recordings that corpus.synthetic makes of each speaker"
            yield line(["datasets", "speakers", "min_files"], least, told)


def archive_source(archives: Mapping[str, Any], name: str) -> str | None:
    """Where an archive of Speech Commands comes from, a file or a URL: its path, the mirror, its url."""
    if archives[name]["path"]:
        return archives[name]["path"]
    mirror = archives.get("mirror")
    return f"{mirror.rstrip('/')}/{name}.tar.gz" if mirror else archives[name]["url"]


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def archive_problems(
    path: list[str], archives: Mapping[str, Any], pathvars: Mapping[str, str]
) -> Iterator[str]:
    """What can be told of the archives without reading them: local files, records of what was downloaded."""
    folder = Path(pathvars["resources"], "speech_commands")
    for name, archive in archives.items():
        if name == "mirror":
            continue
        source = archive_source(archives, name)
        if not source:
            yield f"{'.'.join([*path, name])}: required: its url or path, or a mirror for both archives"
        elif is_url(source):
            yield from download_problems([*path, name], folder / f"{name}.tar.gz", source, archive["sha256"])
        elif not Path(source).is_file():
            key = [name, "path"] if archive["path"] else ["mirror"]
            yield line([*path, *key], source, f"no such file (seen from {os.getcwd()})")
        elif archive["size"] not in (None, size := Path(source).stat().st_size):
            yield line([*path, name, "size"], archive["size"], f"{source} has {size} bytes")


def download_problems(path: list[str], there: Path, source: str, sha256: str | None) -> Iterator[str]:
    """Whether the archive `there`, if it was downloaded before, is the one that the config asks for."""
    recorded, origin = provenance.read_sum(there), provenance.read_source(there)
    if not (there.exists() and recorded):
        return
    if sha256 and recorded != sha256.lower():
        yield line(
            [*path, "sha256"],
            sha256,
            f"{there}, which is there, has {recorded}: correct the one or delete the other",
        )
    elif not sha256 and origin not in (None, source):
        yield line(
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
            yield line([*path, key], model[key], f"not allowed; {taken}")
    for task, layers in model["keep"].items():
        if layers >= model["layers"]:
            yield line([*path, "keep", task], layers, f"must be below the model's {model['layers']} layers")
    if model["source"] == "path" and "path" in model:
        yield from folder_problems(path, Path(model["path"]), model["layers"])
    if model["source"] == "pretrain" and "pretrain" in model:
        settings = model["pretrain"]
        if settings["hidden_size"] % settings["attention_heads"]:
            yield line(
                [*path, "pretrain", "hidden_size"],
                settings["hidden_size"],
                f"must be a multiple of attention_heads, {settings['attention_heads']}",
            )
        lengths = [len(settings[key]) for key in ("conv_dim", "conv_kernel", "conv_stride")]
        if len(set(lengths)) > 1:
            yield line(
                [*path, "pretrain", "conv_dim"],
                settings["conv_dim"],
                "conv_dim, conv_kernel and conv_stride must be of one length; they have "
                f"{', '.join(map(str, lengths))}",
            )
        elif (frames := count_frames(settings)) < settings["mask_length"]:
            yield line(
                [*path, "pretrain", "mask_length"],
                settings["mask_length"],
                f"must be at most the {frames} frames that conv_kernel and conv_stride make of a second",
            )


def count_frames(settings: Mapping[str, Any]) -> int:
    """Frames that the convolutions of a pretrained model make of a clip of one second."""
    samples = 16_000
    for kernel, stride in zip(settings["conv_kernel"], settings["conv_stride"], strict=True):
        samples = max(0, (samples - kernel) // stride + 1)
    return samples


def find_weights(folder: Path) -> Path | None:
    """The weights of a model folder, in either format that Transformers reads, whole or as shards' index."""
    names = ("model.safetensors", "pytorch_model.bin")
    places = (folder / f"{name}{suffix}" for name in names for suffix in ("", ".index.json"))
    return next((path for path in places if path.is_file()), None)


def folder_problems(path: list[str], folder: Path, layers: int) -> Iterator[str]:
    """What can be told of a local model without its weights. It must have `layers`."""
    if not folder.is_dir():
        yield line([*path, "path"], str(folder), f"no such folder (seen from {os.getcwd()})")
        return
    there = {
        "config.json": (folder / "config.json").is_file(),
        "model.safetensors or pytorch_model.bin": find_weights(folder) is not None,
    }
    if missing := [name for name, found in there.items() if not found]:
        told = f"has no {', no '.join(missing)}; required: a Hugging Face folder"
        yield line([*path, "path"], str(folder), told)
        return
    try:
        stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found = stated.get("encoder_layers", stated.get("num_hidden_layers"))  # the first of Whisper
    except (OSError, ValueError, AttributeError) as error:
        yield line([*path, "path"], str(folder), f"its config.json cannot be read ({error})")
        return
    kind = stated.get("model_type")
    if kind in SPECTROGRAMS and not (folder / "preprocessor_config.json").is_file():
        yield line([*path, "path"], str(folder), f"has no preprocessor_config.json; required by {kind}")
    if found not in (None, layers):
        yield line([*path, "layers"], layers, f"must be {found}, as {folder / 'config.json'} says")


def sweep_problems(
    path: list[str], sweep: Mapping[str, Any], task: str, tasks: Sequence[str], models: Mapping[str, Any]
) -> Iterator[str]:
    if task not in tasks:
        yield line(path, sweep, f"only tasks are swept; there are {', '.join(tasks)}")
    for name in sweep["models"]:
        if name not in models:
            yield line([*path, "models"], name, f"no such model; allowed: {', '.join(models)}")
    full = {name: models[name]["layers"] for name in sweep["models"] if name in models}
    for layers in sweep.get("layers", []):
        if beyond := [f"{count} layers of {name}" for name, count in full.items() if layers > count]:
            yield line([*path, "layers"], layers, f"must be at most the {', the '.join(beyond)}")


def table_problems(csv: Path, datasets: Mapping[str, Any]) -> Iterator[str]:
    """What can be told of the user's table without its audio."""
    import numpy as np

    from convexprune import recordings

    def problem(text: str) -> str:
        return line(["corpus", "table", "csv"], str(csv), text)

    if not csv.is_file():
        yield problem(f"no such file (seen from {os.getcwd()})")
        return
    try:
        table = recordings.read_user_table(
            csv, ["path", "word", *(["speaker"] if "speakers" in datasets else [])]
        )
        rows = recordings.find_problems(table, csv.parent)
    except (OSError, ValueError) as error:
        yield problem(" ".join(str(error).removeprefix(f"{csv} ").split()))
        return
    if bad := [number for number, problems in enumerate(rows) if problems]:
        place = f"row {bad[0] + 1} ({table['path'][bad[0]]})"
        yield problem(f"{place}: {'; '.join(rows[bad[0]])}; bad rows in all: {len(bad)}")
        return
    # Splits that are still to be drawn: the training split holds at most all.
    splits = table["split"] if "split" in table else np.repeat("train", len(table))
    if "words" in datasets:
        known = set(table["word"][splits == "train"])
        for split in ("train", "validation", "test") if "split" in table else ("train",):
            place = f"split {split}" if "split" in table else "table"
            found = set(table["word"][splits == split])
            if len(found) < 2:
                yield problem(f"its {place} has the words {show(sorted(found))}; required: two words or more")
            elif found - known:
                yield problem(
                    f"its {place} has the words {show(sorted(found - known))}, which split train lacks"
                )
    if "speakers" in datasets:
        least = datasets["speakers"]["min_files"]
        enough = (table["speaker"][splits == "train"].value_counts() > least).sum()
        if enough < 2:
            told = (
                f"{enough} speakers of {csv} have more training recordings than that; required: two or more"
            )
            yield line(["datasets", "speakers", "min_files"], least, told)
