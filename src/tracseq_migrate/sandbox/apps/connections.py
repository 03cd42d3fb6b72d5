"""Connections to an application's database: kept between requests, made anew when the database comes back."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row

from tracseq_migrate.sandbox.apps.refusals import Unavailable

Connection: TypeAlias = psycopg.AsyncConnection[DictRow]

_CONNECT_SECONDS = 3
_WAIT_SECONDS = 5.0


class Connections:
    """At most ``size`` connections, the most recently used first.

    No background task and no back-off: a connection is made when a request needs one, so the first request after the
    database is back is served. A kept connection that the server has closed meanwhile is noticed before it is used,
    without a round trip: an idle connection has nothing to read, except the end.
    """

    def __init__(self, dsn: Callable[[], str], *, name: str, size: int = 10) -> None:
        self._dsn = dsn
        self._name = name
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(size)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection whose every statement is its own transaction. Raises `Unavailable`, `psycopg.Error`."""
        try:
            await asyncio.wait_for(self._places.acquire(), _WAIT_SECONDS)
        except TimeoutError:
            raise Unavailable("all connections to the database are busy") from None
        try:
            connection = await self._take()
            try:
                yield connection
            finally:
                await self._give_back(connection)
        finally:
            self._places.release()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, committed when the block is left without an exception."""
        async with self.reading() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not _has_something_to_read(connection):
                return connection
            await connection.close()
        try:
            return await psycopg.AsyncConnection.connect(
                self._dsn(),
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=_CONNECT_SECONDS,
                application_name=f"tracseq-{self._name}",
                options="-c TimeZone=UTC -c statement_timeout=20s",
                # Tables are altered under running applications; a prepared plan would trip over that.
                prepare_threshold=None,
            )
        except psycopg.OperationalError as error:
            raise Unavailable("the database does not answer") from error

    async def _give_back(self, connection: Connection) -> None:
        if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            await connection.close()
        else:
            self._idle.append(connection)


def _has_something_to_read(connection: psycopg.AsyncConnection[Any]) -> bool:
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
