"""What goes wrong in the middle of a cutover."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tests.e2e.driving import Call, Tool, tool_of
from tests.replication.weather.proxy import Wire
from tests.sandbox_fixture import Sandbox

AFTER = 2.5
"""Seconds from the moment in which a guardian watches; most cutovers are over by then."""


def guardians(folder: Path) -> list[psutil.Process]:
    """Those of a sandbox, whoever started them."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error, OSError):
            if "tracseq_migrate.cli.guard" in (process.info["cmdline"] or ()) and process.cwd() == str(
                folder
            ):
                found.append(process)
    return found


def until_watched(call: Call, folder: Path) -> bool:
    """Wait until the call is at its cutover; false where it ended before."""
    parent = psutil.Process(call.pid)
    while call.process.poll() is None:
        with contextlib.suppress(psutil.Error, OSError):
            for child in parent.children():
                # From the moment in which it has come up on, it speaks to its log.
                speaks_to = Path(f"/proc/{child.pid}/fd/1").readlink().name
                if "tracseq_migrate.cli.guard" in child.cmdline() and speaks_to == "guardian.log":
                    return True
        time.sleep(0.005)
    return False


def until_alone(folder: Path, seconds: float = 180.0) -> None:
    """Wait until no guardian is at work any more. Raises `AssertionError` where one never ends."""
    until = time.monotonic() + seconds
    while left := guardians(folder):
        assert time.monotonic() < until, f"a guardian hangs: {left}"
        time.sleep(0.05)


class Faults:
    """By name; each is called while a command is at its cutover."""

    def __init__(self, sandbox: Sandbox, wires: Mapping[str, Wire], chance: random.Random) -> None:
        self._sandbox, self._wires, self._chance = sandbox, wires, chance
        self.overtaken: Call | None = None

    def named(self, name: str) -> Callable[[Call], None]:
        found: Mapping[str, Callable[[Call], None]] = {
            "kill-tool": self._kill_tool,
            "kill-tool-and-guardian": self._kill_both,
            "stop-tool": self._stop_tool,
            "kill-postgres": lambda _: self._kill("postgres"),
            "kill-gateways": lambda _: self._kill(*self._sandbox.instances),
            "kill-one-gateway": lambda _: self._kill(self._chance.choice(sorted(self._sandbox.instances))),
            "kill-proxy": lambda _: self._kill("proxy"),
            "kill-sync": lambda _: self._kill("sync"),
            "stall-main": lambda _: self._stall("main"),
            "stall-new": lambda _: self._stall(*(set(self._wires) - {"main"})),
            "cut-wires": lambda _: self._cut(),
        }
        return found[name]

    def _kill_tool(self, call: Call) -> None:
        call.send(signal.SIGKILL)

    def _kill_both(self, call: Call) -> None:
        for child in psutil.Process(call.pid).children():
            with contextlib.suppress(psutil.Error):
                if "tracseq_migrate.cli.guard" in child.cmdline():
                    child.kill()
        call.send(signal.SIGKILL)

    def _stop_tool(self, call: Call) -> None:
        """It stands still; somebody else goes on; then it wakes up."""
        call.send(signal.SIGSTOP)
        self.overtaken = call

    def _kill(self, *programs: str) -> None:
        running = self._sandbox.supervisor.processes()
        for name in programs:
            if running[name].pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running[name].pid, signal.SIGKILL)

    def _cut(self) -> None:
        for wire in self._wires.values():
            wire.cut()

    def _stall(self, *names: str) -> None:
        seconds = self._chance.uniform(0.2, 6.0)
        for name in names:
            self._wires[name].stall(seconds)


NAMES = (
    "kill-tool",
    "kill-tool-and-guardian",
    "stop-tool",
    "kill-postgres",
    "kill-gateways",
    "kill-one-gateway",
    "kill-proxy",
    "kill-sync",
    "stall-main",
    "stall-new",
    "cut-wires",
)


def second(sandbox: Sandbox) -> Tool:
    """Another operator."""
    return tool_of(sandbox).as_("grace")
