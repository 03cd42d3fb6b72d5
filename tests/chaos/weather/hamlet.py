"""The smallest system that the tool can move: one gateway, the monolith, one service, in threads of this process.

The gateway and those behind it are real HTTP servers, but what they answer is Python's to decide, so that any weather can be
made at any moment. The tool itself is a process of its own, as always.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.suite import Wrong
from tests.e2e.driving import COMMAND, Outcome, environment
from tests.real_parts import Exchange, Handler, RealServer
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.errors import InvalidSetup
from tracseq_migrate.journal.chain import verify
from tracseq_migrate.journal.replay import replay

BOUND = 90.0
"""No call takes so long, whatever the weather, in seconds: the plan's own timeouts are far below."""

_DOOR = """
import sys
from tracseq_migrate.cli.app import start
sys.exit(start(sys.argv[1:]))
"""

FLAGS = "# flags of the hamlet\nUSE_RAG_SERVICE=false  # answers\nOTHER='kept'\n"
FLAG = "USE_RAG_SERVICE"

PLAN = """\
week: try
title: Answers by the rag service
risk: low
steps:
  - id: flags
    flags: {set: {USE_RAG_SERVICE: true}, writes: none}
    timeout: 4s
  - id: proof
    route: {prefix: /api/rag, answered_by: rag}
    timeout: 4s
"""

CONFIG = """\
version: 1
environments:
  hamlet:
    sandbox: true
    identity: variable
    gateway:
      url: {gateway}
      monolith: monolith
      instances: [{{name: gateway-1, url: {gateway}}}]
      flags:
        file: gateway/flags.env
        names:
          USE_RAG_SERVICE: {{key: rag, prefix: /api/rag, service: rag}}
      reload:
        strategy: command
        command: {reload}
        start: 2s
    services:
      monolith: {{url: {monolith}}}
      rag: {{url: {rag}}}
"""


def _named(name: str) -> dict[str, Handler]:
    def health(exchange: Exchange) -> None:
        exchange.say(200, {"status": "healthy", "service": name})

    def anything(exchange: Exchange) -> None:
        exchange.say(200, {"from": name})

    return {"/health": health, "*": anything}


class Gateway:
    """The gateway: reads the flag file when it is told to, and answers by what it read then.

    ``on_reload`` is what it does when it is told; ``weather`` replaces its answers by path (``*`` for all).
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.flags = {"rag": False}
        self.weather: dict[str, Handler] = {}
        self.on_reload: Callable[[Gateway], None] = Gateway.take_up
        self.reloads = 0
        self._control = RealServer({"/reload": self._reload})
        self._server: RealServer | None = RealServer({"*": self._answer})
        self.port = self._server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def reload_command(self) -> list[str]:
        """A program that tells it, and ends when it has heard."""
        ask = f"exec 3<>/dev/tcp/127.0.0.1/{self._control.port}; printf 'GET /reload HTTP/1.0\\r\\n\\r\\n' >&3; read -r -u 3"
        return ["/bin/bash", "-c", ask]

    def take_up(self) -> None:
        """Read the flag file, as a start does; one that cannot be read leaves the flags as they were."""
        try:
            found = DotenvFlagStore(self._file, names=[FLAG]).read().values.get(FLAG)
        except InvalidSetup:
            return
        self.flags = {"rag": found == "true"}  # a flag that is not there is off

    def down(self) -> None:
        """Nobody listens any more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def up(self) -> None:
        """Listen again, on the same port."""
        if self._server is None:
            self._server = RealServer({"*": self._answer}, self.port)

    def close(self) -> None:
        self.down()
        self._control.close()

    def _reload(self, exchange: Exchange) -> None:
        self.reloads += 1
        self.on_reload(self)
        exchange.say(200, "heard")

    def _answer(self, exchange: Exchange) -> None:
        handler = self.weather.get(exchange.path) or self.weather.get("*") or self.usual(exchange.path)
        handler(exchange)

    def usual(self, path: str) -> Handler:
        """How it answers in good weather."""
        if path == "/health":
            return lambda exchange: exchange.say(
                200, {"status": "healthy", "service": "TracSeq API Gateway", "version": "1"}
            )
        if path == "/routing-status":
            return lambda exchange: exchange.say(200, routing_status(self.flags))
        side = "rag" if path.startswith("/api/rag") and self.flags["rag"] else "monolith"
        return lambda exchange: exchange.say(200, {"from": side})


def routing_status(flags: Mapping[str, bool]) -> dict[str, Any]:
    """The gateway's account of its flags."""
    services = {key: {"enabled": on, "url": "http://rag" if on else None} for key, on in flags.items()}
    return {"routing_configuration": {"microservices": services}, "feature_flags": dict(flags)}


class Hamlet:
    """A project folder and the system around it; `new` makes both as at the beginning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flag_file = folder / "gateway" / "flags.env"
        self.gateway = Gateway(self.flag_file)
        self.behind = {name: RealServer(_named(name)) for name in ("monolith", "rag")}
        self._undo: list[Callable[[], None]] = []

    def new(self) -> None:
        """Good weather, and a project that was never run; the folder is empty before."""
        self.clear()
        self.folder.mkdir(exist_ok=True)
        self.flag_file.parent.mkdir(exist_ok=True)
        self.flag_file.write_text(FLAGS)
        (self.folder / "weeks").mkdir(exist_ok=True)
        (self.folder / "weeks" / "try.yaml").write_text(PLAN)
        config = CONFIG.format(
            gateway=self.gateway.url,
            reload=json.dumps(self.gateway.reload_command),
            **{name: server.url for name, server in self.behind.items()},
        )
        (self.folder / "tracseq-migrate.yaml").write_text(config)
        self.gateway.take_up()

    def clear(self) -> None:
        """The weather clears: whatever was done to the gateway is over."""
        while self._undo:
            self._undo.pop()()
        self.gateway.weather, self.gateway.on_reload = {}, Gateway.take_up
        self.gateway.up()

    def afterwards(self, undo: Callable[[], None]) -> None:
        """What `clear` has to do besides."""
        self._undo.append(undo)

    def close(self) -> None:
        self.clear()
        self.gateway.close()
        for server in self.behind.values():
            server.close()

    def tool(
        self,
        *argv: str,
        prefix: Sequence[str] = (),
        limits: Mapping[int, int] | None = None,
        before: str = "",
        **variables: str,
    ) -> Outcome:
        """Type a command; it must end in time, and leave no process behind.

        Args:
            argv: as it is typed.
            prefix: a program that starts the tool instead.
            limits: of the process, by `resource`.
            before: Python that the process carries out before it becomes the tool.
            variables: of its environment.
        """
        tool = [sys.executable, "-c", before + _DOOR] if before else COMMAND
        call = [*prefix, *tool, *argv]
        if limits:
            words = [f"--{number}={value}:{value}" for number, value in _named_limits(limits).items()]
            call = ["prlimit", *words, *call]
        began = time.monotonic()
        process = subprocess.Popen(
            call,
            cwd=self.folder,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=BOUND)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            seconds = time.monotonic() - began
            raise Wrong(f"`{' '.join(argv)}` did not end in {seconds:.0f} s: {out!r} {err!r}") from None
        outcome = Outcome(
            argv, process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        )
        left = _session(process.pid)
        if left:
            raise Wrong(f"processes are left behind: {left}; {outcome}")
        return outcome

    def state(self) -> str:
        """The state of the week, by the journal; its chain is whole."""
        journal = SqliteJournal(
            self.folder / ".tracseq-migrate" / "hamlet" / "journal.sqlite3", environment="hamlet"
        )
        try:
            events = list(journal.read())
        finally:
            journal.close()
        verdict = verify(events)
        if verdict.broken:
            raise Wrong(f"the journal is broken: {verdict.broken}")
        return str(replay(events).week("try").status)

    def declared(self) -> str | None:
        """What the flag file says, None where there is none that says anything."""
        try:
            return DotenvFlagStore(self.flag_file, names=[FLAG]).read().values.get(FLAG)
        except InvalidSetup:
            return None


def _named_limits(limits: Mapping[int, int]) -> dict[str, int]:
    import resource

    names = {
        resource.RLIMIT_NOFILE: "nofile",
        resource.RLIMIT_AS: "as",
        resource.RLIMIT_FSIZE: "fsize",
        resource.RLIMIT_NPROC: "nproc",
    }
    return {names[number]: value for number, value in limits.items()}


def _session(number: int) -> list[str]:
    """The processes of a session that are still there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after = (entry / "stat").read_text().rpartition(")")[2].split()
                if after[3] == str(number) and after[0] != "Z":
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return found


def reset(exchange: Exchange) -> None:
    """Break a connection off so that the other side sees a reset."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    exchange.connection.close()


@contextmanager
def hamlet(folder: Path) -> Iterator[Hamlet]:
    """A hamlet whose project lies in a folder."""
    made = Hamlet(folder)
    try:
        yield made
    finally:
        made.close()
