"""`Founding` on PostgreSQL. Importing this module is slow (psycopg); `PostgresFounding` imports what it needs when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.ports.founding import Foundation
from tracseq_migrate.ports.mark import Unreachable
from tracseq_migrate.replication.names import literal, quoted

if TYPE_CHECKING:
    from tracseq_migrate.ports.sql import Session


class PostgresFounding:
    """`Founding` by the connection strings of an environment."""

    def __init__(self, dsns: Mapping[str, str]) -> None:
        self._dsns = dict(dsns)
        self._sessions = PostgresSessions(dsns)

    def look(self, database: str, *, through: str, timeout: float) -> Foundation:
        name, role, _ = self._wanted(database)
        with self._sessions.open(through, purpose="look", timeout=timeout, patience=timeout) as session:
            return _seen(session, name, role)

    def found(self, database: str, *, through: str, timeout: float) -> Foundation:
        name, role, password = self._wanted(database)
        with self._sessions.open(through, purpose="create", timeout=timeout, patience=timeout) as session:
            before = _seen(session, name, role)
            if not before.role_there:
                session.execute(
                    f"CREATE ROLE {quoted(role)} LOGIN PASSWORD {literal(_verifier(session, role, password))}"
                )
            if not before.name_there:
                member = _member(session, role)
                if not member:
                    session.execute(f"GRANT {quoted(role)} TO CURRENT_USER")
                session.execute(f"CREATE DATABASE {quoted(name)} OWNER {quoted(role)} TEMPLATE template0")
                session.execute(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC")
                if not member:
                    session.execute(f"REVOKE {quoted(role)} FROM CURRENT_USER")
            return before

    def remove(self, database: str, *, through: str, name: bool, role: bool, timeout: float) -> None:
        here, owner, _ = self._wanted(database)
        with self._sessions.open(through, purpose="drop", timeout=timeout, patience=timeout) as session:
            there = _seen(session, here, owner)
            if name and there.name_there:
                member = _member(session, owner)
                if not member:
                    session.execute(f"GRANT {quoted(owner)} TO CURRENT_USER")
                session.execute(f"DROP DATABASE {quoted(here)}")
                if not member and not role:
                    session.execute(f"REVOKE {quoted(owner)} FROM CURRENT_USER")
            if role and there.role_there:
                session.execute(f"DROP ROLE {quoted(owner)}")

    def _wanted(self, database: str) -> tuple[str, str, str]:
        """Name, role and password of a database's own connection string."""
        from tracseq_migrate.adapters.postgres.connecting import parsed

        if database not in self._dsns:
            raise Unreachable(f"database {database}", "the environment has none of this name")
        target = parsed(database, self._dsns[database])
        found: dict[str, Any] = target.parameters
        if not found.get("dbname") or not found.get("user"):
            raise Unreachable(target.what, "its connection string names no database and role to be made")
        return str(found["dbname"]), str(found["user"]), str(found.get("password") or "")


def _seen(session: Session, name: str, role: str) -> Foundation:
    ((name_there, role_there, makes_databases, makes_roles, superuser),) = session.rows(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1),"
        " EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $2), r.rolcreatedb, r.rolcreaterole, r.rolsuper"
        " FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
        [name, role],
    )
    may = ""
    if not superuser and not name_there and not makes_databases:
        may = "its role may not make databases (CREATEDB)"
    elif not superuser and not role_there and not makes_roles:
        may = "its role may not make roles (CREATEROLE)"
    return Foundation(name, role, bool(name_there), bool(role_there), may)


def _member(session: Session, role: str) -> bool:
    """Whether the administrator can act as this role already."""
    # Since 16 whoever made a role is a member of it who may hand it on, but not act as it.
    right = "SET" if session.version >= 16 else "MEMBER"
    ((member,),) = session.rows("SELECT pg_catalog.pg_has_role(current_user, $1, $2)", [role, right])
    return bool(member)


def _verifier(session: Session, role: str, password: str) -> str:
    """What the server keeps of a password. The password itself would stand in its log."""
    from tracseq_migrate.adapters.postgres.session import PostgresSession

    if not isinstance(session, PostgresSession):
        raise TypeError("a password is made ready by the driver's own connection")
    return session.verifier(role, password)
