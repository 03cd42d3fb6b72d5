"""As much of JSON Schema as our schemas use, so that a test can hold files against them. A word that it does not know fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_SAID_ONLY = {"$schema", "$defs", "title", "description", "default", "examples"}


def complaints(
    value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str = ""
) -> Iterator[str]:
    """What a schema has against a value."""
    for word, rule in schema.items():
        if word in _SAID_ONLY or word in ("patternProperties", "additionalProperties"):
            continue
        yield from _complaints(word, rule, value, root, path)
    if isinstance(value, dict):
        yield from _members(value, schema, root, path)


def _complaints(word: str, rule: Any, value: Any, root: Mapping[str, Any], path: str) -> Iterator[str]:
    match word:
        case "$ref":
            yield from complaints(value, root["$defs"][str(rule).removeprefix("#/$defs/")], root, path)
        case "type":
            is_bool = isinstance(value, bool)
            if not isinstance(value, _TYPES[rule]) or (is_bool and rule != "boolean"):
                yield f"{path}: not of type {rule}"
        case "properties":
            if isinstance(value, dict):
                for key in value.keys() & rule.keys():
                    yield from complaints(value[key], rule[key], root, f"{path}/{key}")
        case "propertyNames":
            if isinstance(value, dict):
                for key in value:
                    yield from complaints(key, rule, root, f"{path}/{key}")
        case "required":
            yield from (f"{path}: no {key}" for key in rule if isinstance(value, dict) and key not in value)
        case "items":
            if isinstance(value, list):
                for index, each in enumerate(value):
                    yield from complaints(each, rule, root, f"{path}/{index}")
        case "oneOf" | "anyOf":
            fits = [member for member in rule if not list(complaints(value, member, root, path))]
            if len(fits) != 1 if word == "oneOf" else not fits:
                yield f"{path}: fits {len(fits)} of {word}"
        case "enum":
            if value not in rule:
                yield f"{path}: not one of {rule}"
        case "const":
            if value != rule:
                yield f"{path}: not {rule}"
        case "pattern":
            if isinstance(value, str) and not re.search(rule, value):
                yield f"{path}: does not fit {rule}"
        case "minItems" | "minLength" | "minProperties":
            if isinstance(value, (list, str, dict)) and len(value) < rule:
                yield f"{path}: shorter than {rule}"
        case "maxItems" | "maxLength" | "maxProperties":
            if isinstance(value, (list, str, dict)) and len(value) > rule:
                yield f"{path}: longer than {rule}"
        case "minimum":
            if isinstance(value, (int, float)) and value < rule:
                yield f"{path}: less than {rule}"
        case "maximum":
            if isinstance(value, (int, float)) and value > rule:
                yield f"{path}: more than {rule}"
        case _:
            raise AssertionError(f"this test knows no word {word!r}")


def _members(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> Iterator[str]:
    patterns: Mapping[str, Any] = schema.get("patternProperties", {})
    rest = schema.get("additionalProperties", True)
    for key, each in value.items():
        if key in schema.get("properties", {}):
            continue
        fitting = [rule for pattern, rule in patterns.items() if re.search(pattern, key)]
        for rule in fitting:
            yield from complaints(each, rule, root, f"{path}/{key}")
        if fitting or rest is True:
            continue
        if rest is False:
            yield f"{path}: {key} is not allowed"
        else:
            yield from complaints(each, rest, root, f"{path}/{key}")
