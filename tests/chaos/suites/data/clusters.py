"""PostgreSQL clusters whose files are kept as they were at the beginning, so that each case begins there in no time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.chaos.suite import Wrong
from tracseq_migrate.errors import TracseqMigrateError
from tracseq_migrate.sandbox import postgres

READY = 60.0
_ROLE = "mover"


class Kept:
    """One cluster with one database, which a role owns that is no superuser; and a copy of its files to go back to."""

    def __init__(self, folder: Path, bin_folder: Path, database: str) -> None:
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        installation = postgres.find_installation({**os.environ, postgres.BIN_VARIABLE: str(bin_folder)})
        self._folder = folder
        self._cluster = postgres.Cluster(installation, folder / "data", port)
        self._process: subprocess.Popen[bytes] | None = None
        passwords = postgres.new_password(), postgres.new_password()
        self._cluster.create(passwords[0])
        self.database = database
        self.version = postgres.server_version(bin_folder)
        self.superuser = self._cluster.dsn(database, user=postgres.SUPERUSER, password=passwords[0])
        self.dsn = self._cluster.dsn(database, user=_ROLE, password=passwords[1])
        with (self._cluster.data / "sandbox.conf").open("a", encoding="utf-8") as settings:
            # Processes die here, and never the machine.
            settings.write("fsync = off\n")
        self.start(database="postgres")
        with psycopg.connect(self.superuser, dbname="postgres", autocommit=True) as connection:
            name, role = sql.Identifier(database), sql.Identifier(_ROLE)
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(passwords[1]))
            )
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(name, role))
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(role))

    @contextmanager
    def writer(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection of the owner's, as a service has it, that commits each statement."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as connection:
            yield connection

    @contextmanager
    def looking(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection of the superuser's."""
        with psycopg.connect(
            self.superuser, autocommit=True, connect_timeout=5, application_name="chaos"
        ) as connection:
            yield connection

    def keep(self) -> None:
        """Stop it, and keep its files as what `again` goes back to."""
        with self.looking() as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        self.stop()
        self._copy(self._cluster.data, self._folder / "kept")

    def again(self) -> None:
        """Run it with the files as they were kept, whatever has become of it."""
        self.stop()
        shutil.rmtree(self._cluster.data, ignore_errors=True)
        self._copy(self._folder / "kept", self._cluster.data)
        self.start()

    @staticmethod
    def _copy(whence: Path, to: Path) -> None:
        subprocess.run(["cp", "-a", "--reflink=auto", str(whence), str(to)], check=True, timeout=120)

    def start(self, *, database: str = "") -> None:
        """Run it, and return when it takes connections: after a death it has recovered by then."""
        dsn = psycopg.conninfo.make_conninfo(self.superuser, **({"dbname": database} if database else {}))
        deadline = time.monotonic() + READY
        while True:
            with (self._folder / "postgres.log").open("ab") as log:
                # Out of the group of processes that a Ctrl-C reaches: its end is this object's to choose.
                self._process = subprocess.Popen(
                    self._cluster.command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    start_new_session=True,
                )
            while self._process.poll() is None and time.monotonic() < deadline:
                with suppress(TracseqMigrateError):
                    self._cluster.wait_ready(dsn, timeout=0.5)
                    return
            if time.monotonic() >= deadline:
                raise Wrong(f"{self.database} does not start again; see {self._folder / 'postgres.log'}")
            time.sleep(0.1)  # what is left of the one before has not let go of its memory yet

    def kill(self) -> None:
        """SIGKILL, for the postmaster and then for each of its processes, as the kernel does it when memory is short."""
        assert self._process is not None
        children = _children(self._process.pid)
        self._process.kill()
        self._process.wait()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order, where it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        segment = self._cluster.shared_memory()
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
        if segment is not None:
            postgres.remove_shared_memory(segment)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text("utf-8").rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found
