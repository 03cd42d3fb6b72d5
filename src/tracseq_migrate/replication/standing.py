"""How a replication stands right now: its tables' phases, who carries changes over, and how far behind they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracseq_migrate import duration
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, Sessions
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.control import beating, leading, ownership, phases
from tracseq_migrate.replication.names import ours
from tracseq_migrate.replication.pair import Direction

COUNTED = 100_000
"""Log rows of a table that are counted; whoever is behind by more is far behind."""
STALE = 15.0
"""Seconds without a sign of life after which nobody is taken to be at it."""
LATE = 60.0
"""Seconds behind that are worth an alarm."""


@frozen
class Waiting:
    """What one table's log holds: ``rows`` (at most `COUNTED`), and how old the first of them is, in seconds."""

    rows: int
    seconds: float


@frozen
class Standing:
    direction: Direction
    owner: str
    epoch: int
    phases: Mapping[str, phases.Phase]
    waiting: Mapping[str, Waiting]
    """By pair."""
    leader: str
    """Who carries changes over, for people; empty where nobody does."""
    age: float | None
    """Seconds since its last sign of life, by the server's clock."""
    applied: int
    error: str

    @property
    def behind_rows(self) -> int:
        return sum(each.rows for each in self.waiting.values())

    @property
    def behind_seconds(self) -> float:
        return max((each.seconds for each in self.waiting.values()), default=0.0)

    @property
    def alarm(self) -> str:
        """What somebody should do something about; empty where all is well."""
        if self.error:
            return f"changes cannot be carried over: {self.error}"
        if not self.leader:
            return "nobody carries changes over"
        if self.age is None or self.age > STALE:
            ago = f" for {duration.show(self.age)}" if self.age is not None else ""
            return f"whoever carries changes over gave no sign of life{ago}"
        if self.behind_seconds > LATE:
            return f"it is {duration.show(self.behind_seconds)} behind"
        return ""


def stand(
    sessions: Sessions, name: str, database_a: str, database_b: str, pairs: Sequence[str], *, patience: float
) -> Standing | None:
    """How it stands; None where neither database knows of it.

    Raises:
        SqlFailed, Unreachable: a database could not be asked in time.
    """
    with (
        sessions.open(database_a, purpose="status", timeout=patience, patience=patience) as a,
        sessions.open(database_b, purpose="status", timeout=patience, patience=patience) as b,
    ):
        row = ownership.read(b, name)
        if row is None:
            return None
        beat = beating.read(b, name)
        origin, destination = (a, b) if row.direction == "forward" else (b, a)
        leader = leading.leader(destination, name)
        return Standing(
            row.direction,
            row.owner,
            row.epoch,
            {pair: each.phase for pair, each in phases.everything(b, name).items()},
            {pair: _waiting(origin, name, pair) for pair in pairs},
            str(leader) if leader else "",
            beat.age if beat else None,
            beat.applied if beat else 0,
            beat.error if beat else "",
        )


def _waiting(session: Session, name: str, pair: str) -> Waiting:
    log = ours(capture.naming.log(name, pair))
    if not session.rows("SELECT 1 WHERE pg_catalog.to_regclass($1) IS NOT NULL", [log]):
        return Waiting(0, 0.0)
    ((rows,),) = session.rows(f"SELECT count(*) FROM (SELECT 1 FROM {log} LIMIT {COUNTED}) AS counted")
    oldest = session.rows(
        f"SELECT extract(epoch FROM pg_catalog.clock_timestamp() - at)::double precision FROM {log} ORDER BY seq LIMIT 1"
    )
    return Waiting(int(rows), max(float(oldest[0][0]), 0.0) if oldest else 0.0)
