"""What a resource is to a client: how it is written, how an answer is judged, and where either database keeps it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tracseq_migrate.sandbox.load.ledger import Value

Draw = Callable[[random.Random, str], dict[str, Any]]
"""Makes a body from chance and a word that no other write has."""

Change = Callable[[random.Random, str, Value], dict[str, Any]]
"""Makes the body of a change, from what the row is now."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where one side keeps a resource: the business key and each field as SQL expressions over ``source``."""

    source: str
    key: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of row.

    ``flag`` is the gateway's key of its routing, ``database`` the sandbox's name of the database of its service. ``old`` is the
    shape in the monolith's database, ``new`` the one in the service's. ``at_location`` is the field that takes the name of a
    storage location, where one is needed.
    """

    name: str
    flag: str
    database: str
    prefix: str
    path: str
    key: str
    create: Draw
    change: Change | None
    old: Shape
    new: Shape
    by_id: bool = True
    at_location: str = ""
    login: Callable[[Value], tuple[str, dict[str, Any]]] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are compared, the business key among them."""
        return (self.key, *self.old.fields)

    def value(self, body: Value) -> dict[str, Any]:
        """What is expected to be kept of a body: everything but what is never read again."""
        return {field: normal(field, body[field]) for field in self.fields}

    def found(self, body: Any) -> dict[str, Any]:
        """The compared fields of a row as it came back; what is missing is not there either."""
        return {field: normal(field, body[field]) for field in self.fields if field in body}

    def difference(self, value: Value, body: Any) -> str:
        """The first field in which an answer is not what was expected, in words; empty where it is all there."""
        if not isinstance(body, dict):
            return f"a row was expected, not {type(body).__name__}"
        for field in self.fields:
            if field not in body:
                return f"{field} is missing"
            if normal(field, body[field]) != value[field]:
                return f"{field} is {body[field]!r}, not {value[field]!r}"
        return ""

    def is_about(self, key: str, body: Any) -> str:
        """Empty where an answer is about the row of this key."""
        if isinstance(body, dict) and body.get(self.key) == key:
            return ""
        return f"the answer is not about {self.key} {key!r}"

    def path_of_key(self, key: str) -> str:
        """Where the rows of a business key are listed."""
        return f"{self.path}?{self.key}={quote(key, safe='')}"


@dataclass(frozen=True, slots=True)
class Page:
    """Something to read that is no row."""

    method: str
    prefix: str
    path: str
    body: Mapping[str, Any] | None = None


def normal(field: str, value: Any) -> Any:
    """Times as RFC 3339 in UTC, whoever writes them how; everything else as it is."""
    if not field.endswith("_at"):
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.astimezone(UTC).isoformat(timespec="milliseconds")


def rows_of(body: Any) -> list[dict[str, Any]]:
    """The rows of a list's answer; none where it is not one."""
    items = body.get("items") if isinstance(body, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def is_list(body: Any) -> str:
    """The check of a list's answer."""
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        return ""
    return "a list was expected, with `items`"


def is_object(body: Any) -> str:
    """The check of a page's answer."""
    return "" if isinstance(body, dict) and body else "a JSON object was expected"
