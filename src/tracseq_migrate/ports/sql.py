"""Sessions with PostgreSQL: one connection each, in which the caller decides where a transaction begins and ends.

Statements use ``$1, $2, …`` for parameters, and nothing else in them is special. Names are quoted by `replication.names`.
Every session has the same pinned settings (time zone UTC, ISO dates, ``row_security = off``, ``search_path = pg_catalog`` and
so on), so that the text of a value depends on the value alone, and a name without a schema is never a user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, Protocol

from tracseq_migrate.ports.mark import Unreachable, changes

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
Block = bytes | bytearray | memoryview


class SqlFailed(Exception):
    """The server refused a statement; the transaction, where there is one, is over but for its rollback.

    ``sqlstate`` is PostgreSQL's code; the other fields are what it said about, empty where it did not. Nothing in it is a secret,
    and all of it is fit for one line of a terminal.
    """

    def __init__(
        self,
        what: str,
        sqlstate: str,
        message: str,
        *,
        detail: str = "",
        hint: str = "",
        schema: str = "",
        table: str = "",
        column: str = "",
        constraint: str = "",
    ) -> None:
        super().__init__(f"{what}: {message} (SQLSTATE {sqlstate})")
        self.what = what
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint
        self.schema = schema
        self.table = table
        self.column = column
        self.constraint = constraint


class Session(Protocol):
    """One connection. Not for several threads at once, but for `cancel`, which any thread may call.

    Every method that talks to the server raises `SqlFailed` where it refuses, and `Unreachable` where the connection is lost or
    nothing came back in time; after `Unreachable` the session is of no use any more. A ``timeout`` is in seconds; without one,
    the session's own holds. Outside of a transaction each statement is one of its own.
    """

    @property
    def what(self) -> str:
        """The database, for messages: its name here, its name there, its host."""
        ...

    @property
    def database(self) -> str:
        """Its name in the environment file."""
        ...

    @property
    def version(self) -> int:
        """The server's major version."""
        ...

    @property
    def backend_pid(self) -> int:
        """The server's process behind this connection, as `pg_stat_activity` knows it."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether one is open, failed or not."""
        ...

    def rows(
        self, sql: str, parameters: Sequence[object] = (), *, timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        """What a query answers, all at once: for what is known to be small.

        The query changes nothing outside of this session: ``SET LOCAL``, ``SET TRANSACTION SNAPSHOT`` and a lock belong here too,
        so that those who only look can have them.
        """
        ...

    def stream(
        self, sql: str, parameters: Sequence[object] = (), *, batch: int = 2_000
    ) -> Iterator[tuple[Any, ...]]:
        """What a query answers, ``batch`` rows at a time, within an open transaction: memory does not grow with it."""
        ...

    def begin(self, isolation: Isolation = "READ COMMITTED", *, read_only: bool = False) -> None:
        """Begin a transaction. Raises `ValueError` where one is open."""
        ...

    @changes
    def commit(self) -> None:
        """Commit. `Unreachable` with ``sent`` where it is not known whether it came about."""
        ...

    def rollback(self) -> None:
        """Undo; harmless where no transaction is open or the connection is lost. Never raises for the server's sake."""
        ...

    @changes
    def execute(self, sql: str, parameters: Sequence[object] = (), *, timeout: float | None = None) -> int:
        """Run a statement, or several without parameters; how many rows the last one touched."""
        ...

    def copy_out(self, sql: str) -> AbstractContextManager[Iterator[Block]]:
        """``COPY (…) TO STDOUT …``: its blocks as they come, never parsed."""
        ...

    @changes
    def copy_in(self, sql: str, blocks: Iterable[Block]) -> int:
        """``COPY … FROM STDIN …`` fed with blocks; the number of rows. An error of the one who feeds takes the whole back."""
        ...

    def cancel(self) -> None:
        """Ask the server to end the present statement (it then raises `SqlFailed` 57014). Never raises."""
        ...

    def close(self) -> None:
        """End the connection, and with it an open transaction. Never raises."""
        ...


class Sessions(Protocol):
    """Where sessions come from."""

    @property
    def names(self) -> Sequence[str]:
        """The databases of the environment."""
        ...

    def open(
        self, database: str, *, purpose: str, timeout: float, patience: float | None = None
    ) -> AbstractContextManager[Session]:
        """A session with a database, closed at the end of the block.

        Args:
            purpose: a word or two; with the program's name it is what `pg_stat_activity` shows of this connection.
            timeout: seconds within which it must be connected.
            patience: seconds that a statement may take where it names no timeout of its own; None: as long as it takes, as
                long as the other side is alive.

        Raises:
            Unreachable: it could not be connected to; never with a secret in it.
        """
        ...


@contextmanager
def transaction(
    session: Session, isolation: Isolation = "READ COMMITTED", *, read_only: bool = False
) -> Iterator[None]:
    """Begin, and commit at the end of the block; undone where it raises, and where it only read."""
    session.begin(isolation, read_only=read_only)
    try:
        yield
    except BaseException:
        session.rollback()
        raise
    if read_only:
        session.rollback()  # a commit counts as a change, which those who only look are not allowed
    else:
        session.commit()


__all__ = ["Block", "Isolation", "Session", "Sessions", "SqlFailed", "Unreachable", "transaction"]
