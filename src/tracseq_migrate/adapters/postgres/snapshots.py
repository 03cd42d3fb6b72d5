"""One read-only session with a PostgreSQL database. Importing this module is slow (psycopg)."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from tracseq_migrate.adapters.postgres.connecting import PINNED, parsed
from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Unreachable

_FETCH = 5_000
_ATTEMPTS = 3

# Temporary tables are a session's own; partitions are read through their parent.
_TABLES: LiteralString = """
    SELECT c.oid::bigint, n.nspname::text, c.relname::text, format('%I.%I', n.nspname, c.relname),
           c.relkind::text = 'p',
           has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
           row_security_active(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tracseq_migrate') AND n.nspname !~ '^pg_'
    ORDER BY n.nspname, c.relname
"""

# The primary key first, then the narrowest of the unique indexes that hold for all rows and allow no NULL.
_KEYS: LiteralString = """
    SELECT DISTINCT ON (relation) relation, columns
    FROM (
        SELECT i.indrelid::bigint AS relation, i.indisprimary AS is_primary, x.relname AS name,
               array_agg(a.attname::text ORDER BY k.place) AS columns,
               bool_and(a.attnotnull) AND count(a.attname) = i.indnkeyatts AS usable
        FROM pg_index i
        JOIN pg_class x ON x.oid = i.indexrelid
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
        WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND k.place <= i.indnkeyatts
        GROUP BY i.indexrelid, i.indrelid, i.indisprimary, i.indnkeyatts, x.relname
    ) candidates
    WHERE usable
    ORDER BY relation, is_primary DESC, cardinality(columns), name
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the catalog has it; ``key`` is empty where no columns tell its rows apart."""

    name: str
    schema: str
    relation: str
    partitioned: bool
    readable: bool
    filtered: bool
    key: tuple[str, ...]


@contextmanager
def opened(database: str, dsn: str, *, timeout: float) -> Iterator[Session]:
    """A session with a database, which ends after ``timeout`` seconds whatever its server does.

    Raises:
        Unreachable: also for every error of the database inside the block; never with a secret of the DSN in it.
    """
    until = time.monotonic() + timeout
    target = parsed(database, dsn)
    what = target.what
    whole = target.conninfo(until, application_name="tracseq-migrate")
    watch: _Watch | None = None
    try:
        with psycopg.connect(whole, autocommit=True) as connection:
            watch = _Watch(connection.fileno(), until)
            with watch:
                yield Session(connection, what, until)
    except psycopg.Error as error:
        if watch is not None and watch.fired:
            raise Unreachable(what, f"it was not answered within {timeout:g} s", sent=True) from None
        raise Unreachable(what, target.reason(error)) from None


class _Watch:
    """Cuts a connection at a time, whatever its server does: a stopped server heeds no statement_timeout."""

    _GRACE = 0.5

    def __init__(self, descriptor: int, until: float) -> None:
        self.fired = False
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._timer = threading.Timer(max(until - time.monotonic(), 0.0) + self._GRACE, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._socket.close()

    def _cut(self) -> None:
        self.fired = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class Session:
    """One connection, which asks in one read-only transaction."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], what: str, until: float) -> None:
        self._connection = connection
        self.what = what
        self._until = until

    def snapshot(self) -> list[Table]:
        """Begin the snapshot; the tables in it, none of which can be emptied or changed in shape while it
        lasts.

        The locks come before the snapshot: a TRUNCATE between the two would show a table empty that never
        was.
        """
        for _ in range(_ATTEMPTS):
            self._begin()
            before = self._tables()
            self._connection.execute("ROLLBACK")
            self._begin()
            self._lock(before)
            now = self._tables()
            if {(table.name, table.partitioned) for table in now} == {
                (table.name, table.partitioned) for table in before
            }:
                return now
            self._connection.execute("ROLLBACK")
        raise Unreachable(self.what, "tables are being made or dropped all the time")

    def digests(self, table: Table, most: int) -> dict[str, str]:
        query = sql.SQL("SELECT key, digest FROM ({}) AS listed LIMIT {}").format(
            _listing(table), sql.Literal(most)
        )
        self._limit()
        rows: dict[str, str] = {}
        with self._connection.cursor(name="tracseq_migrate_rows") as cursor:
            cursor.itersize = _FETCH
            cursor.execute(query)
            for count, (key, digest) in enumerate(cursor, start=1):
                rows[key] = digest
                if len(rows) != count:
                    raise Unreachable(
                        self.what,
                        f"two rows of {table.name} have the same key {one_line(key)}; an index is damaged",
                    )
        return rows

    def rows(self, table: Table, keys: Sequence[str]) -> list[dict[str, object]]:
        query = sql.SQL("SELECT key, whole::text FROM ({}) AS listed WHERE key = ANY(%s)").format(
            _listing(table)
        )
        self._limit()
        found = {
            key: json.loads(whole, parse_float=_exact)
            for key, whole in self._connection.execute(query, (list(keys),))
        }
        return [found[key] for key in dict.fromkeys(keys) if key in found]

    def _begin(self) -> None:
        # All settings are the transaction's own: behind a connection pooler nothing else lasts, and nothing may.
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._connection.execute("SET LOCAL search_path = pg_catalog")
        for name, value in PINNED:
            self._connection.execute(
                sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
        self._limit()

    def _limit(self) -> None:
        milliseconds = max(int((self._until - time.monotonic()) * 1000), 1)
        self._connection.execute(
            sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(milliseconds))
        )

    def _lock(self, tables: Sequence[Table]) -> None:
        if not tables:
            return
        names = [
            sql.SQL("{} {}").format(sql.SQL("" if table.partitioned else "ONLY"), _identifier(table))
            for table in tables
        ]
        self._connection.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(names))
        )

    def _tables(self) -> list[Table]:
        keys = {relation: tuple(columns) for relation, columns in self._connection.execute(_KEYS)}
        tables = [
            Table(name, schema, relation, partitioned, readable, filtered, keys.get(oid, ()))
            for oid, schema, relation, name, partitioned, readable, filtered in self._connection.execute(
                _TABLES
            )
        ]
        refused = [table.name for table in tables if not table.readable]
        if refused:
            raise Unreachable(self.what, f"the user may not read {_some(refused)}: SELECT is not granted")
        filtered_tables = [table.name for table in tables if table.filtered]
        if filtered_tables:
            raise Unreachable(
                self.what,
                f"row security hides rows of {_some(filtered_tables)} from this user;"
                " ask as their owner, or as one with BYPASSRLS",
            )
        return tables


def _identifier(table: Table) -> sql.Identifier:
    return sql.Identifier(table.schema, table.relation)


def _listing(table: Table) -> sql.Composed:
    """A query of ``key, digest, whole`` over the table's own rows."""
    # An alias that no column is likely to have: a column of this name would hide the row.
    row = sql.Identifier("tracseq_migrate_row")
    source = sql.SQL("{} {} AS {}").format(
        sql.SQL("" if table.partitioned else "ONLY"), _identifier(table), row
    )
    if table.key:
        columns = sql.SQL(", ").join(sql.SQL("{}.{}").format(row, sql.Identifier(name)) for name in table.key)
        key: sql.Composable = sql.SQL("jsonb_build_array({})::text").format(columns)
    else:
        key = sql.SQL(
            "jsonb_build_array(to_jsonb({row}.*), row_number() OVER"
            " (PARTITION BY to_jsonb({row}.*)::text ORDER BY ({row}.*)::text))::text"
        ).format(row=row)
    return sql.SQL(
        "SELECT {key} AS key, md5(({row}.*)::text) AS digest, to_jsonb({row}.*) AS whole FROM {source}"
    ).format(key=key, row=row, source=source)


def _exact(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == Decimal(text) else text


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(one_line(name, 80) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
