"""Who applies: one session a replication, which holds an advisory lock on the destination as long as it lives.

The lock is a session's own: it is gone with the connection, and nothing that another session does can be written under it. A
second lock is how somebody asks the one that leads for a pause, without ending it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, SqlFailed, Unreachable
from tracseq_migrate.printable import printable
from tracseq_migrate.replication.control.naming import LEAD, SYNC, WANT, lock_number

_PAUSE = 0.05


def nothing() -> None:
    """What is asked in between where nobody wants to be asked."""


@frozen
class Leader:
    """Who leads: the server's process behind it, what it calls itself, where it connects from, and since when."""

    backend_pid: int
    application: str
    address: str
    since: datetime | None
    told: str = ""
    """As the sync row has it: program, host, process; empty where that is somebody else's."""

    def __str__(self) -> str:
        who = f"{self.told}, " if self.told else ""
        since = f", since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{who}backend {self.backend_pid} ({self.application} from {self.address}{since})"


class NotLeading(StepFailed):
    """Somebody else leads, and did not make way in time."""


def leader(session: Session, replication: str) -> Leader | None:
    """Who leads at this destination; None where nobody does."""
    rows = session.rows(
        "SELECT l.pid, coalesce(nullif(s.application_name, ''), '?'), coalesce(s.client_addr::text, 'a local socket'),"
        " s.backend_start FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid"
        " WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.mode = 'ExclusiveLock'"
        " AND l.classid = $1::bigint AND l.objid = ($2::bigint & 4294967295)"
        " AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
        [LEAD, lock_number(replication)],
    )
    if not rows:
        return None
    pid, application, address, since = rows[0]
    told = ""
    # B alone keeps who is at it; on the way back, A is the one that is written.
    if session.rows("SELECT 1 WHERE pg_catalog.to_regclass($1) IS NOT NULL", [SYNC]):
        named = session.rows(
            f"SELECT leader, host, pid FROM {SYNC} WHERE replication = $1 AND backend_pid = $2",
            [replication, int(pid)],
        )
        told = printable(", ".join(str(part) for part in named[0] if part)) if named else ""
    return Leader(int(pid), printable(str(application)), str(address), since, told)


def leads(session: Session, replication: str) -> bool:
    """Whether this very session leads."""
    found = leader(session, replication)
    return found is not None and found.backend_pid == session.backend_pid


def take(session: Session, replication: str, *, patience: float, check: Callable[[], None] = nothing) -> None:
    """Lead, in this session, until `release` or its end.

    Args:
        patience: seconds to wait for whoever leads now.
        check: called while waiting; may raise.

    Raises:
        NotLeading: names who leads.
    """
    until = time.monotonic() + patience
    while not _tried(session, "pg_try_advisory_lock", LEAD, replication):
        check()
        if time.monotonic() >= until:
            found = leader(session, replication)
            raise NotLeading(
                f"{session.what}: {found or 'another session'} applies the changes of replication {replication}",
                hint="One applies at a time; the others wait. End it with `tracseq-migrate sync stop`, or wait for it.",
            )
        time.sleep(_PAUSE)


def release(session: Session, replication: str) -> None:
    """Lead no longer; harmless where this session does not, or is lost."""
    with suppress(SqlFailed, Unreachable):
        session.rows(
            "SELECT pg_catalog.pg_advisory_unlock($1::int, $2::int)", [LEAD, lock_number(replication)]
        )


@contextmanager
def leading(
    session: Session, replication: str, *, patience: float, check: Callable[[], None] = nothing
) -> Iterator[None]:
    """Lead within the block. As `take`."""
    take(session, replication, patience=patience, check=check)
    try:
        yield
    finally:
        if session.in_transaction:
            session.rollback()
        release(session, replication)


@contextmanager
def wanting(
    session: Session, replication: str, *, patience: float, check: Callable[[], None] = nothing
) -> Iterator[None]:
    """Ask whoever leads for a pause, and lead in this session within the block; it goes on afterwards by itself.

    Raises:
        NotLeading: it did not make way in time, or somebody else asked first.
    """
    until = time.monotonic() + patience
    while not _tried(session, "pg_try_advisory_lock", WANT, replication):
        check()
        if time.monotonic() >= until:
            raise NotLeading(
                f"{session.what}: somebody else has asked for the lead of replication {replication} already",
                hint="Wait until that is done, and try again.",
            )
        time.sleep(_PAUSE)
    try:
        with leading(session, replication, patience=max(until - time.monotonic(), 0.0), check=check):
            yield
    finally:
        with suppress(SqlFailed, Unreachable):
            session.rows(
                "SELECT pg_catalog.pg_advisory_unlock($1::int, $2::int)", [WANT, lock_number(replication)]
            )


def give_way(session: Session, replication: str, *, check: Callable[[], None] = nothing) -> bool:
    """Where somebody asks for a pause: let go, wait until they are done, and lead again. Whether that was so.

    To be called by the one that leads, outside of a transaction, before each batch. Somebody who then leads for good is waited
    for as long as ``check`` does not raise.
    """
    if not _wanted(session, replication):
        return False
    release(session, replication)
    while _wanted(session, replication) or not _tried(session, "pg_try_advisory_lock", LEAD, replication):
        check()
        time.sleep(_PAUSE)
    return True


def _wanted(session: Session, replication: str) -> bool:
    if not _tried(session, "pg_try_advisory_lock_shared", WANT, replication):
        return True
    session.rows(
        "SELECT pg_catalog.pg_advisory_unlock_shared($1::int, $2::int)", [WANT, lock_number(replication)]
    )
    return False


def _tried(session: Session, function: str, kind: int, replication: str) -> bool:
    ((had,),) = session.rows(
        f"SELECT pg_catalog.{function}($1::int, $2::int)", [kind, lock_number(replication)]
    )
    return bool(had)
