"""Configs: read strictly, checked before any job starts, completed with the schema's defaults.

Every problem is one line: the path of the key, its value, and what is allowed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from convexprune.setup.problems import find_problems
from convexprune.setup.schema import TYPES, explain, fill_defaults, find_place, show_value, validator


class ConfigError(ValueError):
    """The problems of a config, one line each."""

    def __init__(self, problems: Iterable[str]):
        super().__init__("\n".join(f"Config: {problem}" for problem in problems))


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A config file, unchanged. Raises ConfigError for keys given twice, bad YAML, or no mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        repeats = list(find_repeats(yaml.compose(text, yaml.SafeLoader), [], set()))
        content = yaml.safe_load(text)
        json.dumps(content, default=str)  # ValueError if an anchor contains itself
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}; seen from {os.getcwd()})"]) from error
    except UnicodeDecodeError as error:
        told = f"cannot be read as UTF-8 ({error.reason} at byte {error.start}): save it in that encoding"
        raise ConfigError([f"{path}: {told}"]) from error
    # A date that does not exist, for example, is a ValueError; thousands of brackets are a RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        advice = "; YAML is indented by spaces, not by tabs" if r"'\t'" in reason else ""
        raise ConfigError([f"{path}: cannot be read as YAML: {reason}{advice}"]) from error
    if repeats:
        raise ConfigError(f"{repeat} of {path}" for repeat in repeats)
    if not isinstance(content, dict):
        found = "an empty file" if content is None else show_value(content)
        raise ConfigError([f"{path}: {found}; must be {TYPES['object']} with the keys of a config"])
    return content


def find_repeats(node: yaml.Node | None, path: list[str], seen: set[int]) -> Iterator[str]:
    """Keys that a mapping has twice, one line each. YAML loaders silently keep the last one."""
    if id(node) in seen:  # an alias of a node that was checked already
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
    """A config file, checked and completed with defaults."""
    config = read_yaml(path)
    complete(config)
    return config


def complete(config: dict[str, Any]) -> None:
    """Check `config` and put the schema's defaults into it, in place.

    Raises ConfigError with the problems that the schema finds, in the order of the file. If it finds none,
    the error has the problems that a schema cannot express.
    """
    errors = sorted(validator().iter_errors(config), key=lambda error: find_place(config, error))
    if problems := list(dict.fromkeys(problem for error in errors for problem in explain(error))):
        raise ConfigError(problems)
    fill_defaults(config, validator().schema)
    settle(config)
    if problems := list(find_problems(config)):
        raise ConfigError(problems)


def settle(config: dict[str, Any]) -> None:
    """Fill in, in place, the defaults that depend on other keys. The schema leaves these null.

    A length that is whole is a whole number, however it was written: paths have it.
    """
    seconds = config["clips"]["seconds"]
    config["clips"]["seconds"] = int(seconds) if seconds == int(seconds) else seconds
    phonemes = config["datasets"].get("phonemes", {"max_failed_share": 0})
    if phonemes["max_failed_share"] is None:
        phonemes["max_failed_share"] = 0.01 if "speech_commands" in config["corpus"] else 0.05
