"""What two services bring along themselves, before anything was moved: rows that a move must not trip over."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from tracseq_migrate.sandbox.apps.passwords import hash_password
from tracseq_migrate.sandbox.seeds.rows import BEGINNING, PASSWORD, copy_into

ADMINISTRATOR = UUID("00000000-0000-0000-0000-000000000001")
"""The authentication service's own administrator, whose address belongs to another id in the monolith."""

SUBMISSION_FORM = UUID("00000000-0000-0000-0000-0000000000f1")
"""The template service's own template: a draft, because its table's default is one."""


def fill_auth(connection: psycopg.Connection[Any]) -> None:
    copy_into(
        connection,
        "users",
        [
            {
                "id": ADMINISTRATOR,
                "email": "admin@lab.local",
                "password_hash": hash_password(PASSWORD, salt=ADMINISTRATOR.bytes),
                "first_name": "System",
                "last_name": "Administrator",
                "role": "lab_administrator",
                "status": "active",
                "department": "IT",
                "position": "System Administrator",
                "email_verified": True,
                "created_at": BEGINNING,
                "updated_at": BEGINNING,
            }
        ],
    )


def fill_templates(connection: psycopg.Connection[Any]) -> None:
    copy_into(
        connection,
        "templates",
        [
            {
                "id": SUBMISSION_FORM,
                "name": "Sample Submission Form",
                "category": "submission",
                "template_data": {
                    "title": "Submission of samples",
                    "sections": ["samples", "requester", "analysis"],
                },
                "created_at": BEGINNING,
                "updated_at": BEGINNING,
            }
        ],
    )
