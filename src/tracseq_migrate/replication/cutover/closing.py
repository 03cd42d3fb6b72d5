"""The end of the way back: what carried changes to the old side is taken away, for good; the old side's fence stays up."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports.sql import Session, Sessions, transaction
from tracseq_migrate.replication import capture, put_away
from tracseq_migrate.replication.bringing import CONNECT, LEAD
from tracseq_migrate.replication.control import leading, ownership, tables
from tracseq_migrate.replication.control.naming import OWNERSHIP
from tracseq_migrate.replication.pair import Replication
from tracseq_migrate.step import Evidence


def close_for_good(sessions: Sessions, replications: Sequence[Replication], *, by: str) -> list[Evidence]:
    """End the way back. A's tables stay readable and refuse writes, by a fence that nobody passes any more; B's are free of us.

    Can be broken off anywhere, and called again; where it was done before it changes nothing.

    Raises:
        StepFailed: B does not own the tables of one of them; then that one is as it was.
        SqlFailed, Unreachable, Displaced: a database refused or is away, or somebody else has claimed it.
    """
    evidence = []
    for replication in sorted(replications, key=lambda each: each.name):
        with (
            sessions.open(replication.database_a, purpose="complete", timeout=CONNECT) as a,
            sessions.open(replication.database_b, purpose="complete", timeout=CONNECT) as b,
        ):
            _owned_by_b(a, b, replication)
            if ownership.read(b, replication.name) is None:
                said = f"{replication.name}: the way back had ended before"
            else:
                _close(a, b, replication, by)
                said = (
                    f"{replication.name}: changes are not carried back any more; the old tables in"
                    f" {replication.database_a} can be read, and refuse writes"
                )
            evidence.append(Evidence(said, {"what": "closed", "replication": replication.name}))
    return evidence


def _owned_by_b(a: Session, b: Session, replication: Replication) -> None:
    on_a, on_b = ownership.read(a, replication.name), ownership.read(b, replication.name)
    known = [row for row in (on_a, on_b) if row is not None]
    fenced = all(capture.fence_state(a, replication, pair, "a") == "enabled" for pair in replication.pairs)
    if (
        on_a is None
        or any((row.owner, row.direction) != ("b", "back") for row in known)
        or not fenced
        or any(capture.fence_state(b, replication, pair, "b") == "enabled" for pair in replication.pairs)
    ):
        raise StepFailed(
            f"{replication.name}: {replication.database_b} does not own its tables alone, so the way back cannot be given up",
            hint="`tracseq-migrate status` says what it is at; resume what was broken off, then complete again.",
        )


def _close(a: Session, b: Session, replication: Replication, by: str) -> None:
    name = replication.name
    claim = ownership.claim(a, b, name, by=by)
    # Whoever carries changes back makes way, and finds afterwards that there is nothing left to carry.
    with leading.wanting(a, name, patience=LEAD):
        _owned_by_b(a, b, replication)
        for pair in replication.pairs:
            capture.drop(b, replication, pair, "b")
            capture.drop_fence(b, replication, pair, "b")
            capture.drop(a, replication, pair, "a")
        for session, side in _sides(a, b):
            for thing in put_away.listed(session, name, side, kinds=("trigger", "autovacuum")):
                with transaction(session):
                    ownership.hold(session, name, claim.epoch, "back")
                    put_away.put_back(session, name, thing)
        with transaction(a):
            ownership.hold(a, name, claim.epoch, "back", alone=True)
            # Nobody passes the fence any more: neither this session, nor one that read the epoch before.
            a.execute(
                f"UPDATE {OWNERSHIP} SET epoch = epoch + 1, backend_pid = NULL WHERE replication = $1", [name]
            )
        for pair in replication.pairs:
            if pair.side:
                b.execute(f"DROP TABLE IF EXISTS {pair.side}")
        # Last of all: as long as B knows of it, this can be called again.
        tables.remove(b, name, "b")


def _sides(a: Session, b: Session) -> tuple[tuple[Session, put_away.Side], ...]:
    return ((a, "a"), (b, "b"))
