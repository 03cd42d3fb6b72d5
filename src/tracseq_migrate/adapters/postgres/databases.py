"""Databases on PostgreSQL: every row of every table by key and digest, in one snapshot that nothing can slip into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Manifest, TableManifest, Unreachable

if TYPE_CHECKING:
    from tracseq_migrate.adapters.postgres.snapshots import Session

MAX_ROWS = 500_000
_MAX_KEY_CHARACTERS = 200_000_000


class PostgresDatabases:
    """`Databases` on PostgreSQL 12 and later.

    A table with neither a primary key nor a unique index without NULLs is listed by its whole rows: its key
    is ``()``, and the key of a row is the JSON text ``[row, ordinal]``, where the ordinal tells equal rows
    apart. Otherwise the key of a row is the JSON text of the key's columns. Table names are quoted where SQL
    would need it.

    Args:
        dsns: name -> connection string; it never stands in a message.
        max_rows: rows that are listed at most, over all tables of a database.
    """

    def __init__(self, dsns: Mapping[str, str], *, max_rows: int = MAX_ROWS) -> None:
        self._dsns = dict(dsns)
        self._max_rows = max_rows

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._dsns)

    def manifest(self, database: str, *, timeout: float) -> Manifest:
        with self._session(database, timeout) as session:
            tables = session.snapshot()
            listed: dict[str, TableManifest] = {}
            left, characters = self._max_rows, 0
            for table in tables:
                rows = session.digests(table, left + 1)
                left -= len(rows)
                characters += sum(map(len, rows))
                if left < 0 or characters > _MAX_KEY_CHARACTERS:
                    raise Unreachable(
                        session.what,
                        f"too many rows to list: more than {self._max_rows:,} over all tables"
                        if left < 0
                        else f"too much to list: the rows of {table.name} are told apart by too much text",
                    )
                listed[table.name] = TableManifest(key=table.key, rows=rows)
            return Manifest(database=database, tables=listed)

    def rows(
        self, database: str, table: str, keys: Sequence[str], *, timeout: float
    ) -> list[dict[str, object]]:
        """As the port says, in the order of ``keys``; a key that is no longer there is left out.

        A number that a JSON reader would round stays text.
        """
        with self._session(database, timeout) as session:
            found = next((each for each in session.snapshot() if each.name == table), None)
            if found is None:
                raise Unreachable(session.what, f"has no table {one_line(table)}")
            return session.rows(found, keys)

    def _session(self, database: str, timeout: float) -> AbstractContextManager[Session]:
        from tracseq_migrate.adapters.postgres.snapshots import opened  # psycopg is slow to import

        if database not in self._dsns:
            known = ", ".join(self._dsns) or "none"
            raise Unreachable(
                f"database {one_line(database)}", f"the environment has none of this name (it has: {known})"
            )
        return opened(database, self._dsns[database], timeout=timeout)
