"""The sign of life of whoever applies: one row on B, whichever the direction, by which `status` tells that it goes on."""

from __future__ import annotations

from datetime import datetime

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.control.naming import SYNC
from tracseq_migrate.replication.control.tables import installed
from tracseq_migrate.replication.pair import Direction


@frozen
class Beat:
    """The last sign of life. ``age`` is in seconds, by the server's own clock; None where there never was one."""

    direction: Direction
    leader: str
    host: str
    pid: int | None
    backend_pid: int | None
    since: datetime | None
    age: float | None
    applied: int
    behind_rows: int | None
    behind_seconds: float | None
    error: str


def read(session: Session, replication: str) -> Beat | None:
    """The row; None where the replication is not installed."""
    if not installed(session):
        return None
    rows = session.rows(
        "SELECT direction, leader, host, pid, backend_pid, since,"
        " (extract(epoch FROM pg_catalog.clock_timestamp() - beat_at))::double precision, applied, behind_rows,"
        f" behind_seconds, error FROM {SYNC} WHERE replication = $1",
        [replication],
    )
    return Beat(*rows[0]) if rows else None


def begin(
    session: Session,
    replication: str,
    *,
    direction: Direction,
    leader: str,
    host: str,
    pid: int,
    backend_pid: int,
) -> None:
    """Write down who leads from now on. ``backend_pid`` is of the session that holds the lead."""
    session.execute(
        f"UPDATE {SYNC} SET direction = $2, leader = $3, host = $4, pid = $5, backend_pid = $6,"
        " since = pg_catalog.clock_timestamp(), beat_at = pg_catalog.clock_timestamp(), error = ''"
        " WHERE replication = $1",
        [replication, direction, leader, host, pid, backend_pid],
    )


def beat(
    session: Session,
    replication: str,
    *,
    backend_pid: int,
    applied: int,
    behind_rows: int | None,
    behind_seconds: float | None,
    error: str = "",
) -> bool:
    """Write a sign of life; ``applied`` is added to the count. False where somebody else leads meanwhile: nothing is written."""
    touched = session.execute(
        f"UPDATE {SYNC} SET beat_at = pg_catalog.clock_timestamp(), applied = applied + $3, behind_rows = $4,"
        " behind_seconds = $5, error = $6 WHERE replication = $1 AND backend_pid = $2",
        [replication, backend_pid, applied, behind_rows, behind_seconds, error],
    )
    return bool(touched)


def end(session: Session, replication: str, *, backend_pid: int) -> None:
    """Nobody leads any more; harmless where somebody else does."""
    session.execute(
        f"UPDATE {SYNC} SET leader = '', host = '', pid = NULL, backend_pid = NULL, since = NULL"
        " WHERE replication = $1 AND backend_pid = $2",
        [replication, backend_pid],
    )


def ask_to_stop(session: Session, replication: str) -> bool:
    """Ask everybody who follows by now to end; whoever begins later is not meant. Whether there is such a replication."""
    sql = f"UPDATE {SYNC} SET stop_asked = pg_catalog.clock_timestamp() WHERE replication = $1"
    return installed(session) and bool(session.execute(sql, [replication]))


def asked_to_stop(session: Session, replication: str, since: datetime) -> bool:
    """Whether everybody who began before this moment of the server's clock was asked to end."""
    if not installed(session):
        return False
    return bool(
        session.rows(
            f"SELECT 1 FROM {SYNC} WHERE replication = $1 AND stop_asked > $2::timestamptz",
            [replication, since],
        )
    )


def complain(session: Session, replication: str, error: str) -> None:
    """Leave why nobody can lead at the moment, for those who look; the next sign of life takes it away."""
    if installed(session):
        session.execute(f"UPDATE {SYNC} SET error = $2 WHERE replication = $1", [replication, error[:2000]])
