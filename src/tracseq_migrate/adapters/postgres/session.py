"""One session with PostgreSQL, whose caller decides about transactions. Importing this module is slow (psycopg)."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import generators, pq
from psycopg import sql as composing

from tracseq_migrate.adapters.postgres.connecting import PINNED, Target, parsed
from tracseq_migrate.ports.mark import Unreachable
from tracseq_migrate.ports.sql import Block, Isolation, SqlFailed

_OLDEST = 13
_BLOCK = 256 * 1024
_GRACE = 1.0
_IDLE, _ACTIVE = pq.TransactionStatus.IDLE, pq.TransactionStatus.ACTIVE

# Beside what makes the text of a value depend on the value alone: whatever a role or a database was given as its own default
# must not end our waiting, hide an object, or change what a statement means.
_OURS: tuple[tuple[LiteralString, LiteralString, int], ...] = (
    ("search_path", "pg_catalog", 0),
    ("standard_conforming_strings", "on", 0),
    ("lc_numeric", "C", 0),
    ("lc_time", "C", 0),
    ("transform_null_equals", "off", 0),
    ("array_nulls", "on", 0),
    ("xmlbinary", "base64", 0),
    ("quote_all_identifiers", "off", 0),
    ("client_min_messages", "warning", 0),
    ("default_transaction_isolation", "read committed", 0),
    ("default_transaction_read_only", "off", 0),
    ("default_transaction_deferrable", "off", 0),
    ("statement_timeout", "0", 0),
    ("lock_timeout", "0", 0),
    ("idle_in_transaction_session_timeout", "0", 0),
    ("idle_session_timeout", "0", 14),
    ("transaction_timeout", "0", 17),
)


@contextmanager
def opened(
    database: str, dsn: str, *, purpose: str, timeout: float, patience: float | None
) -> Iterator[PostgresSession]:
    """A session, closed at the end of the block. As `Sessions.open`."""
    until = time.monotonic() + timeout
    target = parsed(database, dsn)
    whole = target.conninfo(until, application_name=f"tracseq-migrate: {purpose}"[:63])
    try:
        connection = psycopg.Connection.connect(
            whole, autocommit=True, prepare_threshold=None, cursor_factory=psycopg.RawCursor
        )
    except psycopg.Error as error:
        raise Unreachable(target.what, target.reason(error), refused=_refused(error)) from None
    session = PostgresSession(connection, target, database, patience)
    try:
        session.settle(max(until - time.monotonic(), 0.1))
        yield session
    finally:
        session.close()


def _refused(error: psycopg.Error) -> bool:
    return error.sqlstate is None and "Connection refused" in str(error)


class _Watch:
    """Ends what takes too long, whatever the server does: a stopped server heeds no statement_timeout.

    First the server is asked to end the statement, so that it does not go on without anybody waiting for it; then the
    connection is cut.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.fired = False
        self._connection = connection
        self._changed = threading.Condition()
        self._until: float | None = None
        self._sleeps_until = 0.0
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._closed = False

    def arm(self, seconds: float | None) -> None:
        """Allow this many seconds from now on; None: any."""
        if seconds is None:
            self._until = None
            return
        with self._changed:
            self._until = time.monotonic() + max(seconds, 0.0)
            if self._thread is None:
                self._socket = socket.socket(fileno=os.dup(self._connection.fileno()))
                self._thread = threading.Thread(target=self._run, name="session-watch", daemon=True)
                self._thread.start()
            elif self._until < self._sleeps_until:
                self._changed.notify()

    def disarm(self) -> None:
        if self._until is not None:
            with self._changed:
                self._until = None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if self._until is None:
                    self._sleeps_until = float("inf")
                    self._changed.wait()
                elif now < self._until:
                    self._sleeps_until = self._until
                    self._changed.wait(self._until - now)
                else:
                    self.fired = True
                    break
        if not self.fired:
            return
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.cancel_safe(timeout=_GRACE)
        with self._changed:
            if not self._closed and self._until is not None:
                self._changed.wait(_GRACE)
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class PostgresSession:
    """`Session` over one psycopg connection in autocommit mode: transactions are begun and ended by statements."""

    def __init__(
        self,
        connection: psycopg.Connection[tuple[Any, ...]],
        target: Target,
        database: str,
        patience: float | None,
    ) -> None:
        self._connection = connection
        self._target = target
        self._database = database
        self._patience = patience
        self._watch = _Watch(connection)
        self._version = connection.info.server_version // 10_000
        self._backend_pid = connection.info.backend_pid
        self._streams = 0

    def settle(self, timeout: float) -> None:
        """Pin the settings, and see that this is the server itself, of a version that is known."""
        if self._version < _OLDEST:
            raise Unreachable(
                self.what,
                f"it is PostgreSQL {self._version}; the oldest that can be worked with is {_OLDEST}",
            )
        wanted = [*PINNED, *((name, value) for name, value, since in _OURS if self._version >= since)]
        pinned = composing.SQL("; ").join(
            composing.SQL("SET {} = {}").format(
                composing.Identifier(name),
                composing.Literal(value),
            )
            for name, value in wanted
        )
        try:
            self.execute(pinned.as_string(self._connection), timeout=timeout)
            [(pid,)] = self.rows("SELECT pg_catalog.pg_backend_pid()", timeout=timeout)
        except SqlFailed as error:
            raise Unreachable(self.what, str(error)) from None
        if pid != self._backend_pid:
            raise Unreachable(
                self.what,
                "a connection pooler stands in between; the connection string must name the server itself",
            )

    @property
    def what(self) -> str:
        return self._target.what

    @property
    def database(self) -> str:
        return self._database

    @property
    def version(self) -> int:
        return self._version

    @property
    def backend_pid(self) -> int:
        return self._backend_pid

    @property
    def in_transaction(self) -> bool:
        return self._connection.info.transaction_status not in (_IDLE, pq.TransactionStatus.UNKNOWN)

    def verifier(self, role: str, password: str) -> str:
        """What the server would keep of a role's password."""
        made = self._connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        return made.decode()

    def rows(
        self, sql: str, parameters: Sequence[object] = (), *, timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        with self._asking(timeout), self._connection.cursor() as cursor:
            cursor.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description is not None else []

    def stream(
        self, sql: str, parameters: Sequence[object] = (), *, batch: int = 2_000
    ) -> Iterator[tuple[Any, ...]]:
        if not self.in_transaction:
            raise ValueError("a stream needs an open transaction")
        self._streams += 1
        cursor = psycopg.RawServerCursor(self._connection, f"tracseq_migrate_{self._streams}")
        try:
            with self._asking(None):
                cursor.execute(sql.encode(), parameters or None)
            while True:
                with self._asking(None):
                    rows = cursor.fetchmany(batch)
                yield from rows
                if len(rows) < batch:
                    return
        finally:
            # In a failed transaction, or on a lost connection, this says nothing to the server, which would not hear it.
            with self._asking(None):
                cursor.close()

    def begin(self, isolation: Isolation = "READ COMMITTED", *, read_only: bool = False) -> None:
        if self.in_transaction:
            raise ValueError("a transaction is open already")
        self.execute(f"BEGIN ISOLATION LEVEL {isolation} READ {'ONLY' if read_only else 'WRITE'}")

    def commit(self) -> None:
        if not self.in_transaction:
            raise ValueError("no transaction is open")
        failed = self._connection.info.transaction_status is pq.TransactionStatus.INERROR
        with self._asking(None, sent=True), self._connection.cursor() as cursor:
            cursor.execute(b"COMMIT")
        if failed:
            # The server answers ROLLBACK to such a COMMIT, without an error.
            raise SqlFailed(
                self.what, "25P02", "the transaction had failed, and was undone instead of committed"
            )

    def rollback(self) -> None:
        if self._connection.closed or not self.in_transaction:
            return
        try:
            with self._asking(None), self._connection.cursor() as cursor:
                cursor.execute(b"ROLLBACK")
        except (SqlFailed, Unreachable):
            self._connection.close()  # the server undoes what a lost connection left open

    def execute(self, sql: str, parameters: Sequence[object] = (), *, timeout: float | None = None) -> int:
        # Outside of a transaction a statement may have come about though no answer came.
        with self._asking(timeout, sent=not self.in_transaction), self._connection.cursor() as cursor:
            cursor.execute(sql.encode(), parameters or None)
            while cursor.nextset():
                pass
            return max(cursor.rowcount, 0)

    @contextmanager
    def copy_out(self, sql: str) -> Iterator[Iterator[Block]]:
        with self._asking(None):
            cursor = self._connection.cursor()
            copying = cursor.copy(sql.encode())
            copy = copying.__enter__()
        blocks = self._blocks(copy)
        try:
            yield blocks
        finally:
            blocks.close()
            if self._connection.info.transaction_status is _ACTIVE:
                self.cancel()
                with contextlib.suppress(SqlFailed, Unreachable):
                    for _ in self._blocks(copy):
                        pass
            with contextlib.suppress(psycopg.Error):
                copying.__exit__(None, None, None)
            cursor.close()

    def _blocks(self, copy: psycopg.Copy) -> Generator[Block, None, None]:
        """What the server sends, row by row, put together: a block a row would cost more than the row."""
        connection = self._connection
        pgconn = connection.pgconn
        parts: list[Block] = []
        size = 0
        with self._asking(None):
            while True:
                self._watch.arm(self._patience)
                length, data = pgconn.get_copy_data(1)
                while length > 0:
                    parts.append(data)
                    size += length
                    if size >= _BLOCK:
                        self._watch.disarm()
                        yield b"".join(parts)
                        parts, size = [], 0
                        self._watch.arm(self._patience)
                    length, data = pgconn.get_copy_data(1)
                if length < 0:
                    break
                waited = copy.read()
                if not waited:
                    self._watch.disarm()
                    if parts:
                        yield b"".join(parts)
                    return
                parts.append(waited)
                size += len(waited)
            self._watch.disarm()
            if length == -2:
                raise psycopg.OperationalError(pgconn.get_error_message())
            if parts:
                yield b"".join(parts)
            self._watch.arm(self._patience)
            results = connection.wait(generators.fetch_many(pgconn))
            for result in results:
                if result.status != pq.ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(result)

    def copy_in(self, sql: str, blocks: Iterable[Block]) -> int:
        with self._asking(None, sent=not self.in_transaction), self._connection.cursor() as cursor:
            with cursor.copy(sql.encode()) as copy:
                source = iter(blocks)
                while True:
                    self._watch.disarm()
                    block = next(source, None)
                    self._watch.arm(self._patience)
                    if block is None:
                        break
                    copy.write(block)
            return max(cursor.rowcount, 0)

    def cancel(self) -> None:
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.cancel_safe(timeout=5.0)

    def close(self) -> None:
        self._watch.close()
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.close()

    @contextmanager
    def _asking(self, timeout: float | None, *, sent: bool = False) -> Iterator[None]:
        """Bound what happens inside in time, and tell its errors in the port's words."""
        limit = self._patience if timeout is None else timeout
        if limit is not None:
            self._watch.arm(limit)
        try:
            yield
        except psycopg.Error as error:
            raise self._told(error, limit, sent=sent) from None
        finally:
            if limit is not None:
                self._watch.disarm()
        if self._watch.fired:
            self._connection.close()
            raise Unreachable(self.what, f"it was not answered within {limit:g} s", sent=sent)

    def _told(self, error: psycopg.Error, limit: float | None, *, sent: bool) -> Exception:
        if self._watch.fired:
            self._connection.close()
            return Unreachable(self.what, f"it was not answered within {limit or 0:g} s", sent=sent)
        clean, diag = self._target.clean, error.diag
        if self._connection.closed or diag.severity_nonlocalized in ("FATAL", "PANIC"):
            self._connection.close()
            return Unreachable(self.what, self._target.reason(error), sent=sent)
        # Without a state it is the driver that refused: a value that it cannot read or write.
        return SqlFailed(
            self.what,
            error.sqlstate or "22000",
            clean(diag.message_primary or str(error)),
            detail=clean(diag.message_detail or ""),
            hint=clean(diag.message_hint or ""),
            schema=clean(diag.schema_name or ""),
            table=clean(diag.table_name or ""),
            column=clean(diag.column_name or ""),
            constraint=clean(diag.constraint_name or ""),
        )
