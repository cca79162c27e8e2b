"""The schema of configs: its validator, its defaults, and its errors in plain words."""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator


SCHEMA = Path(__file__).resolve().parents[3] / "schemas/config.schema.yaml"
TYPES = {"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number"} | {
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@cache
def validator() -> Validator:
    """The validator of the schema. Numbers must be finite.

    Whole numbers must be written without a point, because paths contain them. Raises ValueError outside the
    repository, since only there is the schema.
    """
    from jsonschema import Draft202012Validator, validators

    if not SCHEMA.exists():
        raise ValueError(
            "configs belong to the workflow, which the package alone does not bring: run this command in a "
            "clone of the repository, by .venv/bin/python -m convexprune"
        )
    types = Draft202012Validator.TYPE_CHECKER

    def is_number(checker: Any, value: Any) -> bool:
        return types.is_type(value, "number") and math.isfinite(value)

    def is_integer(checker: Any, value: Any) -> bool:
        return types.is_type(value, "integer") and isinstance(value, int)

    strict = validators.extend(
        Draft202012Validator,
        type_checker=types.redefine_many({"number": is_number, "integer": is_integer}),
    )
    return strict(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


def fill_defaults(value: Any, schema: Mapping[str, Any]) -> None:
    """Put the defaults of `schema` into mappings at every level, in place.

    The keys get the schema's order, so that another order in the file changes no job's settings. Keys that
    the user names (models) keep the user's order.
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
        fill_defaults(value[key], properties.get(key) or resolve(schema["additionalProperties"]))


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of the schema with its $ref resolved; keys beside the $ref win."""
    if "$ref" not in schema:
        return schema
    return validator().schema["$defs"][schema["$ref"].rsplit("/", 1)[1]] | schema


def show_value(value: Any) -> str:
    """A value as one short line of JSON."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    most = 300 if isinstance(value, str) else 70  # so that paths are shown whole
    return text if len(text) <= most else f"{text[: most - 3]}..."


def word_problem(path: Iterable[Any], value: Any, allowed: str) -> str:
    return f"{'.'.join(map(str, path)) or 'config'}: {show_value(value)}; {allowed}"


def find_place(config: Any, error: ValidationError) -> tuple[bool, list[int]]:
    """What to sort errors of `config` by: their place in the file, unknown keys of a mapping first.

    Missing keys come after all others, since one that is misspelt may be the cause.
    """
    places, value = [], config
    for key in error.absolute_path:
        places.append(list(value).index(key) if isinstance(value, dict) else int(key))
        value = value[key]
    return error.validator == "required", places


def explain(error: ValidationError) -> Iterator[str]:
    """The problems in one error of the schema, one line each."""
    path, value, wanted = list(error.absolute_path), error.instance, error.validator_value
    if error.validator == "additionalProperties":
        allowed = list(error.schema["properties"])
        for key in [key for key in value if key not in allowed]:
            close = difflib.get_close_matches(str(key), allowed, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            yield word_problem([*path, key], value[key], f"no such key; allowed: {', '.join(allowed)}.{hint}")
    elif error.validator == "required":
        # A dataset of any name needs a label, but those with names of their own do not.
        known = (
            validator().schema["properties"]["datasets"]["properties"] if path[:-1] == ["datasets"] else {}
        )
        close = difflib.get_close_matches(str(path[-1]), known, 1) if path else []
        hint = f". Did you mean {close[0]}?" if close else ""
        for key in wanted:
            if key not in value:
                yield f"{'.'.join(map(str, [*path, key]))}: missing; required here: {', '.join(wanted)}{hint}"
    elif error.validator == "pattern":  # each pattern in the schema has a description
        yield word_problem(path, value, f"allowed: {error.schema['description']}")
    else:
        yield word_problem(path, value, word_rule(error.validator, wanted, value))


def word_rule(kind: str, wanted: Any, value: Any) -> str:
    """The values that a keyword of the schema allows, in words."""
    if kind == "type":
        kinds = " or ".join(TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
        return f"must be {kinds}{explain_reading(wanted, value)}"
    texts: dict[str, Callable[[], str]] = {
        "enum": lambda: f"allowed: {', '.join(map(str, wanted))}",
        "minimum": lambda: f"must be at least {wanted}",
        "maximum": lambda: f"must be at most {wanted}",
        "exclusiveMinimum": lambda: f"must be above {wanted}",
        "exclusiveMaximum": lambda: f"must be below {wanted}",
        "minItems": lambda: f"must have at least {wanted} of them",
        "maxItems": lambda: f"must have at most {wanted} of them",
        "minProperties": lambda: f"must have at least {wanted} of them",
        "uniqueItems": lambda: "each may be given once",
    }
    return texts[kind]() if kind in texts else f"must satisfy {kind} {show_value(wanted)}"


def explain_reading(wanted: str | list[str], value: Any) -> str:
    """A hint on how YAML read a value, and how to write it; empty if there is none."""
    if wanted == "string" and isinstance(value, bool):
        return ': YAML reads yes, no, on and off so; write them in quotes, as in "yes"'
    if wanted == "string" and value is None:
        return ": YAML reads null, ~ and nothing at all so; write text in quotes"
    if wanted == "string" and not isinstance(value, dict | list):  # a number or a date
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
