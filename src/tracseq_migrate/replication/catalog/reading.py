"""Reads a database's catalog: a fixed number of queries, whatever the number of tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.catalog import model as found
from tracseq_migrate.replication.catalog import queries
from tracseq_migrate.replication.catalog.types import Types
from tracseq_migrate.replication.names import SCHEMA, literal, quoted

_ATTEMPTS = 3
_PASSING = frozenset({"XX000", "42P01", "42704", "42883", "3F000"})
"""What PostgreSQL says when something was dropped between the catalog's snapshot and a function that looks at the present."""

_ENABLED: dict[str, found.Enabled] = {"O": "origin", "R": "replica", "A": "always", "D": "disabled"}
_KINDS = {"r": "table", "p": "partitioned", "f": "foreign", "v": "view", "m": "materialized view"}
_PERSISTENCE = {"p": "permanent", "u": "unlogged", "t": "temporary"}
_IDENTITY = {"": "", "a": "always", "d": "default"}
_SEQUENCES_AT_ONCE = 200


def read(session: Session, tables: Sequence[str] | None = None) -> found.Catalog:
    """The catalog of a session's database, in one read-only REPEATABLE READ transaction where none is open.

    Args:
        tables: names for people (``users``, ``lab.users``; ``public.users`` is ``users``); None: all that are not PostgreSQL's or
            the tool's own. A name that is not there is simply missing in the answer. Leaves of a partitioned table come with it.

    It waits for who holds one of the tables ACCESS EXCLUSIVE (a rewrite, a VACUUM FULL), as any reader does: the patience
    of the session bounds it.

    Raises:
        SqlFailed, Unreachable: as of the session.
    """
    names = None if tables is None else sorted({name.removeprefix("public.") for name in tables})
    if session.in_transaction:
        return _read(session, names)
    for attempt in range(_ATTEMPTS):
        try:
            with _snapshot(session):
                return _read(session, names)
        except SqlFailed as error:
            if error.sqlstate not in _PASSING or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt raises")


@contextmanager
def _snapshot(session: Session) -> Iterator[None]:
    session.begin("REPEATABLE READ", read_only=True)
    try:
        yield
    finally:
        session.rollback()  # nothing was written; and unlike a commit it needs no leave to change anything


def _read(session: Session, names: list[str] | None) -> found.Catalog:
    database = session.rows(queries.DATABASE)[0]
    rows = session.rows(queries.TABLES, (names, SCHEMA))
    oids = "{" + ",".join(str(row[0]) for row in rows) + "}"
    types = Types(session.rows(queries.types(session.version), (oids,)))
    columns = _columns(session.rows(queries.COLUMNS, (oids,)), types)
    indexes = _by_table(session.rows(queries.indexes(session.version), (oids,)), _index)
    constraints = _by_table(session.rows(queries.CONSTRAINTS, (oids,)), _constraint)
    incoming = _by_table(session.rows(queries.INCOMING, (oids,)), _incoming)
    triggers = _by_table(session.rows(queries.TRIGGERS, (oids, SCHEMA)), _trigger)
    tables = [
        _table(row, columns[row[0]], indexes[row[0]], constraints[row[0]], incoming[row[0]], triggers[row[0]])
        for row in rows
    ]
    return found.Catalog(
        database=session.database,
        version=session.version,
        role=database[0],
        superuser=database[1],
        may_create_schema=database[2],
        replica=database[3],
        encoding=database[4],
        large_objects=database[5],
        quoted_name=database[6],
        tables={each.name: each for each in sorted(tables, key=lambda each: each.name)},
        sequences=_sequences(session, oids, all_of_them=names is None),
        ours=tuple(row[0] for row in session.rows(queries.OURS, (SCHEMA,))),
    )


def _by_table(rows: Iterable[Sequence[Any]], make: Any) -> defaultdict[int, tuple[Any, ...]]:
    """What each row makes, under the table that its first field names."""
    collected: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        collected[row[0]].append(make(*row[1:]))
    return defaultdict(tuple, {table: tuple(made) for table, made in collected.items()})


def _columns(rows: Iterable[Sequence[Any]], types: Types) -> defaultdict[int, tuple[found.Column, ...]]:
    def column(*given: Any) -> found.Column:
        (name, number, oid, modifier, full, not_null, default, generated, identity) = given[:9]
        (collation, deterministic, sequence) = given[9:]
        return found.Column(
            name=name,
            number=number,
            type=types.of(oid, modifier, full),
            not_null=not_null or types.refuses_null(oid),
            default=default or "",
            generated=generated,
            identity=_IDENTITY[identity],  # type: ignore[arg-type]  # of the three words, by the table above
            collation=quoted(*collation) if collation else "",
            deterministic=deterministic,
            sequence=quoted(*sequence) if sequence else "",
        )

    return _by_table(rows, column)


def _index(*row: Any) -> found.Index:
    (name, columns, unique, primary, valid, predicate, definition, constraint, immediate, distinct) = row
    return found.Index(
        name=name,
        columns=tuple(columns),
        unique=unique,
        primary=primary,
        valid=valid,
        predicate=predicate or "",
        definition=definition,
        constraint=constraint or "",
        immediate=immediate,
        nulls_distinct=distinct,
    )


def _constraint(*row: Any) -> found.Constraint:
    (name, kind, definition, columns, validated, deferrable, references, referenced, on_delete, on_update) = (
        row
    )
    return found.Constraint(
        name=name,
        kind=kind,
        definition=definition,
        columns=tuple(columns or ()),
        validated=validated,
        deferrable=deferrable,
        references=quoted(*references) if references else "",
        referenced=tuple(referenced or ()),
        on_delete=on_delete.strip() or "a",
        on_update=on_update.strip() or "a",
    )


def _incoming(table: list[str], name: str, columns: list[str], on_delete: str, on_update: str) -> Any:
    return found.ForeignKeyIn(quoted(*table), name, tuple(columns), on_delete, on_update)


def _trigger(name: str, enabled: str, definition: str, function: list[str]) -> found.Trigger:
    return found.Trigger(name, _ENABLED[enabled], definition, quoted(*function))


def _table(
    row: Sequence[Any], columns: Any, indexes: Any, constraints: Any, incoming: Any, triggers: Any
) -> Any:
    (oid, schema, name, kind, persistence, owner, owned, hidden, row_security, reachable, rights) = row[:11]
    (estimate, size, leaves, relatives, rules) = row[11:]
    return found.Table(
        schema=schema,
        name=name if schema == "public" else f"{schema}.{name}",
        relation=quoted(schema, name),
        oid=oid,
        kind=_KINDS.get(kind, "other"),  # type: ignore[arg-type]  # of the words of the table above
        persistence=_PERSISTENCE[persistence],  # type: ignore[arg-type]  # likewise
        owner=owner,
        owned=owned,
        columns=columns,
        indexes=indexes,
        constraints=constraints,
        incoming=incoming,
        triggers=triggers,
        rules=tuple(rules or ()),
        hidden=hidden,
        row_security=row_security,
        partitions=tuple(quoted(*leaf) for leaf in leaves or ()),
        inherits=tuple(quoted(*each) for each in relatives or ()),
        rights=frozenset(rights or ()) if reachable else frozenset(),
        reachable=reachable,
        rows=estimate,
        bytes=size,
    )


def _sequences(session: Session, oids: str, *, all_of_them: bool) -> dict[str, found.Sequence]:
    rows = session.rows(queries.SEQUENCES, (oids, all_of_them, SCHEMA))
    states: dict[int, tuple[int, bool]] = {}
    readable = [row for row in rows if row[9]]
    for start in range(0, len(readable), _SEQUENCES_AT_ONCE):
        # Where a sequence stands is in no catalog: only the sequence itself says it, a value that nobody drew yet included.
        asked = " UNION ALL ".join(
            f"SELECT {literal(row[0])}::bigint, last_value, is_called FROM {quoted(row[1], row[2])}"
            for row in readable[start : start + _SEQUENCES_AT_ONCE]
        )
        states |= {oid: (last, called) for oid, last, called in session.rows(asked)}
    made: dict[str, found.Sequence] = {}
    for oid, schema, name, increment, cache, least, most, type_name, cycles, may_read in rows:
        last, called = states.get(oid, (least, False))
        made[quoted(schema, name)] = found.Sequence(
            name=quoted(schema, name),
            last=last,
            called=called,
            increment=increment,
            cache=cache,
            least=least,
            most=most,
            type=type_name,
            cycles=cycles,
            readable=may_read,
        )
    return made
