"""What the load generator's tests run against: a real PostgreSQL, the monolith, services and one gateway, without supervision."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg

from tracseq_migrate.sandbox import databases
from tracseq_migrate.sandbox.postgres import running

SERVICES = {
    "auth": "auth",
    "samples": "samples",
    "templates": "templates",
    "storage": "storage",
    "sequencing": "sequencing",
    "notifications": "notifications",
    "spreadsheet": "spreadsheets",
}
"""Keys of the gateway -> names of services. Dashboard, reports and questions stay with the monolith here."""

VARIABLES = {
    "auth": "USE_AUTH_SERVICE",
    "samples": "USE_SAMPLE_SERVICE",
    "templates": "USE_TEMPLATE_SERVICE",
    "storage": "USE_STORAGE_SERVICE",
    "sequencing": "USE_SEQUENCING_SERVICE",
    "notifications": "USE_NOTIFICATION_SERVICE",
    "spreadsheet": "USE_SPREADSHEET_SERVICE",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class World:
    """The processes, and the document that ``sandbox status --json`` would print of them."""

    def __init__(self, folder: Path, dsns: Mapping[str, str]) -> None:
        self.folder = folder
        self.dsns = dict(dsns)
        self.ports = {name: free_port() for name in ("gateway", "monolith", *SERVICES.values())}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.routed: dict[str, bool] = {}

    def __enter__(self) -> Self:
        self._application("monolith", "monolith", database="main")
        for service in SERVICES.values():
            self._application(service, "service", service, database=service)
        self.route({})
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.stop(name)

    def _application(self, name: str, module: str, *arguments: str, database: str) -> None:
        dsn_file = self.folder / f"{name}.dsn"
        dsn_file.write_text(self.dsns[database])
        command = [f"tracseq_migrate.sandbox.apps.{module}", *arguments]
        self._start(name, [*command, "--port", str(self.ports[name]), "--dsn-file", str(dsn_file)])

    def _start(self, name: str, module: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *module], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not healthy(self.ports[name]):
            assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()
            assert time.monotonic() < deadline, f"{name} does not become healthy"
            time.sleep(0.05)

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def route(self, services: Mapping[str, bool], *, gateway: str = "gateway") -> None:
        """Start the gateway anew, with these keys routed to their services."""
        if gateway in self.processes:
            self.stop(gateway)
        flags = self.folder / f"{gateway}.env"
        flags.write_text("".join(f"{VARIABLES[key]}={str(on).lower()}\n" for key, on in services.items()))
        port = self.ports.setdefault(gateway, free_port())
        module = ["tracseq_migrate.sandbox.gateway", "--port", str(port), "--env-file", str(flags)]
        module += ["--monolith", f"http://127.0.0.1:{self.ports['monolith']}"]
        for key, service in SERVICES.items():
            module += ["--service", f"{key}=http://127.0.0.1:{self.ports[service]}"]
        self._start(gateway, module)
        if gateway == "gateway":
            self.routed = dict(services)

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def document(self) -> dict[str, Any]:
        return {
            "gateway": {"url": self.gateway, "instances": [{"name": "gateway-1", "url": self.gateway}]},
            "databases": dict(self.dsns),
        }

    def sql(self, database: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement with parameters; the rows that it gave, or those that it touched with RETURNING."""
        with psycopg.connect(self.dsns[database], autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    names = ("main", *SERVICES.values())
    with running(folder, names, environ=os.environ) as dsns:
        for name in names:
            databases.create(name, dsns[name], seed=1, users=5)
        with World(folder, {name: dsns[name] for name in names}) as made:
            yield made
