"""Databases that do not exist yet, and their owners: made by an administrator's connection, named by the environment."""

from __future__ import annotations

from typing import Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes


@frozen
class Foundation:
    """What a database's own connection string asks for, and whether it is there. No secret is in it."""

    name: str
    role: str
    name_there: bool
    role_there: bool
    may: str = ""
    """Why the administrator could not make what is missing; empty where it could."""


class Founding(Protocol):
    def look(self, database: str, *, through: str, timeout: float) -> Foundation:
        """Whether a database and its role exist.

        Args:
            database: its name in the environment file; its connection string says the name there, the role and the password.
            through: the environment's database by whose connection it is asked, an administrator's.

        Raises:
            Unreachable: the administrator's database could not be asked, or a connection string names no role or database.
        """
        ...

    @changes
    def found(self, database: str, *, through: str, timeout: float) -> Foundation:
        """Make role and database, as far as they are missing; what was there before is told. The password never travels.

        Raises:
            SqlFailed: the server refuses.
            Unreachable: as `look`; with ``sent`` where it is not known whether it came about.
        """
        ...

    @changes
    def remove(self, database: str, *, through: str, name: bool, role: bool, timeout: float) -> None:
        """Drop the database, or the role, or both, as far as they are there.

        Raises:
            SqlFailed: somebody is connected (55006), or the role still owns something (2BP01).
            Unreachable: as `found`.
        """
        ...
