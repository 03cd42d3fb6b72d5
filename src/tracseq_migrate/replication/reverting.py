"""Everything that a replication brought is taken away again, and both databases are left as they were.

First what acts (capture and fences), then the rows, then what was put away comes back, and the tool's own tables go last: they
say what is left to do, so that whatever is killed in between, calling it again ends it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, Sessions, transaction
from tracseq_migrate.replication import capture, put_away
from tracseq_migrate.replication.building import named
from tracseq_migrate.replication.control import ownership, tables
from tracseq_migrate.replication.control.naming import ASIDE, CHUNK
from tracseq_migrate.replication.copying import untold
from tracseq_migrate.replication.copying.preparing import Dependents, dependents, locked
from tracseq_migrate.replication.copying.progress import Progress
from tracseq_migrate.replication.crew import end_leftovers, nothing
from tracseq_migrate.replication.names import listed, quoted
from tracseq_migrate.replication.pair import Pair, Replication
from tracseq_migrate.replication.put_away import Thing

_OUTSIDE = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), k.conname::text, pg_catalog.pg_get_constraintdef(k.oid),
       coalesce(pg_catalog.obj_description(k.oid, 'pg_constraint'), '')
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY ($1::pg_catalog.regclass[]::pg_catalog.oid[])
ORDER BY 1, 2
"""


@frozen
class Reverted:
    """Rows that had been copied and are gone, what was put back, and in how many seconds."""

    rows: int
    objects: tuple[str, ...]
    seconds: float


def revert(
    sessions: Sessions,
    replication: Replication,
    epoch: int,
    *,
    dependents_too: bool = False,
    check: Callable[[], None] = nothing,
    told: Callable[[Progress], None] = untold,
) -> Reverted:
    """Leave A and B as they were before the replication was installed, but for what people wrote on A meanwhile.

    Harmless where little or nothing was done, and to call again after it was interrupted anywhere.

    Args:
        dependents_too: somebody accepted that rows of B's own tables go which refer to copied ones. Those behind an edge that
            the mapping declares as ``passing`` go anyway.

    Raises:
        StepFailed: B owns the rows; rows of other tables on B refer to copied ones; a table is locked by others for too long.
        SqlFailed, Unreachable: a database refuses, or is away.
    """
    began = time.monotonic()
    objects: list[str] = []

    def tell(text: str) -> None:
        check()
        told(Progress("revert", text))

    with (
        sessions.open(replication.database_a, purpose="revert", timeout=15.0) as a,
        sessions.open(replication.database_b, purpose="revert", timeout=15.0) as b,
    ):
        installed = tables.installed(b)
        # A as well: where the way back was given up for good, A alone knows that B owns the rows.
        for session in (a, b):
            _ours_to_undo(session, replication)
        if installed:
            # Refused before anything is touched: what records changes must stay, as long as they are carried over.
            _refused(b, replication, dependents_too)
        for session in (a, b):
            end_leftovers(session, replication.name)
        for pair in replication.pairs:
            tell(f"capture of {pair.name}")
            # B first: its fence would refuse what follows, and its capture would write it down.
            capture.drop_fence(b, replication, pair, "b")
            capture.drop(b, replication, pair, "b")
            capture.drop_fence(a, replication, pair, "a")
            capture.drop(a, replication, pair, "a")
        rows = 0
        if installed:
            ((rows, chunks),) = b.rows(
                f"SELECT coalesce(sum(rows), 0)::bigint, count(*) FROM {CHUNK} WHERE replication = $1",
                [replication.name],
            )
            if chunks:
                tell("copied rows")
                locked(b, lambda: _emptied(b, replication, epoch, dependents_too), check)
            objects += _put_back(a, b, replication, epoch, tell, check)
        for pair in replication.pairs:
            for ids in pair.ids:
                a.execute(f"DROP TABLE IF EXISTS {ids.table}")
            if pair.side:
                b.execute(f"DROP TABLE IF EXISTS {pair.side}")
        tell("the tool's own tables")
        tables.remove(a, replication.name, "a")
        tables.remove(b, replication.name, "b")
    return Reverted(int(rows), tuple(objects), time.monotonic() - began)


def _ours_to_undo(session: Session, replication: Replication) -> None:
    found = ownership.read(session, replication.name)
    if found is not None and found.owner != "a":
        raise StepFailed(
            f"{session.what}: {replication.database_b} owns the rows of {replication.name}, or is about to"
            f" (owner {found.owner}, direction {found.direction})",
            hint="The copied rows are the only ones now. Roll the cutover back first.",
        )


def left_behind(b: Session, replication: Replication) -> list[Dependents]:
    """B's own rows that refer to copied ones, and that nobody declared to be worth nothing without them."""
    passing = {edge.table for pair in replication.pairs for edge in pair.edges if edge.then == "passing"}
    return [each for each in _referring(b, replication) if each.name not in passing]


def _referring(b: Session, replication: Replication) -> list[Dependents]:
    """B's own rows that refer to copied ones: of other tables, and those of the moved tables that no pair brought.

    By the foreign keys that are there now.
    """
    found = []
    for pair in replication.pairs:
        for each in dependents(b, pair, pair.owned_b):
            brought = " OR ".join(
                f"({other.owned_b})" for other in replication.pairs if other.b.name == each.name
            )
            if not brought:
                found.append(each)
                continue
            condition = (
                f"{each.condition} AND NOT EXISTS (SELECT FROM {each.table} AS b"
                f" WHERE b.ctid = c.ctid AND b.tableoid = c.tableoid AND ({brought}))"
            )
            ((count,),) = b.rows(f"SELECT count(*) FROM {each.table} AS c WHERE {condition}")
            if count:
                found.append(dataclasses.replace(each, rows=int(count), condition=condition))
    return found


def _refused(b: Session, replication: Replication, dependents_too: bool) -> None:
    for each in [] if dependents_too else left_behind(b, replication):
        raise StepFailed(
            f"{b.what}: {each.rows} rows of {each.table} refer to copied rows of {each.of}, which are to be removed",
            hint=f"Look at those rows of {each.table}: they were written on the new side. Remove them, then roll back again;"
            " or `tracseq-migrate rollback WEEK --accept-loss` writes them to a file, and removes them.",
        )


def _emptied(b: Session, replication: Replication, epoch: int, dependents_too: bool) -> None:
    """Take the copied rows out, and give back the seeded ones; all of it or nothing."""
    with transaction(b):
        b.execute("SET LOCAL lock_timeout = '1s'")
        ownership.hold(b, replication.name, epoch, "forward")
        _refused(b, replication, dependents_too)
        # While the foreign keys are there, which say which rows refer to which.
        for each in _referring(b, replication):
            b.execute(f"DELETE FROM {each.table} AS c WHERE {each.condition}")
        for pair in replication.pairs:
            put_away.foreign_keys(b, replication.name, pair)
        whole = [pair for pair in replication.pairs if pair.owned_b == "true"]
        for pair in replication.pairs:
            if pair not in whole:
                b.execute(f"DELETE FROM {pair.b.relation} AS b WHERE {pair.owned_b}")
        if whole:
            _truncated(b, [pair.b.relation for pair in whole])
        for pair in replication.pairs:
            _seeds_back(b, replication.name, pair)
        b.execute(f"DELETE FROM {ASIDE} WHERE replication = $1", [replication.name])
        b.execute(f"DELETE FROM {CHUNK} WHERE replication = $1", [replication.name])


def _truncated(b: Session, relations: list[str]) -> None:
    # No row refers to them any more, but TRUNCATE goes by the constraint alone.
    outside = b.rows(_OUTSIDE, [relations])
    for table, name, _, _ in outside:
        b.execute(f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}")
    b.execute(f"TRUNCATE {', '.join(relations)}")
    for table, name, definition, comment in outside:
        b.execute(f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} {definition}")
        if comment:
            b.execute(put_away.constraint_comment(table, name, comment))


def _seeds_back(b: Session, replication: str, pair: Pair) -> None:
    columns = [each.name for each in pair.b.columns if not each.generated]
    b.execute(
        f"INSERT INTO {pair.b.relation} ({listed(columns)}) OVERRIDING SYSTEM VALUE"
        f" SELECT {', '.join(f'(s.whole).{quoted(name)}' for name in columns)}"
        f" FROM (SELECT (x.row #>> '{{}}')::{pair.b.relation} AS whole FROM {ASIDE} AS x"
        " WHERE x.replication = $1 AND x.pair = $2) AS s",
        [replication, pair.name],
    )


def _put_back(
    a: Session,
    b: Session,
    replication: Replication,
    epoch: int,
    tell: Callable[[str], None],
    check: Callable[[], None],
) -> list[str]:
    done = []

    def one(session: Session, thing: Thing) -> None:
        with transaction(session):
            session.execute("SET LOCAL lock_timeout = '1s'")
            ownership.hold(session, replication.name, epoch, "forward")
            if thing.side == "a" and thing.kind == "sequence":
                # A's sequences went on with A's rows; where they stood once is of no use.
                put_away.forget(session, replication.name, thing)
            elif put_away.put_back(session, replication.name, thing):
                done.append(named(thing))

    sides: tuple[tuple[Session, put_away.Side], ...] = ((b, "b"), (a, "a"))
    for session, side in sides:
        if not tables.installed(session):
            continue
        for thing in put_away.listed(session, replication.name, side):
            tell(named(thing))
            locked(session, partial(one, session, thing), check)
    return done
