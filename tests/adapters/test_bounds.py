"""Whatever is outside may take what it is given and never answer: each call ends, and says that it could not ask.

A call that would wait for ever shows here as a test that fails after a minute; how fast a call gives up is not asserted.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracseq_migrate.adapters import git as git_adapter
from tracseq_migrate.adapters.caddy import CaddyProxy
from tracseq_migrate.adapters.commands import SubprocessCommands
from tracseq_migrate.adapters.dotenv import DotenvFlagStore
from tracseq_migrate.adapters.files import LocalFiles
from tracseq_migrate.adapters.gateway import HttpGateway
from tracseq_migrate.adapters.git import LocalGit
from tracseq_migrate.adapters.haproxy import HaproxyProxy
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.identity import CommandIdentity, GitIdentity
from tracseq_migrate.adapters.postgres.databases import PostgresDatabases
from tracseq_migrate.adapters.prober import ThreadProber
from tracseq_migrate.adapters.processes import CommandStarter
from tracseq_migrate.adapters.sqlite_journal import SqliteJournal
from tracseq_migrate.adapters.supervisor import SupervisorProgram
from tracseq_migrate.errors import InvalidSetup, StepFailed, TracseqMigrateError
from tracseq_migrate.ports import ProbeTarget, Unreachable

HANGS = 60.0


def ended(call: Callable[[], Any]) -> Any:
    """What the call gives or raises; a call that does not end is at fault."""
    result: list[Any] = []

    def act() -> None:
        try:
            result.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again below
            result.append((None, error))

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(HANGS)
    assert not thread.is_alive(), "it never ended"
    value, error = result[0]
    if error is not None:
        raise error
    return value


@pytest.fixture
def port() -> Iterator[int]:
    """Connections are taken by the system, and nobody reads them."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    """The same on a unix socket."""
    name = os.fspath(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen(16)
        yield name


def test_http(port: int) -> None:
    http = HttpxHttp({"rag": f"http://127.0.0.1:{port}"})
    with pytest.raises(Unreachable, match="within"):
        ended(lambda: http.request("rag", "/health", timeout=0.3))
    gateway = HttpGateway(
        HttpxHttp({"gateway": f"http://127.0.0.1:{port}"}), instances=[], names={}, program="any"
    )
    with pytest.raises(Unreachable):
        ended(lambda: gateway.flags(timeout=0.3))


def test_the_prober_ends_with_what_it_asked(port: int) -> None:
    prober = ThreadProber({"gateway": f"http://127.0.0.1:{port}"}, timeout=0.3)
    report = ended(lambda: prober.start([ProbeTarget("gateway", "/health")], rate=20).stop())
    assert report.failed == report.requests >= 1


def test_tls(port: int) -> None:
    http = HttpxHttp({"rag": f"https://127.0.0.1:{port}"})
    with pytest.raises(Unreachable):
        ended(lambda: http.request("rag", "/health", timeout=0.3))


@pytest.mark.parametrize("verb", ["state", "up", "down", "restart"])
def test_supervisord(path: str, verb: str) -> None:
    program = SupervisorProgram(path, "rag")
    with pytest.raises((Unreachable, StepFailed)):
        ended(lambda: getattr(program, verb)(timeout=0.3))
    assert ended(lambda: program.tail(3)) == ""


def test_haproxy(path: str) -> None:
    proxy = HaproxyProxy(path, "gateway", timeout=0.3, settle=0.3)
    for ask in (proxy.in_rotation, lambda: proxy.in_flight("a"), lambda: proxy.switch(["a"])):
        with pytest.raises(Unreachable):
            ended(ask)


def test_caddy(port: int) -> None:
    proxy = CaddyProxy(f"http://127.0.0.1:{port}", {"a": "127.0.0.1:1"}, timeout=0.3)
    for ask in (proxy.in_rotation, lambda: proxy.in_flight("a"), lambda: proxy.switch(["a"])):
        with pytest.raises(Unreachable):
            ended(ask)


def test_postgresql(port: int) -> None:
    databases = PostgresDatabases({"main": f"postgresql://u:p@127.0.0.1:{port}/d"})
    with pytest.raises(Unreachable):
        ended(lambda: databases.manifest("main", timeout=1))


def _hanging_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hanging_git(tmp_path, monkeypatch)
    with pytest.raises(InvalidSetup):
        ended(lambda: GitIdentity(tmp_path, timeout=0.3).whoami())
    monkeypatch.setattr(git_adapter, "_PATIENCE", 0.3)
    for name in ("HEAD", "objects", "refs"):
        place = tmp_path / ".git" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text("ref: refs/heads/main\n") if name == "HEAD" else place.mkdir()
    log = tmp_path / "LOG.md"
    log.write_text("x")
    made = ended(lambda: LocalGit().commit_file(log, "m", author="a <a@b>"))
    assert not made.commit
    assert made.why_not


def test_programs_of_the_operator(tmp_path: Path) -> None:
    commands = SubprocessCommands(tmp_path, grace=0.1)
    with pytest.raises(InvalidSetup):
        ended(lambda: CommandIdentity(["sleep", "600"], commands, timeout=0.3).whoami())
    starter = CommandStarter(commands, "rag", up=["sleep", "600"], down=["true"], status=["sleep", "600"])
    with pytest.raises(Unreachable):
        ended(lambda: starter.state(timeout=0.3))
    with pytest.raises(StepFailed):
        ended(lambda: starter.up(timeout=0.5))


def test_a_pipe_where_a_file_should_be(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        ended(lambda: LocalFiles().read(pipe))
    with pytest.raises(InvalidSetup):
        ended(DotenvFlagStore(pipe).read)
    with pytest.raises(TracseqMigrateError):
        ended(lambda: list(SqliteJournal(pipe, environment="e").read()))
