"""Backups of databases: files that the server's own tools write, each with a manifest beside it that says what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes

Told = Callable[[int], None]
"""Called with the bytes that are written so far, now and then; what it raises ends the work, and goes on to the caller."""


@frozen
class Dump:
    """One backup. ``name`` is its file's without the folder; ``rows`` has the tables that were counted in its own snapshot."""

    name: str
    database: str
    at: datetime
    bytes: int
    sha256: str
    server: str
    """The server's version and the tool's, for people."""
    by: str
    """The week and the run that it was made for."""
    rows: Mapping[str, int]


class Dumps(Protocol):
    @property
    def folder(self) -> str:
        """Where the files lie."""
        ...

    def known(self) -> list[Dump]:
        """Every backup that has a manifest which can be read, oldest first."""
        ...

    def free(self) -> int:
        """Bytes that are free where the files lie. Raises `StepFailed` where that cannot be found out."""
        ...

    def size(self, database: str, *, timeout: float) -> int:
        """Bytes that the database has on its server. Raises `Unreachable`."""
        ...

    def fits(self, database: str, *, timeout: float) -> str:
        """Which tool would be taken. Raises `StepFailed` where none on this machine can read that server, `Unreachable`."""
        ...

    @changes
    def dump(self, database: str, *, by: str, counted: bool, timeout: float, told: Told) -> Dump:
        """Write a backup: in full and under its name, or not at all.

        Args:
            counted: count the rows of every table, in the very snapshot that is written.

        Raises:
            StepFailed: no tool fits the server, or it failed.
            Unreachable: the database could not be asked.
        """
        ...

    def examine(self, dump: Dump, *, timeout: float) -> list[str]:
        """See that the file is what was written, and that the tool can read it: the tables whose rows it holds.

        Raises:
            StepFailed: it is gone, of another size or content, cannot be read, or lacks a table that was counted.
        """
        ...

    @changes
    def try_out(self, dump: Dump, *, through: str, timeout: float, told: Told) -> dict[str, int]:
        """Restore it into a new database on the server of ``through``, count the rows of each table, and drop that database.

        Raises:
            StepFailed: it could not be restored.
            Unreachable, SqlFailed: the database could not be made or asked.
        """
        ...

    @changes
    def restore(self, dump: Dump, *, timeout: float, told: Told) -> None:
        """Put its objects back into its database in place of those that are there, in one transaction.

        Raises:
            StepFailed: it failed; nothing was changed.
        """
        ...

    @changes
    def remove(self, dump: Dump) -> None:
        """Delete its file and its manifest."""
        ...
