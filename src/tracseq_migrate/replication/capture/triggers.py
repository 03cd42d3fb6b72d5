"""Triggers on a table and on everything below it, by name: made where they are missing, switched, taken off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.blockers import blockers
from tracseq_migrate.replication.names import literal, quoted

State = Literal["absent", "disabled", "enabled", "mixed"]
"""``mixed``: not the same on all of the tables, or not ``ENABLE ALWAYS``."""

LOCK_WAIT = 2.0
"""Seconds that one try waits for a table's lock: whoever comes behind it waits as long."""
PATIENCE = 120.0

_LOCKED = "55P03"
_DEADLOCK = "40P01"


@frozen
class Member:
    """A table of a partition tree, or a table that has none."""

    relation: str
    leaf: bool


def members(session: Session, relation: str) -> list[Member]:
    """The table itself first, then all that hangs below it."""
    found = session.rows(
        f"""
        SELECT n.nspname, c.relname, c.relkind <> 'p'
        FROM (SELECT {_oid(relation)} AS root) r
        CROSS JOIN LATERAL (
            SELECT r.root AS oid, 0 AS level
            UNION ALL SELECT t.relid::oid, t.level FROM pg_partition_tree(r.root) t WHERE t.level > 0) m
        JOIN pg_class c ON c.oid = m.oid JOIN pg_namespace n ON n.oid = c.relnamespace
        ORDER BY m.level, n.nspname, c.relname
        """
    )
    return [Member(quoted(schema, name), leaf) for schema, name, leaf in found]


def make(session: Session, relation: str, name: str, events: str, function: str, *, always: bool) -> None:
    """The trigger, if it is not there, and enabled or disabled as asked. The caller has the transaction."""
    if name not in _on(session, relation):
        session.execute(f"CREATE TRIGGER {quoted(name)} {events} EXECUTE FUNCTION {function}()")
    switch(session, relation, name, always=always)


def switch(session: Session, relation: str, name: str, *, always: bool) -> None:
    wanted = "A" if always else "D"
    if _on(session, relation).get(name) != wanted:
        session.execute(
            f"ALTER TABLE {relation} {'ENABLE ALWAYS' if always else 'DISABLE'} TRIGGER {quoted(name)}"
        )


def take_off(session: Session, relation: str, name: str) -> None:
    """The trigger, if it is there. What PostgreSQL made for a partition goes with the one that it was made from."""
    found = session.rows(
        f"SELECT FROM pg_trigger WHERE tgrelid = {_oid(relation)} AND tgname = {literal(name)} AND tgparentid = 0"
    )
    if found:
        session.execute(f"DROP TRIGGER {quoted(name)} ON {relation}")


def state_of(session: Session, relation: str, expected: Callable[[Member], Sequence[str]]) -> State:
    """What the triggers of these names are, over all the tables that should have them."""
    seen: set[str | None] = set()
    for member in members(session, relation):
        there = _on(session, member.relation)
        seen |= {there.get(name) for name in expected(member)}
    if seen == {None}:
        return "absent"
    return "enabled" if seen == {"A"} else "disabled" if seen == {"D"} else "mixed"


def _on(session: Session, relation: str) -> dict[str, str]:
    found = session.rows(
        f"""
        SELECT tgname, CASE WHEN tgenabled = 'D' THEN 'D' WHEN tgenabled = 'A' THEN 'A' ELSE 'O' END
        FROM pg_trigger WHERE tgrelid = {_oid(relation)} AND (NOT tgisinternal OR tgparentid <> 0)
        """
    )
    return dict(found)


def _oid(relation: str) -> str:
    return f"to_regclass({literal(relation)})::oid"


@contextmanager
def locked(
    session: Session, relation: str, *, mode: str = "SHARE ROW EXCLUSIVE", patience: float = PATIENCE
) -> Iterator[None]:
    """A transaction in which the table is locked, however long others held it; committed at the end of the block.

    Each try waits two seconds at most, since everybody who comes later has to wait behind it; in between there is room for them.
    Inside of a transaction of the caller's it is the caller's lock, and nothing is committed.

    Raises:
        StepFailed: it could not be had within ``patience`` seconds; says who holds it.
    """
    if session.in_transaction:
        session.execute(f"LOCK TABLE {relation} IN {mode} MODE")
        yield
        return
    until = time.monotonic() + patience
    pause = 0.05
    while True:
        session.begin()
        try:
            session.execute(f"SET LOCAL lock_timeout = {int(LOCK_WAIT * 1000)}")
            session.execute(f"LOCK TABLE {relation} IN {mode} MODE")
            session.execute("SET LOCAL lock_timeout = 0")
        except SqlFailed as error:
            session.rollback()
            if error.sqlstate not in (_LOCKED, _DEADLOCK):
                raise
            if time.monotonic() >= until:
                raise StepFailed(
                    f"{session.what}: {relation} was not free for {patience:g} s. {blockers(session)}".rstrip(),
                    hint="Wait until these sessions have ended their transactions, or end them, and try again.",
                ) from None
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
            continue
        except BaseException:
            session.rollback()
            raise
        break
    try:
        yield
    except BaseException:
        session.rollback()
        raise
    session.commit()
