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
    if problems := sorted(problem for error in errors for problem in explain(error)):
        raise ConfigError(problems)
    fill(config, validator().schema)
    if problems := list(find_problems(config)):
        raise ConfigError(problems)


@cache
def validator() -> Validator:
    """The validator of the schema; numbers must be finite."""
    from jsonschema import Draft202012Validator, validators

    def is_number(checker: Any, value: Any) -> bool:
        return Draft202012Validator.TYPE_CHECKER.is_type(value, "number") and math.isfinite(value)

    strict = validators.extend(
        Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", is_number)
    )
    return strict(yaml.safe_load(SCHEMA.read_text()))


def fill(value: Any, schema: Mapping[str, Any]) -> None:
    """Put the defaults of `schema` into mappings at every level, in place."""
    if not isinstance(value, dict):
        return
    properties = {key: resolve(child) for key, child in schema.get("properties", {}).items()}
    for key, child in properties.items():
        if "default" in child:
            value.setdefault(key, copy.deepcopy(child["default"]))
    for key in value:
        fill(value[key], properties.get(key) or resolve(schema["additionalProperties"]))


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of the schema with what its $ref refers to; what stands beside the $ref wins."""
    if "$ref" not in schema:
        return schema
    return validator().schema["$defs"][schema["$ref"].rsplit("/", 1)[1]] | schema


def show(value: Any) -> str:
    """A value in one short line, as JSON writes it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 70 else f"{text[:67]}..."  # a SHA-256 is told whole


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
    elif error.validator == "pattern" and "description" in error.schema:
        told = say(error.validator, wanted, value)
        yield line(path, value, f"{told}: {error.schema['description']}")
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
        "pattern": lambda: f"must match {wanted}",
    }
    return texts[kind]() if kind in texts else f"must satisfy {kind} {show(wanted)}"


def hint(wanted: str | list[str], value: Any) -> str:
    """How YAML came to read a value so."""
    if wanted == "string" and isinstance(value, bool):
        return ': YAML reads yes, no, on and off so; write them in quotes, as in "yes"'
    if wanted in ("number", "integer") and isinstance(value, str):
        try:
            return f": YAML reads it as text; write {float(value)!r}" if math.isfinite(float(value)) else ""
        except ValueError:
            return ""
    return ": write it as a finite number" if wanted == "number" and isinstance(value, float) else ""


def find_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What a schema cannot express: keys that refer to each other, files that must be there."""
    corpus, datasets, models, tasks = (config[key] for key in ("corpus", "datasets", "models", "tasks"))
    if len(corpus) != 1:
        yield line(["corpus"], sorted(corpus), "must have exactly one of speech_commands, synthetic, table")
    elif "table" in corpus:
        columns = ["path", "word", *(["speaker"] if "speakers" in datasets else [])]
        yield from table_problems(["corpus", "table", "csv"], Path(corpus["table"]["csv"]), columns)
    elif "speech_commands" in corpus:
        yield from archive_problems(
            ["corpus", "speech_commands"], corpus["speech_commands"], config["pathvars"]
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
    training = config["finetuning"]
    if training["micro_batch_size"] and training["batch_size"] % training["micro_batch_size"]:
        yield line(
            ["finetuning", "micro_batch_size"],
            training["micro_batch_size"],
            f"must divide batch_size, {training['batch_size']}",
        )
    for dataset in config["convexity"]["untrained"]:
        if dataset not in datasets:
            yield line(["convexity", "untrained"], dataset, f"allowed: {', '.join(datasets)}")
    for task, sweep in config["sweep"].items():
        yield from sweep_problems(["sweep", task], sweep, task, tasks, models)


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
    folder = Path(pathvars.get("resources", "resources"), "speech_commands")
    for name, archive in archives.items():
        if name == "mirror":
            continue
        source = archive_source(archives, name)
        if not source:
            yield f"{'.'.join([*path, name])}: required: its url or path, or a mirror for both archives"
        elif is_url(source):
            yield from download_problems([*path, name], folder / f"{name}.tar.gz", source, archive["sha256"])
        elif not Path(source).is_file():
            yield f"{'.'.join([*path, name])}: {source}: no such file (seen from {os.getcwd()})"
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
    if model["source"] == "path" and not Path(model.get("path", ".")).is_dir():
        yield line([*path, "path"], model["path"], f"no such folder (seen from {os.getcwd()})")
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


def table_problems(path: list[str], csv: Path, columns: list[str]) -> Iterator[str]:
    """What can be told of the user's table without its audio. It must have `columns`."""
    import pandas as pd

    def problem(text: str) -> str:
        return line(path, str(csv), text)

    if not csv.is_file():
        yield problem(f"no such file (seen from {os.getcwd()})")
        return
    try:
        table = pd.read_csv(csv, dtype=str, skipinitialspace=True, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        yield problem(f"not a CSV file in UTF-8 ({' '.join(str(error).split())})")
        return
    table.columns = table.columns.str.strip()
    if missing := [name for name in columns if name not in table]:
        yield problem(
            f"has no column {', '.join(missing)}; required: {', '.join(columns)} and, if you like, "
            f"{'split' if 'speaker' in columns else 'speaker and split'}; it has {', '.join(table.columns)}"
        )
    elif table.empty:
        yield problem("has no rows; required: a row for each recording")
    else:
        words = table["word"].str.strip()
        splits = table["split"].str.strip() if "split" in table else pd.Series("train", index=table.index)
        needed = ("train", "validation", "test")
        if wrong := sorted(set(splits) - set(needed)):
            yield problem(f"has the split {show(wrong[0])}; allowed: {', '.join(needed)}")
        for split in needed if "split" in table else ("train",):
            found = sorted(set(words[splits == split]))
            if len(found) < 2:
                place = f"split {split}" if "split" in table else "table"
                yield problem(f"its {place} has the words {show(found)}; required: two words or more")
