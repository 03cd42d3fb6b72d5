"""A running sandbox for the tests of a session, and the way to have it as new before each of them.

``session_sandbox`` comes up once a session (and once a worker, where tests run in parallel); ``sandbox`` is the same
one, reset. Rows in the databases stay between tests.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import shutil
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tracseq_migrate.sandbox import faults, lifecycle, programs
from tracseq_migrate.sandbox.layout import SYNC, State
from tracseq_migrate.sandbox.supervision import Supervisor


def get(url: str, *, timeout: float = 10.0) -> tuple[int, bytes]:
    """Status and body of one GET on a fresh connection."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until(done: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
    """Wait for it; the bound is only there so that a test that would wait for ever ends."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited for {what} in vain"
        time.sleep(0.02)


@dataclass
class Sandbox:
    """A running sandbox: ``document`` is what `sandbox status --json` printed when it came up."""

    folder: Path
    document: Mapping[str, Any]
    _flag_bytes: bytes = b""
    _config_bytes: bytes = b""
    _effective: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._flag_bytes = self.flag_file.read_bytes()
        self._config_bytes = self.config.read_bytes()
        self._effective = {name: self.routing(name) for name in self.instances}

    @property
    def config(self) -> Path:
        return Path(self.document["config"])

    @property
    def flag_file(self) -> Path:
        return Path(self.document["flag_file"])

    @property
    def gateway_url(self) -> str:
        return str(self.document["gateway"]["url"])

    @property
    def instances(self) -> dict[str, str]:
        """Name and address of each gateway instance."""
        return {row["name"]: row["url"] for row in self.document["gateway"]["instances"]}

    @property
    def state(self) -> State:
        return lifecycle.find(self.folder)

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.state)

    def routing(self, instance: str) -> Any:
        """What /routing-status of an instance says."""
        return json.loads(get(f"{self.instances[instance]}/routing-status")[1])

    def start(self, *programs: str) -> None:
        """Start programs, and return when each answers /health with 200."""
        self._each(self.supervisor.start_program, programs)
        for program in programs:
            url = self.document["services"].get(program) or self.instances.get(program)
            if url:
                until(lambda url=url: _healthy(url), f"{program} to be healthy")  # type: ignore[misc]  # bound early

    def stop(self, *programs: str) -> None:
        self._each(self.supervisor.stop_program, programs)

    def _each(self, act: Callable[[str], None], programs: Sequence[str]) -> None:
        # Side by side: the supervisor takes a second for each that it starts.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(act, programs))

    def restart(self, *programs: str) -> None:
        """Stop and start them, side by side."""

        def one(program: str) -> None:
            self.stop(program)
            self.start(program)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(one, programs))
        # The proxy finds out a moment later that an instance is back.
        until(lambda: _healthy(self.gateway_url), "the gateway to be healthy")

    def fault(self, name: str, *, on: bool, **options: Any) -> list[str]:
        return lifecycle.fault(self.folder, name, on=on, **options)

    def reset(self) -> None:
        """As new: faults off, flags as at the start and effective, services stopped, all instances in rotation.

        The journal, the log, the operator's own plans and whatever else a test left in the folder are removed.
        """
        state = self.state
        faults.all_off(state)
        for file, body in ((self.flag_file, self._flag_bytes), (self.config, self._config_bytes)):
            if file.is_symlink() or not file.is_file() or file.read_bytes() != body:
                file.unlink(missing_ok=True)
                file.write_bytes(body)
            file.chmod(0o644)
        for stray in (state.layout.journal, self.folder / "weeks", self.folder / "earlier"):
            shutil.rmtree(stray, ignore_errors=True)
        for pattern in ("MIGRATION_LOG*", "*.lost.*"):
            for stray in self.folder.glob(pattern):
                stray.unlink()
        running = {name for name, info in self.supervisor.processes().items() if info.state != "stopped"}
        self.stop(*sorted(running & {*self.document["services"], SYNC}))
        for program in ("postgres", "monolith", *(["proxy"] if state.proxy != "none" else [])):
            self.supervisor.start_program(program)
        stale = [name for name in self.instances if not self._as_new(name)]
        self.restart(*stale)
        self._all_in_rotation(state)
        until(lambda: _healthy(self.gateway_url), "the gateway to be healthy")

    def _as_new(self, instance: str) -> bool:
        try:
            return bool(self.routing(instance) == self._effective[instance])
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def _all_in_rotation(self, state: State) -> None:
        if state.proxy == "haproxy":
            for name in self.instances:
                self.haproxy(f"set server gateway/{name} state ready; set server gateway/{name} health up")
        programs.all_in_rotation(state)

    def haproxy(self, command: str) -> str:
        """What haproxy answers on its runtime socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as runtime:
            runtime.settimeout(10)
            runtime.connect(str(self.state.proxy_socket))
            runtime.sendall(command.encode() + b"\n")
            parts = []
            while part := runtime.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()


def _healthy(url: str) -> bool:
    try:
        return get(f"{url}/health")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def bring_up(folder: Path, **wishes: Any) -> Sandbox:
    """A sandbox of a test's own; `lifecycle.down` it goes away with."""
    document, _ = lifecycle.up(lifecycle.Wishes(folder=folder, **wishes), say=lambda line: None)
    return Sandbox(folder=folder, document=document)


def take_down(folder: Path) -> None:
    lifecycle.down(folder, keep=False, say=lambda line: None)


@pytest.fixture(scope="session")
def session_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    try:
        yield bring_up(folder, users=50)
    finally:
        take_down(folder)


@pytest.fixture
def sandbox(session_sandbox: Sandbox) -> Sandbox:
    session_sandbox.reset()
    return session_sandbox
