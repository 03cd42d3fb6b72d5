"""Databases in memory: tables of dictionaries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from tracseq_migrate.ports import Manifest, TableManifest, Unreachable

Row = dict[str, object]


class MemoryDatabases:
    """`Databases` over ``tables``: database -> table -> rows, which a test changes as it likes.

    ``keys`` maps (database, table) to its key's columns, ``("id",)`` where nothing is said; ``down`` maps a database to why
    it cannot be asked.
    """

    def __init__(self, tables: Mapping[str, Mapping[str, Sequence[Row]]]) -> None:
        self.tables: dict[str, dict[str, list[Row]]] = {
            database: {table: [dict(row) for row in rows] for table, rows in inside.items()}
            for database, inside in tables.items()
        }
        self.keys: dict[tuple[str, str], tuple[str, ...]] = {}
        self.down: dict[str, str] = {}

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.tables)

    def manifest(self, database: str, *, timeout: float) -> Manifest:
        inside = self._inside(database)
        return Manifest(
            database=database,
            tables={
                table: TableManifest(
                    key=self._key(database, table),
                    rows={key: _digest(row) for key, row in self._listed(database, table)},
                )
                for table in inside
            },
        )

    def rows(
        self, database: str, table: str, keys: Sequence[str], *, timeout: float
    ) -> list[dict[str, object]]:
        if table not in self._inside(database):
            raise Unreachable(f"database {database}", f"has no table {table}")
        found = dict(self._listed(database, table))
        return [dict(found[key]) for key in dict.fromkeys(keys) if key in found]

    def _inside(self, database: str) -> dict[str, list[Row]]:
        if database not in self.tables:
            raise Unreachable(f"database {database}", "the environment has none of this name")
        if database in self.down:
            raise Unreachable(f"database {database}", self.down[database])
        return self.tables[database]

    def _key(self, database: str, table: str) -> tuple[str, ...]:
        return self.keys.get((database, table), ("id",))

    def _listed(self, database: str, table: str) -> list[tuple[str, Row]]:
        columns = self._key(database, table)
        seen: dict[str, int] = {}
        listed: list[tuple[str, Row]] = []
        for row in self.tables[database][table]:
            if columns:
                key = json.dumps([row[column] for column in columns])
            else:
                whole = json.dumps(row, sort_keys=True)
                seen[whole] = seen.get(whole, 0) + 1
                key = json.dumps([row, seen[whole]], sort_keys=True)
            listed.append((key, row))
        return listed


def _digest(row: Row) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
