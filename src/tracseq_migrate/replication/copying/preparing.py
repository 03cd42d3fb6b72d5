"""Before the first row is copied: B's tables are made ready, and the work is cut and written down, in one transaction on B.

Either all of it is there afterwards or nothing is: a copy that finds its chunks planned has nothing to prepare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, SqlFailed, transaction
from tracseq_migrate.replication import capture, put_away
from tracseq_migrate.replication.blockers import blockers
from tracseq_migrate.replication.catalog.model import Column, Table
from tracseq_migrate.replication.control import ownership
from tracseq_migrate.replication.control.naming import ASIDE, CHUNK
from tracseq_migrate.replication.copying.planning import Plan, plan
from tracseq_migrate.replication.names import listed, literal, quoted
from tracseq_migrate.replication.pair import IdMap, Pair, Replication

_LOCK_PATIENCE = 120.0
_MOST_NAMED = 5


def captured(session: Session, replication: Replication) -> None:
    """See that every change of A's rows is recorded from here on: a copy without it would lose what is written meanwhile.

    Raises:
        StepFailed: the triggers of a pair are missing, or do not fire for everybody.
    """
    for pair in replication.pairs:
        if (found := capture.state(session, replication, pair, "a")) != "enabled":
            raise StepFailed(
                f"{session.what}: changes of {pair.a.name} are not captured (its triggers are {found})",
                hint="Nothing is copied without capture, since what is written meanwhile would be lost."
                " Roll back, and run the week again.",
            )


def prepare(
    a: Session, b: Session, replication: Replication, epoch: int, chunk_bytes: int, check: Callable[[], None]
) -> None:
    """Make both sides ready for the first chunk; nothing where that was done before.

    Raises:
        StepFailed: B has rows that no ``seeded`` explains, or something there hangs on rows that would be replaced.
    """
    _id_maps(a, replication)
    if b.rows(f"SELECT 1 FROM {CHUNK} WHERE replication = $1 LIMIT 1", [replication.name]):
        return
    plans = [plan(a, pair, chunk_bytes) for pair in replication.pairs]
    locked(b, lambda: _made_ready(b, replication, epoch, plans), check)


def locked(session: Session, act: Callable[[], None], check: Callable[[], None]) -> None:
    """Run ``act``, which opens a transaction and asks for heavy locks, again and again until it has them.

    Each try waits a second at most, so that those who come after it are not held up for longer.

    Raises:
        StepFailed: two minutes were not enough; names who holds the locks.
    """
    until = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            act()
        except SqlFailed as error:
            if error.sqlstate not in ("55P03", "40P01"):
                raise
            if time.monotonic() > until:
                raise StepFailed(
                    f"{session.what}: a table is locked by others: {error.message}",
                    hint=blockers(session) or "End the transactions that use the table, then resume.",
                ) from error
            check()
            time.sleep(0.3)
        else:
            return


def _made_ready(b: Session, replication: Replication, epoch: int, plans: Sequence[Plan]) -> None:
    with transaction(b):
        b.execute("SET LOCAL lock_timeout = '1s'")
        ownership.hold(b, replication.name, epoch, "forward")
        for pair in replication.pairs:
            put_away.triggers(b, replication.name, pair, "b")
        # All foreign keys before the first index: one of them may stand on an index of another table of the set.
        for pair in replication.pairs:
            put_away.foreign_keys(b, replication.name, pair)
        for pair, planned in zip(replication.pairs, plans, strict=True):
            put_away.sequences(b, replication.name, pair)
            if len(planned.chunks) > 1:
                put_away.indexes(b, replication.name, pair)
            if pair.side:
                b.execute(side_table(pair))
        for pair in reversed(replication.pairs):
            _seeds(b, replication.name, pair)
        for planned in plans:
            for chunk in planned.chunks:
                b.execute(
                    f"INSERT INTO {CHUNK} (replication, pair, number, lower, upper) VALUES ($1, $2, $3, $4, $5)",
                    [replication.name, planned.pair, chunk.number, chunk.lower, chunk.upper],
                )


def side_table(pair: Pair) -> str:
    """The statement that makes the side table of a pair, for what has no home in B."""
    keys = ", ".join(f"{quoted(name)} {_typed(pair.b, name)} NOT NULL" for name in pair.key_b)
    return (
        f'CREATE TABLE IF NOT EXISTS {pair.side} ({keys}, "column" text NOT NULL, "value" text NOT NULL,'
        f' PRIMARY KEY ({listed(pair.key_b)}, "column"))'
    )


def id_table(pair: Pair, ids: IdMap) -> str:
    """The statement that makes an id map on A."""
    return (
        f'CREATE TABLE IF NOT EXISTS {ids.table} ("old" {_typed(pair.a, ids.column_a)} PRIMARY KEY,'
        f' "new" {_typed(pair.b, ids.column_b)} NOT NULL UNIQUE)'
    )


def _typed(table: Table, name: str) -> str:
    column: Column | None = table.column(name)
    if column is None:
        raise ValueError(f"{table.name} has no column {name}")
    own = f"{column.type.full} COLLATE {column.collation}"
    return own if column.collation and column.type.builtin else column.type.full


def _id_maps(a: Session, replication: Replication) -> None:
    # Every row that is made from here on is captured, and gets its number when it is applied.
    for pair in replication.pairs:
        for ids in pair.ids:
            with transaction(a):
                a.execute(id_table(pair, ids))
                filtered = f" AND ({pair.where_a})" if pair.where_a else ""
                a.execute(
                    f'INSERT INTO {ids.table} ("old", "new") SELECT a.{quoted(ids.column_a)}, {ids.computed}'
                    f" FROM {pair.a.relation} AS a WHERE NOT EXISTS"
                    f' (SELECT FROM {ids.table} AS i WHERE i."old" = a.{quoted(ids.column_a)}){filtered}'
                    " ON CONFLICT DO NOTHING"
                )


def _seeds(b: Session, replication: str, pair: Pair) -> None:
    taken = " OR ".join(f"coalesce(({each.match}), false)" for each in pair.seeded if each.then == "replace")
    key = f"pg_catalog.to_json(ARRAY[{', '.join(f'b.{quoted(name)}::text' for name in pair.key_b)}])::text"
    unexplained = f"({pair.owned_b})" + (f" AND NOT ({taken})" if taken else "")
    found = b.rows(f"SELECT {key} FROM {pair.b.relation} AS b WHERE {unexplained} LIMIT {_MOST_NAMED}")
    if found:
        ((count,),) = b.rows(f"SELECT count(*) FROM {pair.b.relation} AS b WHERE {unexplained}")
        raise StepFailed(
            f"{b.what}: {pair.b.name} is not empty: {count} rows that the mapping does not explain"
            f" (keys {', '.join(str(key) for (key,) in found)}{', …' if count > len(found) else ''})",
            hint="Say in the mapping's `seeded:` what becomes of them (keep or replace), or remove them.",
        )
    if not taken:
        return
    for table, count in ((each.table, each.rows) for each in dependents(b, pair, taken)):
        raise StepFailed(
            f"{b.what}: {count} rows of {table} refer to rows of {pair.b.name} that were seeded and would be replaced",
            hint=f"Remove those rows of {table}, or keep the seeded ones (`then: keep`).",
        )
    # The whole row as one text is exact for every type, and needs no list of columns.
    b.execute(
        f"INSERT INTO {ASIDE} (replication, pair, key, row)"
        f" SELECT {literal(replication)}, {literal(pair.name)}, {key}, pg_catalog.to_jsonb((b.*)::text)"
        f" FROM {pair.b.relation} AS b WHERE {taken} ON CONFLICT DO NOTHING"
    )
    b.execute(f"DELETE FROM {pair.b.relation} AS b WHERE {taken}")


@frozen
class Dependents:
    """Rows of another table that refer to rows of a pair's table on B: how many of ``table``, whose name for people is ``name``.

    ``condition`` says which, over the alias ``c``.
    """

    table: str
    name: str
    of: str
    rows: int
    condition: str


def dependents(b: Session, pair: Pair, which: str) -> list[Dependents]:
    """Tables outside of the set whose rows refer to those rows of B's table, by foreign keys that are there now."""
    keys = b.rows(
        """
        SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relname::text,
               ARRAY(SELECT t.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS o(number, place)
                     JOIN pg_catalog.pg_attribute t ON t.attrelid = k.conrelid AND t.attnum = o.number ORDER BY o.place),
               ARRAY(SELECT t.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS o(number, place)
                     JOIN pg_catalog.pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = o.number ORDER BY o.place)
        FROM pg_catalog.pg_constraint k
        JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = $1::pg_catalog.regclass
        """,
        [pair.b.relation],
    )
    found = []
    for table, schema, plain, columns, referenced in keys:
        joined = " AND ".join(
            f"c.{quoted(own)} = b.{quoted(other)}" for own, other in zip(columns, referenced, strict=True)
        )
        condition = f"EXISTS (SELECT FROM {pair.b.relation} AS b WHERE ({joined}) AND ({which}))"
        ((count,),) = b.rows(f"SELECT count(*) FROM {table} AS c WHERE {condition}")
        if count:
            name = f"{schema}.{plain}" if schema != "public" else str(plain)
            found.append(Dependents(str(table), name, pair.b.name, int(count), condition))
    return found
