"""When a copy has to wait: a question is asked of a database now and then, and a number above the limit holds the hands up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed, Unreachable

ACTIVE = (
    "SELECT count(*) FROM pg_catalog.pg_stat_activity"
    " WHERE state = 'active' AND backend_type = 'client backend' AND application_name NOT LIKE 'tracseq-migrate:%'"
)
"""How many statements of others run at the moment, on the whole server: the load that people make."""
STANDBY_LAG = (
    "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0) FROM pg_catalog.pg_stat_replication"
    " WHERE application_name NOT LIKE 'tracseq-migrate:%'"
)
"""How many seconds the slowest standby is behind. It needs the rights of `pg_monitor` to see other roles' connections."""

_EVERY = 1.0
_WAIT = 1.0


@contextmanager
def throttled(
    sessions: Sessions, database: str, query: str, at_most: float, *, every: float = _EVERY
) -> Iterator[Callable[[], float]]:
    """A throttle for `copy`, with a session of its own, good within the block.

    Args:
        query: answers one number; it runs in a read-only transaction.
        at_most: above it no chunk is begun.
        every: seconds for which an answer counts.

    Yields:
        What `copy` asks before each chunk, from any thread. Where the database cannot be asked, nobody goes on: to go on would be
        to take no answer for a good one.

    Raises:
        SqlFailed: the query is wrong; `Unreachable`: the database is away. Both only here, at the beginning.
    """
    with sessions.open(database, purpose="throttle", timeout=15.0, patience=10.0) as session:
        gauge = _Gauge(session, query, at_most, every)
        gauge.ask()
        yield gauge


class _Gauge:
    def __init__(self, session: Session, query: str, at_most: float, every: float) -> None:
        self._session = session
        self._query = query
        self._at_most = at_most
        self._every = every
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._value = 0.0

    def ask(self) -> None:
        self._session.begin("READ COMMITTED", read_only=True)
        try:
            rows = self._session.rows(self._query)
        finally:
            self._session.rollback()
        if len(rows) != 1 or len(rows[0]) != 1 or rows[0][0] is None:
            raise SqlFailed(self._session.what, "22000", "the query of a throttle must answer one number")
        self._value = float(rows[0][0])
        self._asked = time.monotonic()

    def __call__(self) -> float:
        with self._lock:
            if time.monotonic() - self._asked >= self._every:
                try:
                    self.ask()
                except (SqlFailed, Unreachable):
                    return _WAIT
            return _WAIT if self._value > self._at_most else 0.0
