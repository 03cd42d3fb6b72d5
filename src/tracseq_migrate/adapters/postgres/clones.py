"""`Clones` on PostgreSQL: scratch databases on the server of the original, written down before they are made."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tracseq_migrate.adapters import durable
from tracseq_migrate.adapters.postgres.dumps import PostgresDumps
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.errors import Locked, Residue, StepFailed
from tracseq_migrate.ports import Commands, SqlFailed, Unreachable
from tracseq_migrate.ports.clones import Clone, How, Scratch, Source
from tracseq_migrate.ports.sql import Session, Sessions
from tracseq_migrate.replication.names import literal, quoted

MARK = "tracseq-migrate rehearsal"
"""How the comment of every scratch database begins."""
_PREFIX = "tracseq_migrate_rehearsal_"
_RECORD = "scratch.json"
_CONNECT = 15.0
_SMALL = 1 << 30
"""Bytes up to which the server's own copy is taken: while it copies, nobody can connect to the original."""
_STALL = "20s"
_IN_USE, _TIMED_OUT = "55006", "57014"

_ABOUT = """
SELECT d.datname::text, current_user::text, pg_catalog.pg_database_size(d.oid),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity s WHERE s.datid = d.oid AND s.pid <> pg_catalog.pg_backend_pid()),
       pg_catalog.pg_postmaster_start_time()::text,
       ARRAY(SELECT e.extname::text FROM pg_catalog.pg_extension e WHERE e.extname = ANY
             ('{dblink,postgres_fdw,file_fdw,mysql_fdw,oracle_fdw,tds_fdw,http,pg_net,plperlu,plpython3u,pltclu}'::name[])
             UNION SELECT 'server ' || f.srvname FROM pg_catalog.pg_foreign_server f ORDER BY 1)
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
_MAY = """
SELECT r.rolsuper, r.rolcreatedb, pg_catalog.pg_has_role(current_user, $1::name, 'MEMBER'),
       pg_catalog.pg_postmaster_start_time()::text
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)
"""


class PostgresClones:
    """Args:
    dsns: the environment's connection strings, by name.
    folder: of this state's rehearsals; made with the first one, for this user alone.
    commands: runs pg_dump and pg_restore.
    """

    def __init__(self, dsns: Mapping[str, str], folder: Path, commands: Commands) -> None:
        self._dsns = dict(dsns)
        self._folder = folder
        self._sessions = PostgresSessions(dsns)
        self._dumps = PostgresDumps(dsns, folder / "dumps", commands)

    @contextmanager
    def alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with durable.exclusively(self._folder, patience=0.5):
                yield
        except TimeoutError as error:
            raise Locked(
                "another rehearsal of this environment goes on", hint="Wait for its end; then again."
            ) from error

    def look(self, database: str, *, through: str, timeout: float) -> Source:
        with self._open(database, timeout) as session:
            ((name, role, size, others, server, reaches),) = session.rows(_ABOUT)
        found, superuser, why = "", False, ""
        # Its own role first: what is made by it is dropped by it, and nobody else has to be asked.
        for each in (through,) if through else dict.fromkeys((database, *self._dsns)):
            with suppress(Unreachable, SqlFailed), self._open(each, timeout) as session:
                rows = session.rows(_MAY, [role])
                if rows and rows[0][3] == server and (rows[0][0] or (rows[0][1] and rows[0][2])):
                    found, superuser = each, bool(rows[0][0])
                    break
        if not found:
            asked = f"the role of {through}" if through else f"role {role}"
            why = (
                f"{asked} may not make a clone of {database} on its server: it takes CREATEDB and membership in {role},"
                " or a superuser, on the same server"
            )
        return Source(
            database,
            str(name),
            str(role),
            int(size),
            int(others),
            found,
            why,
            superuser,
            tuple(map(str, reaches)),
        )

    def free(self) -> int:
        return self._dumps.free()

    def make(
        self,
        source: Source,
        *,
        how: How | Literal["auto"],
        week: str,
        timeout: float,
        told: Callable[[int], None],
    ) -> Clone:
        if source.may:
            raise StepFailed(
                source.may, hint=f"ALTER ROLE {quoted(source.role)} CREATEDB, or name another database."
            )
        began = datetime.now(UTC)
        name = _PREFIX + secrets.token_hex(12)
        scratch = Scratch(name, source.database, source.through, week, began.isoformat())
        self._write([*self.left(), scratch])
        with self._open(source.through, timeout) as maker:
            small = not source.others and source.bytes <= _SMALL
            taken: How = how if how != "auto" else "template" if small else "dump"
            if taken == "template":
                try:
                    self._created(maker, scratch, source, template=source.name)
                except SqlFailed as error:
                    if how == "template" or error.sqlstate not in (_IN_USE, _TIMED_OUT):
                        raise
                    taken = "dump"
            if taken == "dump":
                self._created(maker, scratch, source, template="")
                self._filled(source, name, timeout, told)
        seconds = (datetime.now(UTC) - began).total_seconds()
        note = (
            ""
            if taken == "template" or source.superuser
            else "owners and grants are not those of the original"
        )
        return Clone(scratch, taken, source.bytes, seconds, note)

    def _created(self, maker: Session, scratch: Scratch, source: Source, *, template: str) -> None:
        name = quoted(scratch.name)
        like = (
            f"TEMPLATE {quoted(template)}"
            if template
            else f"TEMPLATE template0 {_locale(maker, source.name)}"
        )
        maker.execute(f"SET statement_timeout = {literal(_STALL if template else '0')}")
        try:
            # Nobody but a superuser gets in before its rights are those of the original.
            maker.execute(f"CREATE DATABASE {name} OWNER {quoted(source.role)} {like} CONNECTION LIMIT 0")
        finally:
            maker.execute("SET statement_timeout = 0")
        comment = f"{MARK} {scratch.name}: clone of {source.name} for {scratch.week}"
        maker.execute(f"COMMENT ON DATABASE {name} IS {literal(comment)}")
        maker.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        maker.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")

    def _filled(self, source: Source, name: str, timeout: float, told: Callable[[int], None]) -> None:
        dump = self._dumps.dump(source.database, by="rehearsal", counted=False, timeout=timeout, told=told)
        try:
            # A superuser keeps owners and grants; else all of it belongs to the role that will use it.
            through = source.through if source.superuser else source.database
            self._dumps.restore_into(
                dump, name, through=through, owners=source.superuser, timeout=timeout, told=told
            )
        finally:
            self._dumps.remove(dump)

    def left(self) -> list[Scratch]:
        try:
            found: list[dict[str, Any]] = json.loads((self._folder / _RECORD).read_text("utf-8"))["databases"]
            return [Scratch(**each) for each in found]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise Residue(
                f"{self._folder / _RECORD} cannot be read, so which scratch databases there are is not known",
                hint=f"Look for databases that are called {_PREFIX}…, drop them, and remove that file.",
            ) from error

    def drop(self, scratch: Scratch, *, timeout: float) -> bool:
        with self._open(scratch.through, timeout) as session:
            rows = session.rows(
                "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $1",
                [scratch.name],
            )
            comment = str(rows[0][0] or "") if rows else ""
            # Without a comment it was made the moment before its maker was killed: the name alone says whose it is then.
            ours = (
                comment.startswith(f"{MARK} {scratch.name}:") if comment else scratch.name.startswith(_PREFIX)
            )
            if rows and not ours:
                raise StepFailed(
                    f"{scratch.name} bears another mark than a rehearsal's: it is left alone",
                    hint=f"Whoever made it knows what it is; its comment is: {comment[:100]}",
                )
            if rows:
                session.execute(f"DROP DATABASE {quoted(scratch.name)} WITH (FORCE)")
        self._write([each for each in self.left() if each != scratch])
        return bool(rows)

    def sessions(self, clones: Sequence[Clone]) -> Sessions:
        from psycopg.conninfo import make_conninfo

        return PostgresSessions(
            {
                each.scratch.database: make_conninfo(
                    self._dsns[each.scratch.database], dbname=each.scratch.name
                )
                for each in clones
            }
        )

    def _write(self, scratches: Sequence[Scratch]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = json.dumps({"version": 1, "databases": [asdict(each) for each in scratches]}, indent=2)
        durable.replace(self._folder / _RECORD, body.encode() + b"\n", mode=0o600)

    @contextmanager
    def _open(self, database: str, timeout: float) -> Iterator[Session]:
        with self._sessions.open(
            database, purpose="rehearse", timeout=min(timeout, _CONNECT), patience=timeout
        ) as session:
            yield session


def _locale(maker: Session, original: str) -> str:
    """Encoding and collation of the original, as a new database is told: another order would be another database."""
    # Servers before 15 have no such column, nor another provider than the system.
    ((encoding, collate, ctype, by),) = maker.rows(
        "SELECT pg_catalog.pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text,"
        " coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c')"
        " FROM pg_catalog.pg_database d WHERE datname = $1",
        [original],
    )
    if by != "c":
        raise StepFailed(
            f"{original} has a collation that is not the system's (provider {by}): a dump of it cannot be restored beside it",
            hint="Have nobody connected to it, so that the server copies it by itself.",
        )
    return f"ENCODING {literal(encoding)} LC_COLLATE {literal(collate)} LC_CTYPE {literal(ctype)}"
