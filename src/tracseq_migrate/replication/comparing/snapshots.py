"""Two snapshots to compare, and where they come from when no replication is installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed
from tracseq_migrate.replication.names import literal
from tracseq_migrate.replication.pair import Direction, Replication

_CONNECT = 10.0
_LOCKED = "55P03"
_LOCKED_OUT = "10s"
_OVERTAKEN = "1s"
_ATTEMPTS = 5
_PAUSE = 0.2

_WRITERS = """
SELECT DISTINCT coalesce(s.usename::text, '?'), coalesce(s.application_name, ''), coalesce(host(s.client_addr), ''), l.pid
FROM pg_locks l
JOIN pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT to_regclass(each) FROM unnest($1::text[]) AS each)
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND coalesce(s.application_name, '') NOT LIKE 'tracseq-migrate%'
ORDER BY 1, 2, 3, 4
"""


@frozen
class Snapshots:
    """A session with each side, each within a read-only REPEATABLE READ transaction of its own.

    ``exact``: the copied side's snapshot has everything that the owner's has, and nothing else; it was made when the owner's log
    had been applied up to the owner's snapshot. The copied side is B on the way ``forward``, A on the way ``back``.
    """

    a: Session
    b: Session
    exact: bool
    direction: Direction = "forward"


Aligning = Callable[[], AbstractContextManager[Snapshots]]
"""Makes a new pair of snapshots at each call; they end with the block."""


def looked_at(replication: Replication, side: str) -> tuple[str, ...]:
    """The tables of one side that a comparison reads, quoted and qualified."""
    if side == "a":
        return tuple(dict.fromkeys(pair.a.relation for pair in replication.pairs))
    kept = (pair.side for pair in replication.pairs if pair.side)
    return tuple(dict.fromkeys((*(pair.b.relation for pair in replication.pairs), *kept)))


def begin(session: Session, relations: Sequence[str]) -> None:
    """Begin a transaction whose snapshot none of these tables is emptied under: the locks come before the snapshot.

    TRUNCATE and rewrites of a table are seen by snapshots that are older; they wait for the lock, and then are not.
    """
    session.begin("REPEATABLE READ", read_only=True)
    _lock(session, relations, _LOCKED_OUT)
    session.rows("SELECT 1")


@contextmanager
def apart(sessions: Sessions, replication: Replication, *, purpose: str = "compare") -> Iterator[Snapshots]:
    """Two snapshots that nothing aligns: for databases between which nothing is replicated, and at rest.

    Raises:
        Unreachable, SqlFailed: one side could not be asked; also inside of the block.
    """
    with ExitStack() as stack:
        opened: dict[str, Session] = {}
        for side, database in (("a", replication.database_a), ("b", replication.database_b)):
            opened[side] = _opened(stack, sessions, database, purpose)
        for side, session in opened.items():
            begin(session, looked_at(replication, side))
            stack.callback(session.rollback)
        yield Snapshots(opened["a"], opened["b"], exact=False)


def writers(session: Session, relations: Sequence[str]) -> tuple[str, ...]:
    """Who but us writes these tables now, in a person's words."""
    return tuple(
        f"{user}{f' from {address}' if address else ''}, {program or 'a nameless program'} (pid {pid})"
        for user, program, address, pid in session.rows(_WRITERS, [list(relations)])
    )


class Moment(Protocol):
    """Ids of two snapshots that align, good for as long as whoever made them holds on to them."""

    @property
    def origin(self) -> str: ...

    @property
    def destination(self) -> str: ...


@contextmanager
def aligned(
    sessions: Sessions,
    replication: Replication,
    direction: Direction,
    moment: Callable[[], AbstractContextManager[Moment]],
    *,
    purpose: str = "compare",
) -> Iterator[Snapshots]:
    """Two sessions that look through the snapshots of a moment (`Applier.align`), which is over as soon as they do.

    So whoever makes the moment is held up for no longer than the making takes, however long the comparison is.

    Raises:
        Unreachable, SqlFailed: one side could not be asked; also inside of the block. And what ``moment`` raises.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        with ExitStack() as stack:
            try:
                found = _imported(stack, sessions, replication, direction, moment, purpose)
            except SqlFailed as error:
                # Whoever wants a table for itself waits for the maker of the moment, and we would wait behind it: let it through.
                if error.sqlstate != _LOCKED or attempt == _ATTEMPTS:
                    raise
            else:
                yield found
                return
        time.sleep(_PAUSE * attempt)


def _imported(
    stack: ExitStack,
    sessions: Sessions,
    replication: Replication,
    direction: Direction,
    moment: Callable[[], AbstractContextManager[Moment]],
    purpose: str,
) -> Snapshots:
    a, b = (
        _opened(stack, sessions, database, purpose)
        for database in (replication.database_a, replication.database_b)
    )
    with moment() as ids:
        of_a, of_b = (
            (ids.origin, ids.destination) if direction == "forward" else (ids.destination, ids.origin)
        )
        for side, session, snapshot in (("a", a, of_a), ("b", b, of_b)):
            session.begin("REPEATABLE READ", read_only=True)
            stack.callback(session.rollback)
            session.rows(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
            # The maker's own locks let nobody empty a table until these take over.
            _lock(session, looked_at(replication, side), _OVERTAKEN)
    return Snapshots(a, b, exact=True, direction=direction)


def _opened(stack: ExitStack, sessions: Sessions, database: str, purpose: str) -> Session:
    session = stack.enter_context(sessions.open(database, purpose=purpose, timeout=_CONNECT))
    if session.version >= 14:
        # A scan of a large table ends soon after the tool was killed, and with it the snapshot that it keeps.
        with suppress(SqlFailed):
            session.rows("SET client_connection_check_interval = '2s'")
    return session


def _lock(session: Session, relations: Sequence[str], patience: str) -> None:
    session.rows(f"SET LOCAL lock_timeout = {literal(patience)}")
    if relations:
        session.rows(f"LOCK TABLE {', '.join(relations)} IN ACCESS SHARE MODE")
