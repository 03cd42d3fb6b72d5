"""A laboratory for the tests of the applications: a real PostgreSQL with every database, and applications as processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg

from tracseq_migrate.sandbox.databases import DATABASES, create_all
from tracseq_migrate.sandbox.postgres import SUPERUSER, Cluster, find_installation, new_password


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, method: str, path: str, body: object = None, *, token: str = "") -> Answer:
    """One request on a fresh connection; bytes are sent as they are, everything else as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, body=sent, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())


@dataclass
class App:
    """One application: ``root`` is ``/api`` for the monolith and nothing for a service."""

    name: str
    port: int
    root: str
    fault_file: Path
    log: Path
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, body: object = None, *, token: str = "") -> Answer:
        """Ask for a path below the root: ``samples?limit=1``."""
        return ask(self.port, method, f"{self.root}/{path}", body, token=token)

    def health(self) -> Answer:
        return ask(self.port, "GET", "/health")

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, by its whole name with labels."""
        lines = ask(self.port, "GET", "/metrics").body.decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
        }

    def fault(self, **orders: object) -> None:
        """Order a fault; none ends it."""
        if orders:
            self.fault_file.write_text(json.dumps(orders))
        else:
            self.fault_file.unlink(missing_ok=True)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(40)


@dataclass
class Laboratory:
    """A cluster with all databases, made and filled, and the applications that a test starts."""

    folder: Path
    dsns: dict[str, str] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cluster = Cluster(find_installation(os.environ), self.folder / "data", free_port())
        self._server: subprocess.Popen[bytes] | None = None
        password = new_password()
        self.superuser = self._cluster.dsn("postgres", user=SUPERUSER, password=password)
        self._cluster.create(password)

    def __enter__(self) -> Self:
        self.start_postgres()
        passwords = {name: new_password() for name in DATABASES.values()}
        self._cluster.create_databases(self.superuser, passwords)
        for name, stored in DATABASES.items():
            self.dsns[name] = self._cluster.dsn(stored, user=stored, password=passwords[stored])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for app in self.apps.values():
            app.process.kill()
            app.process.wait()
        self.stop_postgres()

    def start_postgres(self) -> None:
        with (self.folder / "postgres.log").open("ab") as log:
            self._server = subprocess.Popen(
                self._cluster.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        self._cluster.wait_ready(self.superuser, timeout=60)

    def stop_postgres(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(60)
            self._server = None

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Every process of the server stands still: connections are taken, nothing is answered."""
        assert self._server is not None
        server = psutil.Process(self._server.pid)
        stopped = [server, *server.children(recursive=True)]
        try:
            for process in stopped:
                process.suspend()
            yield
        finally:
            for process in stopped:
                process.resume()

    def fill(self, *, seed: int = 7, users: int = 20) -> None:
        create_all(self.dsns.__getitem__, seed=seed, users=users)

    def start(self, name: str) -> App:
        """Start the monolith or a service, or give the one that runs; healthy when this returns."""
        if name in self.apps and self.apps[name].process.poll() is None:
            return self.apps[name]
        module, arguments, database = (
            ("monolith", [], "main") if name == "monolith" else ("service", [name], name)
        )
        dsn_file, fault_file = self.folder / f"{name}.dsn", self.folder / f"{name}.fault"
        dsn_file.write_text(self.dsns[database] + "\n")
        port, log = free_port(), self.folder / f"{name}.log"
        command = [sys.executable, "-m", f"tracseq_migrate.sandbox.apps.{module}", *arguments]
        command += ["--port", str(port), "--dsn-file", str(dsn_file), "--fault-file", str(fault_file)]
        with log.open("ab") as written:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=written)
        app = App(name, port, "/api" if name == "monolith" else "", fault_file, log, process)
        self.apps[name] = app
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if app.health().status == 200:
                    return app
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def sql(self, name: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement as the owner of a database and commit it; the rows, if it gives any."""
        with psycopg.connect(self.dsns[name]) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def state(self, name: str, statement: str, *parameters: object) -> str:
        """The SQLSTATE that a statement is refused with; empty where it is not refused. Never committed."""
        with psycopg.connect(self.dsns[name]) as connection:
            try:
                connection.execute(statement.encode(), parameters or None)
            except psycopg.Error as error:
                assert error.sqlstate is not None
                return error.sqlstate
            finally:
                connection.rollback()
        return ""


@contextlib.contextmanager
def laboratory(folder: Path, *, apps: Sequence[str] = (), users: int = 20) -> Iterator[Laboratory]:
    """Everything filled, and these applications healthy."""
    with Laboratory(folder) as made:
        made.fill(users=users)
        for name in apps:
            made.start(name)
        yield made
