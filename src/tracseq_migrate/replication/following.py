"""Following: changes are carried over as they come, for as long as nobody ends it. One replication, one follower that leads."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed, Unreachable
from tracseq_migrate.printable import printable
from tracseq_migrate.replication.applying import Applier, Batch
from tracseq_migrate.replication.bringing import CONNECT
from tracseq_migrate.replication.control import beating, leading, ownership
from tracseq_migrate.replication.control.ownership import Displaced
from tracseq_migrate.replication.pair import Replication

BEAT = 1.0
"""Seconds between two signs of life."""
_IDLE = 0.1
_TRYING = 1.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


@frozen
class Who:
    """Who follows, for those who look: the program, its host, its process."""

    program: str
    host: str
    pid: int


@frozen
class Turn:
    """How a follower is at the moment, for the one who watches."""

    state: str
    """leads, stands by, gone, stopped, or in trouble."""
    applied: int = 0
    behind_rows: int = 0
    behind_seconds: float = 0.0
    trouble: str = ""


class Follower:
    """Carries the changes of one replication over, in whichever direction its owner says.

    Args:
        stopping: asked often; true ends it between two batches.
        waited: waits so many seconds, or until it is to stop.
        told: whenever its state changes, and about once a second while it leads.
    """

    def __init__(
        self,
        sessions: Sessions,
        replication: Replication,
        who: Who,
        *,
        stopping: Callable[[], bool],
        waited: Callable[[float], object] = time.sleep,
        told: Callable[[Turn], None] = lambda turn: None,
    ) -> None:
        self._sessions = sessions
        self._replication = replication
        self._who = who
        self._stopping = stopping
        self._wait = waited
        self._told = told
        self._since: datetime | None = None
        self._led: ownership.Ownership | None = None

    def follow(self) -> None:
        """Follow until it is to stop, or the replication is taken away. Trouble is told and outlived, never raised."""
        pause = _FIRST_PAUSE
        lost = False
        while not self._stopping():
            try:
                if not self._once():
                    self._told(Turn("gone"))
                    return
                pause, lost = _FIRST_PAUSE, False
            except _Stop:
                self._told(Turn("stopped"))
                return
            except Displaced:
                continue  # somebody claimed it: the next look says for what
            except (Unreachable, SqlFailed, StepFailed) as error:
                if self._changed():
                    continue  # what was refused was refused for that: it was taken away, or claimed
                if isinstance(error, Unreachable) and not lost:
                    # One lost connection is no trouble: whoever claims ends it, and it is made anew.
                    lost = True
                    self._wait(_IDLE)
                    continue
                said = printable(str(error))
                self._told(Turn("in trouble", trouble=said))
                self._complain(said)
                self._wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(self) -> bool:
        """Lead as long as that goes well; False where there is nothing to follow any more."""
        name = self._replication.name
        a, b = self._replication.database_a, self._replication.database_b
        with self._open(b, "sync: look") as look:
            row = ownership.read(look, name)
            if self._since is None:
                ((self._since,),) = look.rows("SELECT pg_catalog.clock_timestamp()")
            self._stop_if_asked(look)
        if row is None:
            return False
        origin, destination = (a, b) if row.direction == "forward" else (b, a)
        with self._open(destination, "sync: apply") as writes:
            self._told(Turn("stands by"))
            while True:
                with suppress(leading.NotLeading):
                    leading.take(writes, name, patience=0.0)
                    break
                self._stand_by()
                if self._moved(b, row):
                    return True
            with (
                self._open(origin, "sync: read") as reads,
                self._open(origin, "sync: log") as sweeps,
                self._open(b, "sync: beat") as beats,
            ):
                self._led = row
                ownership.pass_fence(writes, name, row.epoch)
                applier = Applier(reads, sweeps, writes, self._replication, row.direction, row.epoch)
                beating.begin(
                    beats,
                    name,
                    direction=row.direction,
                    leader=self._who.program,
                    host=self._who.host,
                    pid=self._who.pid,
                    backend_pid=writes.backend_pid,
                )
                try:
                    self._lead(applier, writes, beats, row.epoch)
                finally:
                    with suppress(SqlFailed, Unreachable):
                        beating.end(beats, name, backend_pid=writes.backend_pid)
                    leading.release(writes, name)
        return True

    def _lead(self, applier: Applier, writes: Session, beats: Session, epoch: int) -> None:
        name = self._replication.name
        beat = _Beat(beats, name, writes.backend_pid, self._told)
        while True:
            if self._stopping():
                raise _Stop
            if leading.give_way(writes, name, check=self._stop):
                # Whoever led meanwhile was let pass by the fence in place of this one.
                ownership.pass_fence(writes, name, epoch)
            batch = applier.batch()
            if beat.after(batch):
                self._stop_if_asked(beats)
            if not batch.remaining and batch.read < 100:
                self._wait(_IDLE)

    def _changed(self) -> bool:
        """Whether the replication is another one than when this began to lead, or none at all any more."""
        led, self._led = self._led, None
        if led is None:
            return False
        try:
            return self._moved(self._replication.database_b, led)
        except (Unreachable, SqlFailed):
            return False

    def _moved(self, database: str, row: ownership.Ownership) -> bool:
        with self._open(database, "sync: look") as look:
            self._stop_if_asked(look)
            now = ownership.read(look, self._replication.name)
        return now is None or (now.epoch, now.direction) != (row.epoch, row.direction)

    def _stop_if_asked(self, b: Session) -> None:
        if self._since is not None and beating.asked_to_stop(b, self._replication.name, self._since):
            raise _Stop

    def _stand_by(self) -> None:
        self._wait(_TRYING)
        self._stop()

    def _stop(self) -> None:
        if self._stopping():
            raise _Stop

    def _open(self, database: str, purpose: str) -> AbstractContextManager[Session]:
        return self._sessions.open(database, purpose=purpose, timeout=CONNECT, patience=120.0)

    def _complain(self, said: str) -> None:
        """Leave the reason where `status` looks, as far as that database can be reached."""
        with (
            suppress(SqlFailed, Unreachable),
            self._sessions.open(
                self._replication.database_b, purpose="sync: beat", timeout=5.0, patience=5.0
            ) as beats,
        ):
            beating.complain(beats, self._replication.name, said)


class _Stop(Exception):
    """It is to end; not an error."""


class _Beat:
    """A sign of life a second, with what was carried over since the last."""

    def __init__(self, session: Session, name: str, backend_pid: int, told: Callable[[Turn], None]) -> None:
        self._session = session
        self._name = name
        self._backend_pid = backend_pid
        self._told = told
        self._applied = 0
        self._next = 0.0

    def after(self, batch: Batch) -> bool:
        """Count a batch; true where a sign of life was due, and given."""
        self._applied += batch.read
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + BEAT
        rows = batch.remaining
        seconds = batch.oldest_seconds if rows else 0.0
        beating.beat(
            self._session,
            self._name,
            backend_pid=self._backend_pid,
            applied=self._applied,
            behind_rows=rows,
            behind_seconds=seconds,
        )
        self._told(Turn("leads", self._applied, rows, seconds))
        self._applied = 0
        return True
