"""A project in which a secret stands in every place that takes one, before servers that repeat whatever they are told."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.real_parts import Exchange, RealServer, free_ports, gateway_routes, serving
from tests.security.canaries import CANARIES, VARIABLES, assert_clean

_ENVIRONMENT = """\
version: 1
environments:
  cage:
    state: .state
    gateway:
      url: ${{GATEWAY}}
      monolith: monolith
      instances: [{{name: gateway-1, url: "${{GATEWAY}}"}}]
      flags: {{file: flags.env}}
      reload: {reload}
      {proxy}
    services:
      monolith: {{url: "http://127.0.0.1:{port}/monolith", database: main}}
      storage: {{url: "file:secrets/storage.url", database: storage}}
      rag: {{url: "http://127.0.0.1:{port}/${{CANARY_TOKEN}}"}}
    databases:
      main: {{dsn: "${{MAIN_DSN}}"}}
      storage: {{dsn: "file:secrets/storage.dsn"}}
      prefix: {{dsn: "file:secrets/prefix.dsn"}}
      longer: {{dsn: "file:secrets/longer.dsn"}}
      regex: {{dsn: "file:secrets/regex.dsn"}}
      key: {{dsn: "file:secrets/key.dsn"}}
    log: {{file: MIGRATION_LOG.md, git: {{commit: true, author: "Cage <cage@example.org>"}}}}
"""

_HEAD = """\
week: leak
title: Every step that can talk
risk: low
"""


@dataclass
class Cage:
    """The project's folder, the variables of a call, and everything that calls have said."""

    folder: Path
    variables: dict[str, str]
    server: RealServer
    said: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[Path]:
        """Where secrets stand on purpose."""
        return [self.folder / "secrets"]

    def plan(self, text: str, name: str = "leak.yaml") -> None:
        (self.folder / "weeks" / name).write_text(_HEAD + text)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tracseq_migrate", *argv],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        out, err = process.communicate(timeout=120)
        self.said += [out, err]
        return process.returncode, out + err

    def call(self, *argv: str) -> tuple[int, str]:
        """Type it; what it said is kept."""
        return self.end(self.start(*argv))

    def assert_clean(self) -> int:
        """Nothing that was said or written holds a canary."""
        return assert_clean(self.folder, self.said, except_=self.sources)


def _echo(exchange: Exchange) -> None:
    """An answer that repeats the request, as frank as a debugging page, and adds what was never asked for."""
    told = dict(exchange.headers.items())
    basic = told.get("Authorization", "").removeprefix("Basic ")
    with suppress(ValueError):
        told["decoded"] = base64.b64decode(basic).decode(errors="replace")
    told |= CANARIES
    exchange.say(
        401,
        {"detail": told, "path": exchange.path, "all": " ".join(CANARIES.values())},
        {"Content-Type": CANARIES["token"], "WWW-Authenticate": "Basic " + json.dumps(told)[:400]},
    )


@contextmanager
def cage(folder: Path, *, reload: str = "", proxy: str = "") -> Iterator[Cage]:
    """The project, and its servers while it is used."""
    healthy = gateway_routes({"storage": False, "rag": False})
    routes = {"/health": healthy["/health"], "/routing-status": healthy["/routing-status"], "*": _echo}
    with serving(routes) as server, _database() as database:
        (folder / "weeks").mkdir()
        (folder / "secrets").mkdir()
        (folder / "flags.env").write_text("USE_STORAGE_SERVICE=false\nUSE_RAG_SERVICE=false\n")
        (folder / "tracseq-migrate.yaml").write_text(
            _ENVIRONMENT.format(
                port=server.port,
                reload=reload or '{strategy: command, command: ["true"]}',
                proxy=proxy,
            )
        )
        secrets = {
            "storage.url": f"http://{CANARIES['token']}@127.0.0.1:{server.port}/storage",
        }
        for name in ("storage", "prefix", "longer", "regex", "key"):
            password = CANARIES["words" if name == "storage" else name]
            secrets[f"{name}.dsn"] = _words(
                host="127.0.0.1", port=str(database), dbname="s", password=password
            )
        for file, text in secrets.items():
            (folder / "secrets" / file).write_text(text + "\n")
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRACSEQ_MIGRATE_")},
            **VARIABLES,
            "GATEWAY": f"http://user:{quote(CANARIES['url'], safe='')}@127.0.0.1:{server.port}",
            "MAIN_DSN": f"postgresql://m:{quote(CANARIES['dsn'], safe='')}@127.0.0.1:{database}/main",
            "PYTHONUTF8": "1",
            "CAGE": str(folder),
        }
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
        yield Cage(folder, variables, server)


def _words(**words: str) -> str:
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in words.items()}
    return " ".join(f"{name}='{value}'" for name, value in escaped.items())


def step(name: str, run: str, *, verify: str = "false", revert: str = "true") -> str:
    """A command step whose programs are lines for a shell."""
    lines: Sequence[tuple[str, str]] = (("run", run), ("verify", verify), ("revert", revert))
    written = "\n".join(f"      {key}: [{json.dumps(line)}]" for key, line in lines)
    return f"  - id: {name}\n    command:\n      shell: true\n{written}\n"


@contextmanager
def _database() -> Iterator[int]:
    """A server that speaks PostgreSQL as far as the password, and refuses it by repeating it."""
    [port] = free_ports(1)
    listener = socket.create_server(("127.0.0.1", port))
    listener.settimeout(0.1)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, suppress(OSError, struct.error):
                connection.settimeout(10)
                _refuse(connection)

    thread = threading.Thread(target=serve, name="database")
    thread.start()
    try:
        yield port
    finally:
        over.set()
        thread.join()
        listener.close()


def _refuse(connection: socket.socket) -> None:
    def message() -> bytes:
        (length,) = struct.unpack("!I", _exactly(connection, 4))
        return _exactly(connection, length - 4)

    asked = message()
    while len(asked) == 4:  # encryption is asked for first
        connection.sendall(b"N")
        asked = message()
    connection.sendall(b"R" + struct.pack("!II", 8, 3))
    _exactly(connection, 1)
    password = message().rstrip(b"\0")
    fields: Mapping[bytes, bytes] = {
        b"S": b"FATAL",
        b"C": b"28P01",
        b"M": b'password "' + password + b'" is wrong',
        b"D": asked.replace(b"\0", b" "),
    }
    body = b"".join(code + text + b"\0" for code, text in fields.items()) + b"\0"
    connection.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)


def _exactly(connection: socket.socket, count: int) -> bytes:
    body = b""
    while len(body) < count:
        more = connection.recv(count - len(body))
        if not more:
            raise OSError("closed")
        body += more
    return body
