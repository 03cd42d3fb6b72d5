"""Signals, terminals and the way back by hand: a sample of what `tests/chaos/suites/signals.py` does at length."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.suites.signals import carry_out
from tests.e2e.driving import (
    COMMAND,
    Tool,
    environment,
    eventually,
    pids,
    rag_week,
    unhealthy,
    world,
    write_week,
)
from tests.sandbox_fixture import Sandbox, until

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    ("case", "journaled"),
    [
        ("TERM@command-stubborn", 1),
        ("TERM+TERM@back-command", 1),
        ("HUP-twice-in-a-moment@retry", 1),
        ("TERM@preflight", 0),
    ],
)
def test_one_command_goes_on_after_it(sandbox: Sandbox, case: str, journaled: int) -> None:
    assert carry_out(sandbox, case).counts.get("journaled", 0) == journaled


# Before the operation, and after it


def _hears(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    (mask,) = (line.split()[1] for line in text.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_start_leaves_no_trace(sandbox: Sandbox, tool: Tool, number: int) -> None:
    seen = set()
    for wait in (0.0, 0.05, 0.15):
        with tool.working("status") as call:
            # Before that the interpreter itself is starting, which is not ours.
            until(lambda pid=call.pid: _hears(pid, signal.SIGTERM), "the first line of ours")  # type: ignore[misc]  # bound early
            time.sleep(wait)
            call.send(number)
            outcome = call.end()
        assert outcome.err == "", (wait, outcome)
        seen.add(outcome.code)
    assert 128 + number in seen
    assert seen <= {0, 128 + number}


def test_under_nohup_a_closed_terminal_is_no_news(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, rag_week())
    fault = unhealthy(sandbox, "rag")
    ignoring = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", ignoring, *COMMAND, "run", "try"],
        cwd=sandbox.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: "rag" in pids(sandbox), "rag to run")
        process.send_signal(signal.SIGHUP)
        fault.unlink()
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "try is proven" in out


# Streams


def test_streams_that_are_closed_or_broken(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, rag_week())
    # The reader of stdout leaves at once; stderr and stdin were never there.
    ended = tool.shell("$T run try 2>&- <&- | head -c 1 >/dev/null; echo ${PIPESTATUS[0]}")
    assert ended.out == "0\n", ended
    assert tool.state("try") == "proven"
    ended = tool.shell("$T rollback try >&- <&-")
    assert (ended.code, ended.err) == (0, "")
    assert tool.state("try") == "rolled-back"


class Terminal:
    """The tool on a terminal of its own, as a shell's foreground job has it."""

    def __init__(self, tool: Tool, *argv: str, shell: Sequence[str] = ()) -> None:
        self.master, slave = pty.openpty()
        self.text = b""

        def own() -> None:
            os.setsid()
            import fcntl

            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*shell, *COMMAND, *argv],
            cwd=tool.folder,
            env=environment(TERM="xterm-256color"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=own,
        )
        os.close(slave)

    def read(self, seconds: float = 0.1) -> bytes:
        """What was written since; nothing where the terminal is gone."""
        with suppress(OSError):
            if self.master >= 0 and select.select([self.master], [], [], seconds)[0]:
                new = os.read(self.master, 65536)
                self.text += new
                return new
        return b""

    def shows(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text.encode() not in self.text:
            assert time.monotonic() < deadline, self.text
            self.read()

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def end(self) -> int:
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self.read()
        while self.read():
            pass
        return self.process.returncode


@contextmanager
def terminal(tool: Tool, *argv: str, shell: Sequence[str] = ()) -> Iterator[Terminal]:
    made = Terminal(tool, *argv, shell=shell)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait()
        if made.master >= 0:
            made.hang_up()


PAUSE = """\
week: try
title: Somebody looks
risk: low
steps:
  - id: start
    services: {up: [rag]}
  - id: look
    pause: {ask: Is it well}
"""


def test_the_terminal_is_closed_while_the_screen_is_live(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, rag_week())
    before = world(sandbox)
    fault = unhealthy(sandbox, "rag")
    with terminal(tool, "run", "try") as screen:
        until(lambda: "rag" in pids(sandbox), "rag to run")
        screen.read(0.3)
        screen.hang_up()
        assert screen.end() == 129
    assert world(sandbox) == before
    assert tool.state("try") == "in-doubt"
    fault.unlink()
    tool("resume").expect(0, "try is proven")
    tool("rollback", "try").expect(0)


@pytest.mark.parametrize(("keys", "code"), [(b"\x03", 130), (b"", 129)])
def test_while_a_person_is_asked(sandbox: Sandbox, tool: Tool, keys: bytes, code: int) -> None:
    write_week(sandbox, PAUSE)
    with terminal(tool, "run", "try") as screen:
        screen.shows("[y/N]")
        screen.type(keys) if keys else screen.hang_up()
        assert screen.end() == code, screen.text
        assert b"Traceback" not in screen.text
    assert tool.state("try") == "waiting"
    tool("rollback", "try").expect(0)


_SHELL = """
import os, signal, sys, time
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    os.write(1, b"[1]+ Stopped")
    time.sleep(0.5)
    os.killpg(pid, signal.SIGCONT)
"""
"""What a shell does with a job in the foreground; somebody types fg half a second after Ctrl-Z."""


def test_ctrl_z_and_fg(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, rag_week())
    fault = unhealthy(sandbox, "rag")
    with terminal(tool, "run", "try", shell=(sys.executable, "-c", _SHELL)) as screen:
        until(lambda: "rag" in pids(sandbox), "rag to run")
        screen.shows("asking again")
        screen.type(b"\x1a")
        screen.shows("[1]+ Stopped")
        # The part that moves was taken away first, and comes back below what the shell wrote.
        assert b"\x1b[J[1]+ Stopped" in screen.text
        screen.text = b""
        screen.shows("asking again")
        fault.unlink()
        assert screen.end() == 0, screen.text
    assert b"try is proven" in screen.text
    tool("rollback", "try").expect(0)


# The way back by hand


def _by_hand(tool: Tool, *more: str) -> list[str]:
    view = json.loads(tool("rollback", "try", "--print-manual", "--json", *more).expect(0).out)
    return [line for step in view["steps"] for line in step["lines"]]


@pytest.mark.long
def test_what_is_printed_works_when_it_is_typed(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, rag_week())
    before = world(sandbox)
    tool("run", "try").expect(0)
    whole = sandbox.config.read_bytes()
    try:
        shutil.rmtree(sandbox.folder / "weeks")
        sandbox.config.write_bytes(b"environments: {sandbox: [broken\n")
        told = tool("rollback", "try", "--print-manual").expect(0)
        assert "the environment file" in told.out
        typed = "\n".join(_by_hand(tool))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/bash", "-c", typed],
            env={"PATH": path},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, (typed, done)
        eventually(lambda: world(sandbox) == before, True)
    finally:
        sandbox.config.write_bytes(whole)
    tool("rollback", "try").expect(0, "try is rolled-back")
    assert world(sandbox) == before


@pytest.mark.long
@pytest.mark.long
def test_it_is_printed_whatever_is_broken(sandbox: Sandbox, tool: Tool, tmp_path: Path) -> None:
    write_week(sandbox, rag_week())
    tool("run", "try").expect(0)
    expected = _by_hand(tool)
    assert any("sed -i" in line for line in expected)
    assert any(line.startswith("supervisorctl") and " stop rag" in line for line in expected)
    whole = sandbox.config.read_bytes()
    state = sandbox.folder / ".tracseq-migrate"
    programs = ["postgres", "monolith", "proxy", *sandbox.instances]
    sandbox.stop(*programs)
    try:
        assert _by_hand(tool) == expected
        write_week(sandbox, "week: try\nsteps: nonsense\n")
        assert _by_hand(tool) == expected
        shutil.rmtree(sandbox.folder / "weeks")
        for body in (b"", b"\xff\x00", whole.replace(b"file:secrets/", b"file:nowhere/")):
            sandbox.config.write_bytes(body)
            assert _by_hand(tool) == expected
        sandbox.config.unlink()
        assert _by_hand(tool) == expected
        os.mkfifo(sandbox.config)
        assert _by_hand(tool) == expected
        assert _by_hand(Tool(tmp_path), "--state", str(state)) == expected
        assert _by_hand(Tool(tmp_path), "--state", str(state / "sandbox")) == expected
        Tool(tmp_path)("rollback", "try", "--print-manual").expect(3, "--state DIR")
        sandbox.config.unlink()
        sandbox.config.write_bytes(whole)
        # A copy that nobody may write, as on a disk that was mounted read-only.
        copy = tmp_path / "copy"
        shutil.copytree(state, copy)
        for path in (*copy.rglob("*"), copy):
            path.chmod(0o500 if path.is_dir() else 0o400)
        assert _by_hand(tool, "--state", str(copy)) == expected
    finally:
        with suppress(FileNotFoundError):
            sandbox.config.unlink()
        sandbox.config.write_bytes(whole)
        sandbox.start(*programs)
