"""Several hands at one task: threads with sessions of their own, which take piece after piece until none is left.

A piece is claimed in the database, by a row lock in the very transaction that does it, so that hands of one process and hands of
two share the work by the same rule, and one that dies gives its piece back. What a hand holds shows in the server's lock table: a
claimant ends the sessions of hands that were left behind by a killed or stopped process (`end_leftovers`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed, Unreachable
from tracseq_migrate.replication.control.naming import lock_number

HANDS = 0x7473_4D48
"""First half of the advisory lock that every hand holds, shared, as long as its session lives."""

PATIENCE = 60.0
"""Seconds that a hand goes on trying after the last piece it finished."""

_GLANCE = 0.2
_ENDING = 30.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0

# Serialization, deadlock, a lock not had in time, a statement or session ended by somebody, a server out of connections.
_PASSING = frozenset({"40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "53300"})


def nothing() -> None:
    """What is asked in between where nobody wants to be asked."""


def end_leftovers(session: Session, replication: str, *, patience: float = 10.0) -> int:
    """End the sessions of all hands of this replication at this database; how many there were.

    Raises:
        StepFailed: one of them does not end.
    """
    holders = (
        "SELECT l.pid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database"
        " WHERE d.datname = pg_catalog.current_database() AND l.locktype = 'advisory' AND l.objsubid = 2"
        f" AND l.classid = {HANDS} AND l.objid = ({lock_number(replication)}::bigint & 4294967295)"
        " AND l.pid <> pg_catalog.pg_backend_pid()"
    )
    until = time.monotonic() + patience
    ended: set[int] = set()
    while pids := [int(pid) for (pid,) in session.rows(holders)]:
        if time.monotonic() > until:
            raise StepFailed(
                f"{session.what}: sessions of an earlier attempt do not end (backend {', '.join(map(str, pids))})",
                hint="End them with pg_terminate_backend as a superuser, then resume.",
            )
        for pid in pids:
            ended.add(pid)
            session.rows("SELECT pg_catalog.pg_terminate_backend($1::int)", [pid])
        time.sleep(0.05)
    return len(ended)


class Hand:
    """One thread's sessions, opened when they are needed and anew after they were lost."""

    def __init__(self, sessions: Sessions, replication: str, purpose: str, stopping: threading.Event) -> None:
        self._sessions = sessions
        self._replication = replication
        self._purpose = purpose
        self._open: dict[str, Session] = {}
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self.stopping = stopping

    def session(self, database: str) -> Session:
        """This hand's session with a database."""
        known = self._open.get(database)
        if known is not None:
            return known
        opened = self._stack.enter_context(self._sessions.open(database, purpose=self._purpose, timeout=15.0))
        opened.rows(
            "SELECT pg_catalog.pg_advisory_lock_shared($1::int, $2::int)",
            [HANDS, lock_number(self._replication)],
        )
        if opened.version >= 14:
            # A hand that was killed in the middle of an index would else hold its locks until the index is there.
            opened.execute("SET client_connection_check_interval = '2s'")
        with self._lock:
            self._open[database] = opened
        return opened

    def cancel(self) -> None:
        """End what the server does for this hand at the moment. Any thread may call it."""
        with self._lock:
            for each in self._open.values():
                each.cancel()

    def close(self) -> None:
        with self._lock:
            self._open.clear()
        stack, self._stack = self._stack, ExitStack()
        stack.close()

    def undo(self) -> None:
        """Roll back wherever a transaction is open."""
        for each in self._open.values():
            each.rollback()


class _Stopped(Exception):
    """The crew was told to stop; not an error of the hand's."""


def work(
    sessions: Sessions,
    replication: str,
    purpose: str,
    piece: Callable[[Hand], bool],
    *,
    hands: int,
    check: Callable[[], None] = nothing,
    patience: float = PATIENCE,
) -> None:
    """Let ``hands`` threads call ``piece`` until it says False, which means that nothing is left to take.

    ``piece`` does its work in transactions of its own; where it raises, they are rolled back. Lost connections and passing
    refusals (deadlock, lock timeout) are tried again, with pauses, for ``patience`` seconds after the last piece that this hand
    finished. ``check`` is called in the calling thread, a few times a second; where it raises, all hands stop, what they were at
    is undone, and the error goes on to the caller.

    Raises:
        SqlFailed, Unreachable, StepFailed: what a piece raised; the other hands were stopped.
    """
    stopping = threading.Event()
    errors: list[BaseException] = []
    crew = [Hand(sessions, replication, purpose, stopping) for _ in range(max(1, hands))]
    threads = [
        threading.Thread(
            target=_one, args=(hand, piece, patience, errors), name=f"{purpose} {number}", daemon=True
        )
        for number, hand in enumerate(crew, start=1)
    ]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            check()
            if errors:
                break
            for thread in threads:
                if thread.is_alive():
                    thread.join(_GLANCE)
                    break
    finally:
        # Where all went well nobody is alive any more; else every statement that is under way is ended.
        stopping.set()
        until = time.monotonic() + _ENDING
        # A server that stands still heeds no cancelling; its hands end with this process.
        while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
            for hand, thread in zip(crew, threads, strict=True):
                if thread.is_alive():
                    hand.cancel()
                    thread.join(0.5)
    if errors:
        raise errors[0]


def _one(hand: Hand, piece: Callable[[Hand], bool], patience: float, errors: list[BaseException]) -> None:
    try:
        _keep_on(hand, piece, patience)
    except _Stopped:
        return
    except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that waits raises it
        if not hand.stopping.is_set():
            errors.append(error)
    finally:
        hand.close()


def _keep_on(hand: Hand, piece: Callable[[Hand], bool], patience: float) -> None:
    until, pause = time.monotonic() + patience, _FIRST_PAUSE
    while not hand.stopping.is_set():
        try:
            more = piece(hand)
        except Unreachable:
            hand.close()
            if time.monotonic() > until:
                raise
        except SqlFailed as error:
            hand.undo()
            if error.sqlstate not in _PASSING or time.monotonic() > until:
                raise
            if error.sqlstate.startswith("57P"):
                hand.close()
        except BaseException:
            hand.undo()
            raise
        else:
            if not more:
                return
            until, pause = time.monotonic() + patience, _FIRST_PAUSE
            continue
        if hand.stopping.wait(pause):
            raise _Stopped
        pause = min(pause * 2, _LONGEST_PAUSE)
