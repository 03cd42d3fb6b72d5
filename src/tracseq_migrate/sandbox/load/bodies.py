"""The bodies that clients send: made from chance and a word that no other write has, so that a mixture of two writes shows.

The values are such that both sides can hold them: what only one side can hold is a matter of the mappings of a migration, not
of its safety.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from tracseq_migrate.sandbox.load.ledger import Value


def user(rng: random.Random, word: str) -> dict[str, Any]:
    email = f"{word}@load.example"
    return {"email": email, "password": password(email), **user_change(rng, word, {})}


def user_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
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


def password(email: str) -> str:
    return f"Pw-{email}-1!"


def login(value: Value) -> tuple[str, dict[str, Any]]:
    return "/api/auth/login", {"email": value["email"], "password": password(value["email"])}


_MOVES_OF_A_SAMPLE = {
    "": ("pending",),
    "pending": ("pending", "validated"),
    "validated": ("validated", "in_storage"),
    "in_storage": ("in_storage",),
}
"""Moves of status that both sides allow, and that leave the location where it is."""


def sample(rng: random.Random, word: str) -> dict[str, Any]:
    return {"barcode": word, **sample_change(rng, word, {})}


def sample_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {
        "name": f"Sample {word}",
        "status": rng.choice(_MOVES_OF_A_SAMPLE[value.get("status", "")]),
        "location": f"Freezer {word}",
        "metadata": {"word": word, "volume": rng.randrange(1000)},
    }


def template(rng: random.Random, word: str) -> dict[str, Any]:
    return {"name": f"Template {word}", **template_change(rng, word, {})}


def template_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {"description": f"Described by {word}", "metadata": {"word": word, "columns": rng.randrange(40)}}


def location(rng: random.Random, word: str) -> dict[str, Any]:
    return {"name": f"Location {word}", **location_change(rng, word, {})}


def location_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
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


def movement(rng: random.Random, word: str) -> dict[str, Any]:
    moved = datetime.now(UTC) - timedelta(seconds=rng.randrange(86_400))
    return {
        "reference": word,
        "barcode": f"B-{word}",
        "from_location": None,
        "reason": f"Moved for {word}",
        "moved_by": f"technician {word}",
        "moved_at": moved.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def job(rng: random.Random, word: str) -> dict[str, Any]:
    return {"name": f"Job {word}", **job_change(rng, word, {})}


def job_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {"status": rng.choice(("completed", "failed"))}


def notification(rng: random.Random, word: str) -> dict[str, Any]:
    return {"subject": f"Subject {word}", **notification_change(rng, word, {})}


def notification_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {
        "body": f"Body {word}",
        "channel": rng.choice(("email", "slack", "sms", "in_app")),
        "recipient": f"{word}@load.example",
        "priority": rng.choice(("low", "normal", "high", "urgent")),
    }


def spreadsheet(rng: random.Random, word: str) -> dict[str, Any]:
    return {"filename": f"{word}.xlsx", **spreadsheet_change(rng, word, {})}


def spreadsheet_change(rng: random.Random, word: str, value: Value) -> dict[str, Any]:
    return {
        "name": f"Spreadsheet {word}",
        "file_type": rng.choice(("xlsx", "csv")),
        "file_size": rng.randrange(1, 10**9),
        "metadata": {"word": word},
    }
