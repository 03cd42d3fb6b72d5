"""The command line as a user types it: a process of its own, in the sandbox's folder; and what the sandbox is like."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sandbox_fixture import Sandbox, until
from tests.security import canaries

COMMAND = (sys.executable, "-m", "tracseq_migrate")
# Tests that were started in the background, or under nohup, ignore these, and so would every call of the tool.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

HANGS = 120.0
"""No call takes so long; the bound is only there so that one that hangs ends."""

RAG = """\
week: {week}
title: Answers by the rag service
risk: low
progress: {progress}
{needs}steps:
  - id: start
    services: {{up: [rag]}}
    timeout: {timeout}
  - id: flags
    flags: {{set: {{USE_RAG_SERVICE: true}}, writes: none}}
  - id: proof
    route: {{prefix: /api/rag, answered_by: rag}}
"""
"""The smallest week that moves something: one service, one flag, one proof."""


ONLY_START = """\
week: try
title: The rag service is there
risk: low
steps:
  - id: start
    services: {up: [rag]}
    timeout: 60s
  - id: seen
    http: {target: rag, path: /health, expect: {status: 200}}
"""
"""A week that moves nobody."""


def rag_week(week: str = "try", *, progress: int = 5, needs: str = "", timeout: str = "60s") -> str:
    """A plan like week 1, for the one service that keeps nothing."""
    wanted = f"needs: [{{week: {needs}}}]\n" if needs else ""
    return RAG.format(week=week, progress=progress, needs=wanted, timeout=timeout)


def environment(**more: str) -> dict[str, str]:
    """The surroundings of a call: those of the tests without what would steer the tool, and a name."""
    steering = ("NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS", "LINES")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRACSEQ_MIGRATE_") and name not in steering
    }
    return {**kept, **canaries.VARIABLES, "TRACSEQ_MIGRATE_IDENTITY": "erin", **more}


@dataclass(frozen=True)
class Outcome:
    """How a call ended."""

    argv: Sequence[str]
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return (
            f"`{' '.join(self.argv)}` ended with {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
        )

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout, one a line; the first names the format."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert found[0]["type"] == "version", self
        return found

    @property
    def message(self) -> str:
        """What a person reads first of the error, which must be there once, with its state and the page that has more."""
        assert self.err.count("  state: ") == 1, self
        assert f"docs/runbook.md#exit-{self.code} (exit {self.code})" in self.err, self
        return self.err.partition("  state: ")[0].strip()

    def expect(self, code: int, *texts: str) -> Outcome:
        """This, when it ended with the code, and each text stands somewhere in what it wrote. Never a trace."""
        assert self.code == code, self
        assert "Traceback" not in self.err + self.out, self
        assert not canaries.found_in((self.out + self.err).encode()), self
        for text in texts:
            assert text in self.out + self.err, f"{text!r} is missing: {self}"
        return self


@dataclass
class Call:
    """A call under way, whose lines can be waited for."""

    process: subprocess.Popen[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    _readers: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            assert stream is not None
            reader = threading.Thread(target=_read, args=(stream, lines), daemon=True)
            reader.start()
            self._readers.append(reader)

    @property
    def pid(self) -> int:
        return self.process.pid

    def until_said(self, text: str) -> None:
        """Wait until a line of stdout has the text."""
        until(
            lambda: any(text in line for line in self.out) or self.process.poll() is not None,
            f"{text!r} on stdout",
            seconds=HANGS,
        )
        assert any(text in line for line in self.out), self._so_far

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> Outcome:
        """Wait for its end."""
        try:
            code = self.process.wait(HANGS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it hangs: {self._so_far}") from None
        for reader in self._readers:
            reader.join(HANGS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        argv = self.process.args
        assert isinstance(argv, list)
        return Outcome(argv[len(COMMAND) :], code, "".join(self.out), "".join(self.err))

    @property
    def _so_far(self) -> str:
        return f"{self.process.args!r}\n--- stdout\n{''.join(self.out)}\n--- stderr\n{''.join(self.err)}"


def _read(stream: Any, lines: list[str]) -> None:
    while line := stream.readline():
        lines.append(line)


@dataclass(frozen=True)
class Tool:
    """`tracseq-migrate`, typed in a folder."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *argv: str, stdin: int = subprocess.DEVNULL, **variables: str) -> Outcome:
        """Type it, and wait for its end."""
        return self._start(argv, stdin, variables).end()

    def together(self, *calls: Sequence[str]) -> list[Outcome]:
        """Type several that do not disturb each other, side by side."""
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda argv: self(*argv), calls))

    def start(self, *argv: str, **variables: str) -> Call:
        """Type it, and go on while it is at work."""
        return self._start(argv, subprocess.DEVNULL, variables)

    @contextlib.contextmanager
    def working(self, *argv: str, **variables: str) -> Iterator[Call]:
        """A call that is killed at the end if it still runs then."""
        call = self.start(*argv, **variables)
        try:
            yield call
        finally:
            if call.process.poll() is None:
                call.process.kill()
            call.end()

    def shell(self, line: str, *, stdin: int = subprocess.DEVNULL) -> Outcome:
        """A line for the shell; ``$T`` in it is the tool."""
        tool = " ".join(COMMAND)
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=environment(T=tool, **self.variables),
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=False,
        )
        return Outcome([line], done.returncode, done.stdout, done.stderr)

    def as_(self, person: str) -> Tool:
        """The same, typed by somebody else."""
        return Tool(self.folder, {**self.variables, "TRACSEQ_MIGRATE_IDENTITY": person})

    def state(self, week: str) -> str:
        """The state of a week, as `status` has it."""
        weeks = self("status", "--json").expect(0).document["weeks"]
        return str(next(line["state"] for line in weeks if line["week"] == week))

    def _start(self, argv: Sequence[str], stdin: int, variables: Mapping[str, str]) -> Call:
        return Call(
            subprocess.Popen(
                [*COMMAND, *argv],
                cwd=self.folder,
                env=environment(**{**self.variables, **variables}),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
        )


def tool_of(sandbox: Sandbox) -> Tool:
    return Tool(sandbox.folder)


def write_week(sandbox: Sandbox, text: str | bytes, name: str = "try.yaml") -> Path:
    """A plan of the operator's own, beside the environment file."""
    folder = sandbox.folder / "weeks"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@dataclass(frozen=True)
class World:
    """All that a run may change, as it is: two of them are equal when nothing is different."""

    flag_bytes: bytes | None
    flag_mode: int
    effective: Mapping[str, Any]
    rotation: Mapping[str, str]
    services: Mapping[str, str]


def world(sandbox: Sandbox) -> World:
    """Look at everything anew."""
    file = sandbox.flag_file
    return World(
        file.read_bytes() if file.exists() else None,
        file.stat().st_mode if file.exists() else 0,
        {name: sandbox.routing(name) for name in sandbox.instances},
        rotation(sandbox),
        {name: state for name, state in states(sandbox).items() if name in sandbox.document["services"]},
    )


def rotation(sandbox: Sandbox) -> dict[str, str]:
    """What the proxy says of each instance; empty where there is none."""
    if sandbox.state.proxy != "haproxy":
        return {}
    rows = [line.split(",") for line in sandbox.haproxy("show stat").splitlines()]
    return {row[1]: row[17] for row in rows if row[0] == "gateway" and row[1] in sandbox.instances}


def states(sandbox: Sandbox) -> dict[str, str]:
    """What the supervisor says of every program. One that it has given up does not run: it is stopped."""
    processes = sandbox.supervisor.processes().items()
    return {name: "stopped" if info.state == "fatal" else info.state for name, info in processes}


def unhealthy(sandbox: Sandbox, service: str) -> Path:
    """Let a service say that it is not well, until the file is removed."""
    path = sandbox.state.layout.fault_file(service)
    path.write_text('{"status": 503, "health": false}', "utf-8")
    return path


def pids(sandbox: Sandbox) -> dict[str, int]:
    """The process of every program that runs: equal before and after when nothing was restarted."""
    return {name: info.pid for name, info in sandbox.supervisor.processes().items() if info.pid}


def interrupt(call: Call, number: int = signal.SIGINT) -> Outcome:
    call.send(number)
    return call.end()


def eventually(see: Callable[[], object], wanted: object) -> None:
    """Wait until it is so, and say what it was instead where it never is."""
    deadline = time.monotonic() + 30
    while (seen := see()) != wanted:
        assert time.monotonic() < deadline, f"it is {seen!r}, not {wanted!r}"
        time.sleep(0.05)
