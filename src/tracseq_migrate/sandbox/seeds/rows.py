"""The tools of seeding: a source of ids and moments that the seed decides, and a quick way into a table."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

BEGINNING = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)
"""When the laboratory began; every seeded moment lies within the half year after it."""

PASSWORD = "tracseq-sandbox"  # noqa: S105  the whole point of a seeded password is that it is known
"""Of every seeded user who has one."""


class Chance:
    """Numbers, ids and moments that look random and are decided by the seed. Each topic has its own sequence."""

    def __init__(self, seed: int, topic: str) -> None:
        self.random = random.Random(f"{seed}/{topic}")  # noqa: S311  nothing here is a secret

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def moment(self) -> datetime:
        return BEGINNING + timedelta(
            seconds=self.random.randrange(180 * 86_400), microseconds=self.random.randrange(10**6)
        )

    def salt(self) -> bytes:
        return self.random.randbytes(16)


def copy_into(connection: psycopg.Connection[Any], table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Copy rows of the same columns into a table; dictionaries become JSON. Nothing is done for no rows."""
    rows = list(rows)
    if not rows:
        return
    columns = list(rows[0])
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            if list(row) != columns:
                raise ValueError(f"a row of {table} has other columns than the first")
            copy.write_row([Jsonb(value) if isinstance(value, dict) else value for value in row.values()])
