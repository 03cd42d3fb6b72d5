"""JSON Schemas as editors like them: made from models, with what their docstrings say, in a stable form."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/$defs/{model}"


def describe(model: type[BaseModel], schema: dict[str, Any]) -> None:
    """Add to the properties of a model's schema what the model's source says right under its fields."""
    for base in reversed(model.__mro__):
        if base is BaseModel or not issubclass(base, BaseModel):
            continue
        for name, text in _docstrings(base):
            info = model.model_fields.get(name)
            if info is not None:
                written = schema.get("properties", {}).get(info.alias or name)
                if isinstance(written, dict):
                    written["description"] = _plain(text)


def _docstrings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for field, after in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            yield field.target.id, after.value.value


def finish(schema: Mapping[str, Any], *, title: str, description: str) -> dict[str, Any]:
    """The schema of a whole file, without what only repeats: titles that are a field's name, and that a key may be null."""
    finished = _tidy({key: value for key, value in schema.items() if key != "title"})
    return {"$schema": DIALECT, "title": title, **finished, "description": description}


def text(schema: Mapping[str, Any]) -> str:
    """The schema as its file has it."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(name: str, schema: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Print a schema, or write it under its name into the folder that is given."""
    if arguments:
        Path(arguments[0], name).write_text(text(schema), encoding="utf-8")
    else:
        sys.stdout.write(text(schema))


def _tidy(node: Any, *, names: bool = False) -> Any:
    """``names``: the keys of this mapping are names of fields or models, not words of a schema."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {key: _tidy(each) for key, each in node.items()}
    tidy = {
        key: _tidy(each, names=key in ("properties", "patternProperties", "$defs"))
        for key, each in node.items()
        if key != "title" and not (key == "default" and (each is None or isinstance(each, dict)))
    }
    members = tidy.get("anyOf")
    if isinstance(members, list) and {"type": "null"} in members:
        members = [member for member in members if member != {"type": "null"}]
        tidy.pop("anyOf")
        tidy = {**members[0], **tidy} if len(members) == 1 else {"anyOf": members, **tidy}
    if "patternProperties" in tidy:
        tidy.setdefault("additionalProperties", False)
    if tidy.get("type") == "string" and not isinstance(tidy.get("default", ""), str):
        tidy.pop("default")  # a duration: text in the file, a number here
    if isinstance(tidy.get("description"), str):
        tidy["description"] = _plain(tidy["description"])
    return tidy


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())
