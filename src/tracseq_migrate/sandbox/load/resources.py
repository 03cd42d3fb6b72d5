"""The resources as a client knows them: what it sends, what it expects back, and where either database keeps it.

Written down from the interface and from the tables, not taken from the applications. The values are such that both sides can
hold them: what only one side can hold is a matter of the mappings of a migration, not of its safety.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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


def _user(rng: random.Random, word: str) -> dict[str, Any]:
    email = f"{word}@load.example"
    return {"email": email, "password": _password(email), **_user_change(rng, word, {})}


def _user_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {
        "first_name": f"First {word}",
        "last_name": f"Last {word}",
        "role": rng.choice(("guest", "data_analyst", "research_scientist", "lab_technician")),
        "status": "active",
        "department": f"Department {word}",
        "position": f"Position {word}",
        "lab_affiliation": f"Laboratory {word}",
        "phone": f"+1 919 {rng.randrange(10**7):07}",
        "email_verified": rng.random() < 0.5,
    }


def _password(email: str) -> str:
    return f"Pw-{email}-1!"


def _login(value: Value) -> tuple[str, dict[str, Any]]:
    return "/api/auth/login", {"email": value["email"], "password": _password(value["email"])}


_MOVES_OF_A_SAMPLE = {
    "": ("pending",),
    "pending": ("pending", "validated"),
    "validated": ("validated", "in_storage"),
    "in_storage": ("in_storage",),
}
"""Moves of status that both sides allow, and that leave the location where it is."""


def _sample(rng: random.Random, word: str) -> dict[str, Any]:
    return {"barcode": word, **_sample_change(rng, word, {})}


def _sample_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {
        "name": f"Sample {word}",
        "status": rng.choice(_MOVES_OF_A_SAMPLE[value.get("status", "")]),
        "location": f"Freezer {word}",
        "metadata": {"word": word, "volume": rng.randrange(1000)},
    }


def _template(rng: random.Random, word: str) -> dict[str, Any]:
    return {"name": f"Template {word}", **_template_change(rng, word, {})}


def _template_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {"description": f"Described by {word}", "metadata": {"word": word, "columns": rng.randrange(40)}}


def _location(rng: random.Random, word: str) -> dict[str, Any]:
    return {"name": f"Location {word}", **_location_change(rng, word, {})}


def _location_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    capacity = rng.randrange(100, 1000)
    return {
        "description": f"Described by {word}",
        "temperature_zone": rng.choice(("-80C", "-20C", "4C", "RT", "37C")),
        "capacity": capacity,
        "current_usage": rng.randrange(capacity),
        "container_type": rng.choice(("tube", "plate", "box", "rack", "bag")),
        "location_path": f"/building/{word}",
        "is_active": rng.random() < 0.9,
    }


def _movement(rng: random.Random, word: str) -> dict[str, Any]:
    moved = datetime.now(UTC) - timedelta(seconds=rng.randrange(86_400))
    return {
        "reference": word,
        "barcode": f"B-{word}",
        "from_location": None,
        "reason": f"Moved for {word}",
        "moved_by": f"technician {word}",
        "moved_at": moved.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _job(rng: random.Random, word: str) -> dict[str, Any]:
    return {"name": f"Job {word}", **_job_change(rng, word, {})}


def _job_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {"status": rng.choice(("completed", "failed"))}


def _notification(rng: random.Random, word: str) -> dict[str, Any]:
    return {"subject": f"Subject {word}", **_notification_change(rng, word, {})}


def _notification_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {
        "body": f"Body {word}",
        "channel": rng.choice(("email", "slack", "sms", "in_app")),
        "recipient": f"{word}@load.example",
        "priority": rng.choice(("low", "normal", "high", "urgent")),
    }


def _spreadsheet(rng: random.Random, word: str) -> dict[str, Any]:
    return {"filename": f"{word}.xlsx", **_spreadsheet_change(rng, word, {})}


def _spreadsheet_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {
        "name": f"Spreadsheet {word}",
        "file_type": rng.choice(("xlsx", "csv")),
        "file_size": rng.randrange(1, 10**9),
        "metadata": {"word": word},
    }


def _same(*fields: str) -> dict[str, str]:
    return {field: field for field in fields}


_USER = {
    **_same("first_name", "last_name"),
    "role": "role::text",
    "status": "status::text",
    **_same("department", "position", "lab_affiliation", "phone", "email_verified"),
}
_MOVEMENTS = """storage_movement_history m
    LEFT JOIN storage_locations f ON f.id = m.from_location_id
    LEFT JOIN storage_locations t ON t.id = m.to_location_id"""

RESOURCES: Mapping[str, Resource] = {
    resource.name: resource
    for resource in (
        Resource(
            name="users",
            flag="auth",
            database="auth",
            prefix="/api/auth",
            path="/api/auth/users",
            key="email",
            create=_user,
            change=_user_change,
            old=Shape("users", "email", _USER),
            new=Shape("users", "email", _USER),
            login=_login,
        ),
        Resource(
            name="samples",
            flag="samples",
            database="samples",
            prefix="/api/samples",
            path="/api/samples",
            key="barcode",
            create=_sample,
            change=_sample_change,
            old=Shape(
                "samples",
                "barcode",
                {"name": "name", "status": "status::text", **_same("location", "metadata")},
            ),
            new=Shape(
                "samples s",
                "s.barcode",
                {
                    "name": "s.name",
                    "status": "s.status::text",
                    # All that are current, so that two of them differ from the one expected.
                    "location": "(SELECT string_agg(l.location_id, ' and ') FROM sample_storage_locations l"
                    " WHERE l.sample_id = s.id AND l.is_current)",
                    "metadata": "s.metadata",
                },
            ),
        ),
        Resource(
            name="templates",
            flag="templates",
            database="templates",
            prefix="/api/templates",
            path="/api/templates",
            key="name",
            create=_template,
            change=_template_change,
            old=Shape("templates", "name", _same("description", "metadata")),
            new=Shape("templates", "name", _same("description", "metadata")),
        ),
        Resource(
            name="locations",
            flag="storage",
            database="storage",
            prefix="/api/storage",
            path="/api/storage/locations",
            key="name",
            create=_location,
            change=_location_change,
            old=Shape(
                "storage_locations",
                "name",
                {
                    "description": "description",
                    "temperature_zone": "temperature_zone::text",
                    **_same("capacity", "current_usage"),
                    "container_type": "container_type::text",
                    **_same("location_path", "is_active"),
                },
            ),
            new=Shape(
                "storage_locations",
                "name",
                {
                    "description": "location_metadata->>'description'",
                    "temperature_zone": "CASE zone_type::text WHEN 'ultra_low_freezer' THEN '-80C'"
                    " WHEN 'standard_freezer' THEN '-20C' WHEN 'refrigerated' THEN '4C'"
                    " WHEN 'room_temperature' THEN 'RT' WHEN 'incubator' THEN '37C' END",
                    "capacity": "capacity",
                    "current_usage": "occupied",
                    "container_type": "location_metadata->>'container_type'",
                    "location_path": "location_metadata->>'location_path'",
                    "is_active": "is_active",
                },
            ),
        ),
        Resource(
            name="movements",
            flag="storage",
            database="storage",
            prefix="/api/storage",
            path="/api/storage/movements",
            key="reference",
            create=_movement,
            change=None,
            old=Shape(
                _MOVEMENTS,
                "m.notes",
                {
                    "barcode": "m.barcode",
                    "from_location": "f.name",
                    "to_location": "t.name",
                    "reason": "m.movement_reason",
                    "moved_by": "m.moved_by",
                    "moved_at": "m.moved_at",
                },
            ),
            new=Shape(
                _MOVEMENTS,
                "m.movement_metadata->>'reference'",
                {
                    "barcode": "m.container_barcode",
                    "from_location": "f.name",
                    "to_location": "t.name",
                    "reason": "m.reason",
                    "moved_by": "coalesce(m.movement_metadata->>'moved_by', m.moved_by::text)",
                    "moved_at": "m.movement_time",
                },
            ),
            by_id=False,
            at_location="to_location",
        ),
        Resource(
            name="jobs",
            flag="sequencing",
            database="sequencing",
            prefix="/api/sequencing",
            path="/api/sequencing/jobs",
            key="name",
            create=_job,
            change=_job_change,
            old=Shape("sequencing_jobs", "name", {"status": "status::text"}),
            new=Shape("sequencing_jobs", "job_name", {"status": "status::text"}),
        ),
        Resource(
            name="notifications",
            flag="notifications",
            database="notifications",
            prefix="/api/notifications",
            path="/api/notifications",
            key="subject",
            create=_notification,
            change=_notification_change,
            old=Shape(
                "notifications", "title", {"body": "message", **_same("channel", "recipient", "priority")}
            ),
            new=Shape(
                "notifications",
                "subject",
                {
                    "body": "body",
                    "channel": "channel::text",
                    "recipient": "recipient_address",
                    "priority": "priority::text",
                },
            ),
        ),
        Resource(
            name="spreadsheets",
            flag="spreadsheet",
            database="spreadsheets",
            prefix="/api/spreadsheets",
            path="/api/spreadsheets",
            key="filename",
            create=_spreadsheet,
            change=_spreadsheet_change,
            old=Shape(
                "spreadsheet_datasets", "filename", _same("name", "file_type", "file_size", "metadata")
            ),
            new=Shape(
                "spreadsheet_versions",
                "filename",
                {**_same("name", "file_type"), "file_size": "file_size_bytes", "metadata": "metadata"},
            ),
        ),
    )
}

PAGES = (
    Page("GET", "/api/dashboard", "/api/dashboard"),
    Page("GET", "/api/reports", "/api/reports"),
    Page("GET", "/api/rag", "/api/rag"),
    Page("POST", "/api/rag", "/api/rag/query", {"query": "how is a sample stored?"}),
)
