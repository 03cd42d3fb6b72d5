"""One replication on its way to another owner: its sessions, its claim, and the parts of the protocol that concern it alone.

Both directions are the same with the roles swapped: the *origin* owns the rows before, the *destination* afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tracseq_migrate.errors import Residue, StepFailed
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed, transaction
from tracseq_migrate.replication import capture, put_away
from tracseq_migrate.replication.applying import Applier, advance
from tracseq_migrate.replication.applying.sequences import Advanced
from tracseq_migrate.replication.bringing import CONNECT, LEAD, as_it_is, led
from tracseq_migrate.replication.control import ownership, tables
from tracseq_migrate.replication.control.naming import PUT_AWAY
from tracseq_migrate.replication.control.ownership import Owner
from tracseq_migrate.replication.names import literal
from tracseq_migrate.replication.pair import Direction, Pair, Replication

LOCK_WAIT = "150ms"
"""How long a table's lock is waited for: whoever comes behind waits as long."""
LONG = 1.0
"""Seconds after which a transaction that writes is not waited for with everybody else behind it."""

Side = put_away.Side

_WRITERS = """
SELECT l.pid, coalesce(a.usename::text, '?'), coalesce(nullif(a.application_name, ''), '?'),
       coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::double precision,
       coalesce(a.backend_type, '')
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND l.relation = ANY ($1::pg_catalog.regclass[]::pg_catalog.oid[])
  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
ORDER BY 4 DESC
"""


class Moving:
    """One replication under a claim, with the lead in the session that writes the destination.

    Args:
        origin: the session that claimed on the origin; it fences.
        destination: the claim's session on the destination.
        applier: writes the destination; its destination session opens it.
    """

    def __init__(
        self,
        replication: Replication,
        direction: Direction,
        epoch: int,
        origin: Session,
        destination: Session,
        applier: Applier,
    ) -> None:
        self.replication = replication
        self.direction: Direction = direction
        self.epoch = epoch
        self.origin = origin
        self.destination = destination
        self.applier = applier
        self.origin_side: Side = "a" if direction == "forward" else "b"
        self.destination_side: Side = "b" if direction == "forward" else "a"
        self.turned: Direction = "back" if direction == "forward" else "forward"

    @property
    def writes(self) -> Session:
        """The session in which the destination is written and opened."""
        return self.applier.destination

    def _relations(self, side: Side) -> list[str]:
        names = {(pair.a if side == "a" else pair.b).relation for pair in self.replication.pairs}
        return sorted(names)

    def _each(self) -> Iterator[Pair]:
        """One pair a table is enough for whatever is done to the table; all of them for what has a log of its own."""
        yield from self.replication.pairs

    # -- what is the case --------------------------------------------------------------------------------------------------

    def fenced(self) -> bool:
        """Whether the origin refuses writes. Raises `Residue` where only some of its tables do."""
        return self._fence(self.origin, self.origin_side)

    def open(self) -> bool:
        """Whether the destination takes writes, as its owner. Raises `Residue` where only some of its tables do."""
        states = {
            capture.state(self.destination, self.replication, pair, self.destination_side)
            for pair in self._each()
        }
        if "enabled" not in states:
            # Capture and fence turn in one transaction. Its fences may be up on some tables only: `arm` was broken off.
            return False
        fence = self._fence(self.destination, self.destination_side)
        if not fence and states == {"enabled"}:
            return True
        if not fence and "enabled" in states:
            raise self._drift(
                self.destination,
                f"some of its tables record their changes, and some do not ({sorted(states)})",
            )
        return False

    def was_open(self) -> bool:
        """Whether the origin's row says that the destination had been opened."""
        row = ownership.read(self.origin, self.replication.name)
        return row is not None and (row.owner, row.direction) == (self._new_owner, self.turned)

    def _fence(self, session: Session, side: Side) -> bool:
        states = {capture.fence_state(session, self.replication, pair, side) for pair in self._each()}
        if states == {"enabled"}:
            return True
        if states <= {"disabled", "absent"}:
            return False
        raise self._drift(session, f"some of its fences are up, and some are not ({sorted(states)})")

    def _drift(self, session: Session, what: str) -> Residue:
        return Residue(
            f"{session.what}: {self.replication.name} is in a state that no step of a cutover leaves: {what}",
            state="Nothing was changed.",
            hint="Somebody altered triggers by hand: tracseq_migrate.ownership says who claimed last; put them back as they"
            " were, then resume.",
        )

    # -- before ------------------------------------------------------------------------------------------------------------

    def arm(self) -> None:
        """Create what the moment of the change only enables: idempotent, and what is enabled stays enabled.

        The destination's fence goes up: from here on nobody but the one who leads writes there before it is opened.
        """
        if self.open():
            return
        for pair in self._each():
            if capture.fence_state(self.origin, self.replication, pair, self.origin_side) == "absent":
                capture.create_fence(self.origin, self.replication, pair, self.origin_side, enabled=False)
            if capture.state(self.destination, self.replication, pair, self.destination_side) == "absent":
                capture.create(self.destination, self.replication, pair, self.destination_side, enabled=False)
            if (
                capture.fence_state(self.destination, self.replication, pair, self.destination_side)
                != "enabled"
            ):
                capture.create_fence(
                    self.destination, self.replication, pair, self.destination_side, enabled=True
                )

    def in_the_way(self) -> str:
        """Who holds locks on the tables that cannot be waited for, in words; empty where nobody does."""
        found = []
        for session, side in ((self.origin, self.origin_side), (self.destination, self.destination_side)):
            for pid, role, application, seconds, kind in session.rows(_WRITERS, [self._relations(side)]):
                if pid is None:
                    found.append(f"{session.what}: a prepared transaction")
                elif seconds > LONG and (
                    pid != self.writes.backend_pid or session.database != self.writes.database
                ):
                    what = kind if kind.startswith("autovacuum") else f"{application}, {role}"
                    found.append(f"{session.what}: backend {pid} ({what}), for {seconds:.1f} s")
        return "; ".join(found)

    def mark(self) -> list[int]:
        """How far the origin's logs are; for `written_since`."""
        return [
            self.origin.rows(
                f"SELECT coalesce(max(seq), 0) FROM {capture.log_table(self.replication, pair)}"
            )[0][0]
            for pair in self._each()
        ]

    def written_since(self, mark: list[int]) -> str:
        """The tables in which rows were written since then, with their number, in words; empty where none was."""
        found = []
        for pair, seq in zip(self._each(), mark, strict=True):
            log = capture.log_table(self.replication, pair)
            ((rows,),) = self.origin.rows(f"SELECT count(*) FROM {log} WHERE seq > {seq}")
            if rows:
                found.append(f"{rows} in {(pair.a if self.origin_side == 'a' else pair.b).name}")
        return ", ".join(found)

    # -- the moment --------------------------------------------------------------------------------------------------------

    def lock_destination(self) -> None:
        """Begin the transaction that opens the destination: everything but the rows is done at its beginning."""
        self._begin(self.writes, self._relations(self.destination_side), "EXCLUSIVE")
        for pair in self._each():
            capture.enable(self.writes, self.replication, pair, self.destination_side)
            capture.disable_fence(self.writes, self.replication, pair, self.destination_side)

    def lock_origin(self) -> None:
        """Begin the transaction that fences the origin: from here on its writers wait."""
        self._begin(self.origin, self._relations(self.origin_side), "SHARE ROW EXCLUSIVE")

    def _begin(self, session: Session, relations: list[str], mode: str) -> None:
        session.begin("READ COMMITTED")
        session.execute(
            f"SET LOCAL lock_timeout = '{LOCK_WAIT}'; SET LOCAL synchronous_commit = on;"
            " SET LOCAL idle_in_transaction_session_timeout = '5s'"
        )
        ownership.hold(session, self.replication.name, self.epoch, self.direction, alone=True)
        session.execute(f"LOCK TABLE {', '.join(relations)} IN {mode} MODE")

    def fill(self) -> int:
        """Bring over all that is left, in the transaction that opens the destination; the number of log rows."""
        return self.applier.apply_within()

    def make_ready(self) -> list[Advanced]:
        """Everything that opening needs and that could fail: what is left afterwards is the commit."""
        writes = self.writes
        advanced = advance(self.replication, self.direction, self.origin, writes)
        writes.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for pair in self._each():
            # What the log has by now was written by the applier itself, and must not go back: but on the way back it has noted
            # there which rows came, so that B's become again what A's come to.
            if self.direction == "forward":
                capture.forget(writes, self.replication, pair)
        for thing in put_away.listed(
            writes, self.replication.name, self.destination_side, kinds=("trigger",)
        ):
            put_away.put_back(writes, self.replication.name, thing)
        self._own(writes, self._new_owner, self.turned)
        return advanced

    def fence(self) -> None:
        """Refuse writes on the origin, in its open transaction."""
        for pair in self._each():
            capture.enable_fence(self.origin, self.replication, pair, self.origin_side)
            capture.disable(self.origin, self.replication, pair, self.origin_side)
            # What will be carried back must not be rewritten by the table's own triggers.
            put_away.triggers(self.origin, self.replication.name, pair, self.origin_side)
        self._own(self.origin, "none", self.direction)

    def alive(self) -> None:
        """A sign of life of the session that is to open the destination. Raises `Unreachable`."""
        self.writes.rows("SELECT 1")

    def undo(self) -> None:
        """End both transactions; harmless where none is open."""
        for session in (self.origin, self.writes):
            if session.in_transaction:
                session.rollback()

    # -- afterwards --------------------------------------------------------------------------------------------------------

    def tell_origin(self) -> None:
        """The origin's row says who owns the rows now, as the destination's does."""
        with transaction(self.origin):
            self._own(self.origin, self._new_owner, self.turned)

    def unfence(self) -> None:
        """Let the origin take writes again, as its owner; its log goes on as if nothing had been."""
        session = self.origin
        # In one transaction: fences that are up on some tables only are what nobody can recover from.
        with transaction(session):
            ownership.hold(session, self.replication.name, self.epoch, self.direction, alone=True)
            for pair in self._each():
                capture.enable(session, self.replication, pair, self.origin_side)
                capture.disable_fence(session, self.replication, pair, self.origin_side)
            for thing in put_away.listed(
                session, self.replication.name, self.origin_side, kinds=("trigger",)
            ):
                put_away.put_back(session, self.replication.name, thing)
            owner: Owner = "a" if self.direction == "forward" else "b"
            self._own(session, owner, self.direction)

    def flushed(self, patience: float) -> bool:
        """Whether every standby of the origin that can be seen has on disk what was committed there."""
        ((at,),) = self.origin.rows("SELECT pg_catalog.pg_current_wal_lsn()::text")
        until = time.monotonic() + patience
        query = (
            "SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE flush_lsn IS NOT NULL AND state = 'streaming'"
            f" AND flush_lsn < {literal(str(at))}::pg_catalog.pg_lsn"
        )
        while self.origin.rows(query)[0][0]:
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        return True

    @property
    def _new_owner(self) -> Owner:
        return self.destination_side

    def _own(self, session: Session, owner: Owner, direction: Direction) -> None:
        ownership.change(session, self.replication.name, self.epoch, owner=owner, direction=direction)

    # -- autovacuum --------------------------------------------------------------------------------------------------------

    def quieten(self) -> None:
        """Keep autovacuum off the tables until `wake`: with a short wait for a lock it would never give way by itself."""
        for session, side in ((self.origin, self.origin_side), (self.destination, self.destination_side)):
            for pair in self._each():
                table = pair.a if side == "a" else pair.b
                if table.kind != "table":
                    continue
                with transaction(session):
                    session.execute("SET LOCAL lock_timeout = '5s'")
                    self._switched_off(session, side, pair, table.relation)

    def _switched_off(self, session: Session, side: Side, pair: Pair, relation: str) -> None:
        ((options,),) = session.rows(
            f"SELECT coalesce(reloptions, '{{}}') FROM pg_catalog.pg_class WHERE oid = {literal(relation)}::pg_catalog.regclass"
        )
        set_ = next(
            (each.partition("=")[2] for each in options if each.startswith("autovacuum_enabled=")), None
        )
        if set_ == "false":
            return
        back = "RESET (autovacuum_enabled)" if set_ is None else f"SET (autovacuum_enabled = {literal(set_)})"
        session.execute(
            f"INSERT INTO {PUT_AWAY} (replication, pair, side, kind, name, definition, was)"
            " VALUES ($1, $2, $3, 'autovacuum', $4, $5, $6) ON CONFLICT DO NOTHING",
            [self.replication.name, pair.name, side, relation, f"ALTER TABLE {relation} {back}", set_ or ""],
        )
        session.execute(f"ALTER TABLE {relation} SET (autovacuum_enabled = false)")

    def wake(self) -> None:
        """Autovacuum as it was before `quieten`."""
        for session, side in ((self.origin, self.origin_side), (self.destination, self.destination_side)):
            for thing in put_away.listed(session, self.replication.name, side, kinds=("autovacuum",)):
                with transaction(session):
                    session.execute("SET LOCAL lock_timeout = '5s'")
                    put_away.put_back(session, self.replication.name, thing)


@contextmanager
def moving(
    sessions: Sessions,
    replication: Replication,
    direction: Direction,
    *,
    by: str,
    check: Callable[[], None],
) -> Iterator[Moving]:
    """Claim a replication and lead it, for the time of the block. Whoever led before makes way, and goes on afterwards.

    Raises:
        StepFailed: it is not installed; whoever leads did not make way.
        SqlFailed, Unreachable: a database refused, or is away.
    """
    a, b = replication.database_a, replication.database_b
    with (
        sessions.open(a, purpose="cutover", timeout=CONNECT) as on_a,
        sessions.open(b, purpose="cutover", timeout=CONNECT) as on_b,
    ):
        if not tables.installed(on_a) or not tables.installed(on_b):
            raise StepFailed(
                f"{replication.name} does not follow yet: neither database knows of it",
                hint="A step of kind `replicate` brings it to life first.",
            )
        claim = ownership.claim(on_a, on_b, replication.name, by=by)
        origin, destination = (on_a, on_b) if direction == "forward" else (on_b, on_a)
        replication = as_it_is(on_b, replication)
        with led(sessions, replication, direction, claim.epoch, patience=LEAD, check=check) as applier:
            one = Moving(replication, direction, claim.epoch, origin, destination, applier)
            try:
                yield one
            finally:
                one.undo()


def locked_out(error: SqlFailed) -> bool:
    """Whether a lock was not had in time, or another transaction was in the way: it can be tried again."""
    return error.sqlstate in ("55P03", "40P01", "40001", "25P03")
