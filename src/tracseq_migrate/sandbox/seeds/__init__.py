"""What the databases of the embedded TracSeq hold at first: deterministic by seed, down to ids and time stamps."""

from __future__ import annotations

from typing import Any

import psycopg

from tracseq_migrate.sandbox.seeds.laboratory import fill_laboratory
from tracseq_migrate.sandbox.seeds.services import fill_auth, fill_templates
from tracseq_migrate.sandbox.seeds.users import fill_users


def fill(connection: psycopg.Connection[Any], name: str, *, seed: int, users: int) -> None:
    """Fill one database whose tables are there and empty; within the caller's transaction.

    Only three have anything: the monolith's, and the two services that bring a row of their own. Raises `psycopg.Error`.
    """
    if name == "main":
        people = fill_users(connection, seed=seed, users=users)
        fill_laboratory(connection, seed=seed, people=people)
    elif name == "auth":
        fill_auth(connection)
    elif name == "templates":
        fill_templates(connection)
