"""Clones of databases, for rehearsals: made on the server of the original under a scratch name, and dropped again.

An original is read, and nothing else; what is made is written down before it is there, and bears a mark, so that whatever became
of the process that made it, the next one finds it, and nobody's own database is ever taken for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes
from tracseq_migrate.ports.sql import Sessions

How = Literal["template", "dump"]
"""A copy of the server's own, or a dump that is restored."""


@frozen
class Source:
    """A database that is to be cloned. ``database`` is its name in the environment, ``name`` the one on its server."""

    database: str
    name: str
    role: str
    """The role of its connection string, as which the clone is used."""
    bytes: int
    others: int
    """Sessions of others that are connected at the moment."""
    through: str
    """The environment's database by whose connection the clone is made; empty where none may."""
    may: str
    """Why none may, and what to grant; empty where one may."""
    superuser: bool
    """Whether that connection's role is one: then owners and grants come along in a dump."""
    reaches: tuple[str, ...]
    """What in it could reach outside of its database when a row is written: extensions and foreign servers."""


@frozen
class Scratch:
    """A database that a rehearsal has made, or was about to."""

    name: str
    database: str
    through: str
    week: str
    at: str
    """RFC 3339, UTC."""


@frozen
class Clone:
    scratch: Scratch
    how: How
    bytes: int
    seconds: float
    note: str = ""
    """What differs from the original, for people."""


class Clones(Protocol):
    def alone(self) -> AbstractContextManager[None]:
        """One rehearsal at a time, of this state's. Raises `Locked` where another goes on."""
        ...

    def look(self, database: str, *, through: str, timeout: float) -> Source:
        """What cloning this database would take.

        Args:
            through: by whose connection; empty: the first that may, its own before others of the same server.

        Raises:
            Unreachable: neither it nor its server could be asked.
            SqlFailed: its server refused a question.
        """
        ...

    def free(self) -> int:
        """Bytes free where a dump would lie for the time being. Raises `StepFailed`."""
        ...

    @changes
    def make(
        self,
        source: Source,
        *,
        how: How | Literal["auto"],
        week: str,
        timeout: float,
        told: Callable[[int], None],
    ) -> Clone:
        """Write the scratch name down, make the database, mark it, and fill it.

        Args:
            how: ``auto`` is the server's own copy where the database is small and nobody is connected to it, since nobody can
                connect while that goes on; else a dump.
            told: called with the bytes of the dump so far; what it raises ends the work.

        Raises:
            SqlFailed, StepFailed, Unreachable: it could not be made. What is there of it is written down.
        """
        ...

    def left(self) -> Sequence[Scratch]:
        """Every scratch database that is written down here: of this rehearsal, or of one that was killed."""
        ...

    @changes
    def drop(self, scratch: Scratch, *, timeout: float) -> bool:
        """Drop it, end its sessions first, and strike it off; false where it was not there any more.

        Raises:
            StepFailed: the database of this name bears no mark of ours, or somebody else's: it is left alone.
            SqlFailed, Unreachable: it could not be dropped; it stays written down.
        """
        ...

    def sessions(self, clones: Sequence[Clone]) -> Sessions:
        """Sessions with the clones, under the names of their originals, and with nothing else."""
        ...
