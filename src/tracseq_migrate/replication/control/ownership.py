"""Who owns the rows of a replication: one row on each side, with an epoch that counts up whenever somebody claims it.

Whoever wants to act claims first: older claimers' sessions are ended, the epoch is raised on A and on B, and only then anything
is read. Every transaction of the protocol reads its side's row with a lock (`hold`), so that what an older epoch began can
neither begin nor commit after a claim.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Literal

from tracseq_migrate.errors import Locked, StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, SqlFailed, transaction
from tracseq_migrate.printable import printable
from tracseq_migrate.replication.control.naming import CLAIM, OWNERSHIP, lock_number
from tracseq_migrate.replication.control.tables import installed
from tracseq_migrate.replication.pair import Direction

Owner = Literal["a", "b", "none"]

_PAUSE = 0.05


class Displaced(Locked):
    """Somebody else has claimed the replication: what this one was about to do must not be done."""

    default_state = "What was under way in this transaction was undone."


@frozen
class Ownership:
    """One side's row. ``backend_pid`` is of who claimed it; the process may be gone since."""

    epoch: int
    owner: Owner
    direction: Direction
    backend_pid: int | None
    claimed_by: str
    claimed_at: datetime | None


@frozen
class Claim:
    """A claim that holds until somebody claims after it; the two rows as they were read after the epoch was raised."""

    epoch: int
    a: Ownership
    b: Ownership


def read(session: Session, replication: str) -> Ownership | None:
    """This side's row; None where there is none."""
    if not installed(session):
        return None
    return _read(session, replication, "")


def claim(a: Session, b: Session, replication: str, *, by: str, patience: float = 30.0) -> Claim:
    """End the sessions of older claimers, raise the epoch on both sides, and read.

    The claim is bound to these two sessions: they hold an advisory lock by which the next claimer finds and ends them, and the
    fences let them pass.

    Args:
        by: who claims, for people: program, host, process.
        patience: seconds within which transactions of an older epoch must come to their end; they are ended, where they do not
            do so by themselves.

    Raises:
        StepFailed: an older claimer's session could not be ended, or control is not installed.
    """
    until = time.monotonic() + patience
    for session in (a, b):
        if session.in_transaction:
            raise ValueError("a claim needs sessions without an open transaction")
        session.rows(
            "SELECT pg_catalog.pg_advisory_lock_shared($1::int, $2::int)", [CLAIM, lock_number(replication)]
        )
        _end_claimer(session, replication, until)
    try:
        # A's row is always locked first, so that two claimers cannot wait for each other.
        epoch = 1 + max(_locked(session, replication, until) for session in (a, b))
        if all(_never_claimed(session, replication) for session in (a, b)):
            # A replication that was taken away and begun anew must not go through the numbers of its earlier life again: whoever
            # slept since then, and what stands in front of the tables, know those.
            epoch = max(epoch, _began(a))
        for session in (a, b):
            session.execute(
                f"UPDATE {OWNERSHIP} SET epoch = $2, backend_pid = pg_catalog.pg_backend_pid(), claimed_by = $3,"
                " claimed_at = pg_catalog.clock_timestamp() WHERE replication = $1",
                [replication, epoch, by],
            )
        a.commit()
        b.commit()
    except BaseException:
        a.rollback()
        b.rollback()
        raise
    rows = [_read(session, replication, "") for session in (a, b)]
    for session, row in zip((a, b), rows, strict=True):
        if row is None or row.epoch != epoch:
            raise _displaced(session, replication, row, epoch)
    first, second = rows
    assert first is not None  # noqa: S101 - seen in the loop above
    assert second is not None  # noqa: S101 - seen in the loop above
    return Claim(epoch, first, second)


def hold(
    session: Session, replication: str, epoch: int, direction: Direction, *, alone: bool = False
) -> Ownership:
    """Read this side's row with a lock that holds until the open transaction ends, so that no claim comes in between.

    Args:
        alone: lock it against every other holder too, as the transactions that change the owner must.

    Raises:
        Displaced: another epoch or direction holds.
        ValueError: no transaction is open.
    """
    if not session.in_transaction:
        raise ValueError("ownership is held within a transaction")
    row = _read(session, replication, "FOR UPDATE" if alone else "FOR SHARE")
    if row is None or row.epoch != epoch or row.direction != direction:
        raise _displaced(session, replication, row, epoch, direction)
    return row


def pass_fence(session: Session, replication: str, epoch: int) -> None:
    """Make this session the one whom this side's fences let pass, in place of the one that claimed. One transaction.

    Raises:
        Displaced: another epoch holds.
    """
    with transaction(session):
        row = _read(session, replication, "FOR UPDATE")
        if row is None or row.epoch != epoch:
            raise _displaced(session, replication, row, epoch)
        session.execute(
            f"UPDATE {OWNERSHIP} SET backend_pid = pg_catalog.pg_backend_pid(),"
            " claimed_at = pg_catalog.clock_timestamp() WHERE replication = $1",
            [replication],
        )


def change(session: Session, replication: str, epoch: int, *, owner: Owner, direction: Direction) -> None:
    """Write who owns the rows, within the open transaction that holds the row alone.

    Raises:
        Displaced: another epoch holds.
    """
    touched = session.execute(
        f"UPDATE {OWNERSHIP} SET owner = $3, direction = $4 WHERE replication = $1 AND epoch = $2",
        [replication, epoch, owner, direction],
    )
    if not touched:
        raise _displaced(session, replication, _read(session, replication, ""), epoch)


def _read(session: Session, replication: str, lock: str) -> Ownership | None:
    rows = session.rows(
        "SELECT epoch, owner, direction, backend_pid, claimed_by, claimed_at"
        f" FROM {OWNERSHIP} WHERE replication = $1 {lock}",
        [replication],
    )
    return Ownership(*rows[0]) if rows else None


def _locked(session: Session, replication: str, until: float) -> int:
    """Begin a transaction that has locked this side's row; its epoch."""
    while True:
        session.begin()
        session.rows("SET LOCAL lock_timeout = '1s'")
        try:
            rows = session.rows(
                f"SELECT epoch FROM {OWNERSHIP} WHERE replication = $1 FOR UPDATE", [replication]
            )
        except SqlFailed as error:
            session.rollback()
            if error.sqlstate == "42P01":
                rows = []
            elif error.sqlstate != "55P03":
                raise
            else:
                _end(session, _holders(session, replication), until)
                continue
        if not rows:
            raise StepFailed(
                f"{session.what}: replication {replication} is not installed here",
                hint="Its tables of control are made when its week runs.",
            )
        return int(rows[0][0])


def _never_claimed(session: Session, replication: str) -> bool:
    return bool(
        session.rows(
            f"SELECT 1 FROM {OWNERSHIP} WHERE replication = $1 AND claimed_at IS NULL", [replication]
        )
    )


def _began(session: Session) -> int:
    """Seconds of the server's clock: more than anybody claims in them."""
    ((seconds,),) = session.rows("SELECT extract(epoch FROM pg_catalog.clock_timestamp())::bigint")
    return int(seconds)


def _end_claimer(session: Session, replication: str, until: float) -> None:
    # A process number comes back; a process that began after the claim is not the one that claimed.
    pids = (
        session.rows(
            f"SELECT s.pid FROM {OWNERSHIP} o JOIN pg_catalog.pg_stat_activity s ON s.pid = o.backend_pid"
            " AND s.backend_start <= o.claimed_at AND s.datname = pg_catalog.current_database()"
            " WHERE o.replication = $1 AND s.pid <> pg_catalog.pg_backend_pid()",
            [replication],
        )
        if installed(session)
        else []
    )
    _end(session, [int(pid) for (pid,) in pids], until)


def _holders(session: Session, replication: str) -> list[int]:
    """The sessions of this replication that have a transaction open in which they hold their row."""
    rows = session.rows(
        "SELECT DISTINCT t.pid FROM pg_catalog.pg_locks t"
        " JOIN pg_catalog.pg_locks l ON l.pid = t.pid AND l.locktype = 'advisory' AND l.objsubid = 2"
        " AND l.objid = ($2::bigint & 4294967295)"
        " WHERE t.locktype = 'relation' AND t.relation = $1::pg_catalog.regclass AND t.granted"
        " AND t.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        " AND t.mode IN ('RowShareLock', 'RowExclusiveLock') AND t.pid <> pg_catalog.pg_backend_pid()",
        [OWNERSHIP, lock_number(replication)],
    )
    return [int(pid) for (pid,) in rows]


def _end(session: Session, pids: list[int], until: float) -> None:
    """End these sessions, and see them gone."""
    for pid in pids:
        try:
            session.rows("SELECT pg_catalog.pg_terminate_backend($1::int)", [pid])
        except SqlFailed as error:
            raise StepFailed(
                f"{session.what}: an older session of the tool's (backend {pid}) could not be ended: {error.message}",
                hint=f"End it as its own role, or as a superuser: SELECT pg_terminate_backend({pid})",
            ) from error
    while True:
        left = session.rows("SELECT pid FROM pg_catalog.pg_stat_activity WHERE pid = ANY ($1::int[])", [pids])
        if time.monotonic() > until:
            named = ", ".join(str(pid) for (pid,) in left) or "not known by name"
            raise StepFailed(
                f"{session.what}: the ownership could not be claimed; a session holds it and does not end (backend {named})",
                hint="Look at pg_stat_activity, end what holds tracseq_migrate.ownership, and resume.",
            )
        if not left:
            return
        time.sleep(_PAUSE)


def _displaced(
    session: Session, replication: str, row: Ownership | None, epoch: int, direction: Direction | None = None
) -> Displaced:
    if row is None:
        return Displaced(
            f"{session.what}: replication {replication} is not there any more; somebody took it away",
            hint="`tracseq-migrate status` says who ran last.",
        )
    if row.epoch == epoch and direction is not None:
        return Displaced(
            f"{session.what}: replication {replication} goes {row.direction} now, and not {direction}",
            hint="`tracseq-migrate status` says what it is at.",
        )
    who = f" by {printable(row.claimed_by)}" if row.claimed_by else ""
    when = f" at {row.claimed_at:%Y-%m-%d %H:%M:%S} UTC" if row.claimed_at else ""
    return Displaced(
        f"{session.what}: replication {replication} was claimed{who}{when} (epoch {row.epoch}; ours was {epoch})",
        hint="Whoever claimed it goes on with it; `tracseq-migrate status` says how far.",
    )
