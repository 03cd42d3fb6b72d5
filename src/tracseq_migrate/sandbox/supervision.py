"""The supervisor of a sandbox: its configuration, its daemon, and the questions asked on its socket."""

from __future__ import annotations

import http.client
import os
import pwd
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracseq_migrate.errors import CouldNotReach, TracseqMigrateError
from tracseq_migrate.sandbox.layout import State

_TIMEOUT = 10.0
_ALREADY_STARTED = 60
_NOT_RUNNING = 70

# Paths are relative to the run folder, in which the daemon is started: the file's format would give a meaning of
# its own to a percent sign, a semicolon or a space in them. Those of the programs' logs are told to whoever asks, who
# is in a folder of its own, and have the run folder put in: by the second of two readings, since these are read twice.
_HEAD = """\
; Written by `tracseq-migrate sandbox up`.
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
identifier={identifier}
pidfile=supervisord.pid
logfile=../logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
childlogdir=../logs
nocleanup=true
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command=/bin/sh ../run/programs/{name}
directory=../{folder}
autostart={autostart}
autorestart=unexpected
exitcodes=0
startsecs=1
startretries={retries}
stopsignal={signal}
stopwaitsecs={patience}
redirect_stderr=true
stdout_logfile=%%(here)s/../logs/{name}.log
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1
"""


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised process: a script of this name in the folder of programs, run in ``folder`` of the sandbox."""

    name: str
    folder: str
    autostart: bool
    retries: int = 1
    signal: str = "TERM"
    patience: int = 40


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """What the supervisor says of a program; ``state`` is its word in lower case, ``pid`` 0 where none runs."""

    state: str
    pid: int


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout
        self._made: _Connection | None = None

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        if self._made is None:
            self._made = _Connection(self._path, self._timeout)
        return self._made

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
            self._made = None


class Supervisor:
    """The supervisor of one sandbox, by its socket."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._configuration = state.layout.run / "supervisord.conf"

    @property
    def identifier(self) -> str:
        return f"tracseq-sandbox-{self._state.id}"

    def configure(self, programs: Sequence[Program]) -> None:
        """Write its configuration. The order of the programs is the order in which they start."""
        # A daemon of root is told that root is meant, or it complains in its log.
        user = f"user={pwd.getpwuid(0).pw_name}\n" if os.geteuid() == 0 else ""
        text = _HEAD.format(
            socket=self._state.supervisor_socket if self._state.private_sockets else "supervisor.sock",
            identifier=self.identifier,
            user=user,
        )
        for place, program in enumerate(programs):
            text += _PROGRAM.format(
                name=program.name,
                folder=program.folder,
                autostart=str(program.autostart).lower(),
                retries=program.retries,
                signal=program.signal,
                patience=program.patience,
            )
            text += f"priority={place + 1}\n"
        self._configuration.write_text(text, "utf-8")

    def start(self, environ: Mapping[str, str], *, timeout: float = 20.0) -> None:
        """Start the daemon, which leaves this process's session.

        Raises:
            TracseqMigrateError: it did not come up; says what it said.
        """
        layout = self._state.layout
        self._state.supervisor_socket.unlink(missing_ok=True)
        said = layout.logs / "supervisord.start.log"
        with said.open("wb") as log:
            done = subprocess.run(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environ),
                cwd=layout.run,
                check=False,
                timeout=timeout,
            )
        deadline = time.monotonic() + timeout
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.alive():
                return
            time.sleep(0.02)
        last = " ".join(said.read_text("utf-8", "replace").split()[-40:])
        raise TracseqMigrateError(f"the supervisor did not start: {last or 'it said nothing'}")

    def call(self, method: str, *arguments: Any, timeout: float = _TIMEOUT) -> Any:
        """One call of the supervisor's own interface.

        Raises:
            CouldNotReach: nobody answers on its socket.
            xmlrpc.client.Fault: it answers, and refuses.
        """
        path = self._state.supervisor_socket
        transport = _Transport(path, timeout)
        try:
            with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault:
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise CouldNotReach(
                f"the supervisor of the sandbox does not answer on {path}: {error}",
                hint=f"Type `tracseq-migrate sandbox status --dir {self._state.root}`.",
            ) from error
        finally:
            transport.close()

    def alive(self) -> bool:
        """Whether the supervisor of this very sandbox answers."""
        try:
            return bool(self.call("getIdentification", timeout=3.0) == self.identifier)
        except (CouldNotReach, xmlrpc.client.Fault):
            return False

    def pid(self) -> int:
        return int(self.call("getPID"))

    def processes(self) -> dict[str, ProcessInfo]:
        """Every program by name."""
        return {
            row["name"]: ProcessInfo(state=str(row["statename"]).lower(), pid=int(row["pid"]))
            for row in self.call("getAllProcessInfo")
        }

    def start_program(self, name: str, *, timeout: float = 30.0) -> None:
        """Start it; harmless where it runs.

        Raises:
            TracseqMigrateError: it did not stay up; with its last lines.
        """
        try:
            self.call("startProcess", name, timeout=timeout)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _ALREADY_STARTED:
                return
            raise TracseqMigrateError(
                f"{name} did not start: {self.tail(name) or fault.faultString}",
                hint=f"Its log is {self._state.layout.logs / name}.log.",
            ) from fault

    def stop_program(self, name: str, *, timeout: float = 60.0) -> None:
        """Stop it, and return when it is gone; harmless where it is stopped."""
        try:
            self.call("stopProcess", name, timeout=timeout)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise TracseqMigrateError(f"{name} did not stop: {fault.faultString}") from fault

    def kill_program(self, name: str) -> None:
        """Send it SIGKILL; harmless where it is stopped."""
        try:
            self.call("signalProcess", name, "KILL")
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise TracseqMigrateError(f"{name} cannot be killed: {fault.faultString}") from fault

    def tail(self, name: str) -> str:
        """The last lines that it wrote."""
        path = self._state.layout.logs / f"{name}.log"
        try:
            return " | ".join(path.read_text("utf-8", "replace").strip().splitlines()[-5:])
        except OSError:
            return ""
