"""Services by whoever starts their processes: supervisord, the operator's commands, somebody else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from tracseq_migrate.adapters.wording import last_lines, one_line
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import CommandResult, Commands, ServiceState, Unreachable

_LINES = 12
# What a program that tells of a service answers, by the convention of init scripts and systemctl.
_IS_RUNNING, _IS_STOPPED, _IS_UNKNOWN = 0, 3, 4


class Starter(Protocol):
    """How one process is started and stopped; the verbs mean what they mean in `Services`."""

    def state(self, *, timeout: float) -> ServiceState: ...

    def up(self, *, timeout: float) -> None: ...

    def down(self, *, timeout: float) -> None: ...

    def restart(self, *, timeout: float) -> None: ...

    def signal(self, signal: str, *, timeout: float) -> None: ...

    def tail(self, lines: int) -> str: ...


class ProcessServices:
    """`Services` over starters.

    Args:
        starters: name -> starter, of services and of gateway instances.
        names: which of them are services, in the environment's order.
    """

    def __init__(self, starters: Mapping[str, Starter], names: Sequence[str]) -> None:
        self._starters = dict(starters)
        self._names = tuple(names)

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def state(self, name: str, *, timeout: float) -> ServiceState:
        starter = self._starters.get(name)
        if starter is None:
            raise Unreachable(f"service {one_line(name)}", self._unknown())
        return starter.state(timeout=timeout)

    def up(self, name: str, *, timeout: float) -> None:
        self._starter(name).up(timeout=timeout)

    def down(self, name: str, *, timeout: float) -> None:
        self._starter(name).down(timeout=timeout)

    def restart(self, name: str, *, timeout: float) -> None:
        self._starter(name).restart(timeout=timeout)

    def signal(self, name: str, signal: str, *, timeout: float) -> None:
        self._starter(name).signal(signal, timeout=timeout)

    def tail(self, name: str, lines: int) -> str:
        starter = self._starters.get(name)
        return starter.tail(lines) if starter is not None else ""

    def _starter(self, name: str) -> Starter:
        starter = self._starters.get(name)
        if starter is None:
            raise StepFailed(f"service {one_line(name)}: {self._unknown()}")
        return starter

    def _unknown(self) -> str:
        return f"the environment has none of this name (it has: {', '.join(self._starters) or 'none'})"


class CommandStarter:
    """A starter made of the operator's commands, which are argument lists.

    ``status`` exits 0 where the process runs, 3 where it is stopped, 4 where it cannot tell, anything else
    where it failed: as init scripts and ``systemctl is-active`` do. Without ``status`` the state cannot be asked.
    """

    def __init__(
        self,
        commands: Commands,
        name: str,
        *,
        up: Sequence[str],
        down: Sequence[str],
        status: Sequence[str] | None = None,
    ) -> None:
        self._commands = commands
        self._name = name
        self._up = tuple(up)
        self._down = tuple(down)
        self._status = tuple(status) if status else None
        self._last: CommandResult | None = None

    def state(self, *, timeout: float) -> ServiceState:
        if self._status is None:
            raise Unreachable(f"service {self._name}", "the environment gives no status command to ask with")
        try:
            result = self._commands.look(self._status, timeout=timeout)
        except StepFailed as failure:
            raise Unreachable(f"service {self._name}", one_line(failure.message)) from failure
        if result.code == _IS_UNKNOWN or result.code < 0:
            how = f"signal {-result.code}" if result.code < 0 else f"exit {result.code}"
            raise Unreachable(
                f"service {self._name}", f"its status command could not tell ({how}){_said(result)}"
            )
        return {_IS_RUNNING: ServiceState.RUNNING, _IS_STOPPED: ServiceState.STOPPED}.get(
            result.code, ServiceState.FAILED
        )

    def up(self, *, timeout: float) -> None:
        until = time.monotonic() + timeout
        if not self._is(ServiceState.RUNNING, timeout):
            self._run("up", self._up, until)

    def down(self, *, timeout: float) -> None:
        until = time.monotonic() + timeout
        if not self._is(ServiceState.STOPPED, timeout):
            self._run("down", self._down, until)

    def restart(self, *, timeout: float) -> None:
        until = time.monotonic() + timeout
        self._run("down", self._down, until)
        self._run("up", self._up, until)

    def signal(self, signal: str, *, timeout: float) -> None:
        raise StepFailed(
            f"service {self._name} is started by a command, so its main process is not known here:"
            f" no signal {one_line(signal)} was sent",
            hint="use the reload strategy `command`, or have it started by supervisord",
        )

    def tail(self, lines: int) -> str:
        return _output(self._last, lines) if self._last is not None else ""

    def _is(self, state: ServiceState, timeout: float) -> bool:
        if self._status is None:
            return False
        try:
            return self.state(timeout=timeout) is state
        except Unreachable:
            # Whether it runs cannot be told; the command itself is harmless where there is nothing to do.
            return False

    def _run(self, verb: str, argv: Sequence[str], until: float) -> None:
        result = self._commands.run(argv, timeout=max(until - time.monotonic(), 0.1))
        self._last = result
        if result.code != 0:
            how = f"was ended by signal {-result.code}" if result.code < 0 else f"exited {result.code}"
            raise StepFailed(
                f"service {self._name}: its {verb} command {how}: {one_line(' '.join(argv))}{_said(result)}"
            )


class ExternalStarter:
    """A process that somebody else starts and stops."""

    def __init__(self, name: str) -> None:
        self._name = name

    def state(self, *, timeout: float) -> ServiceState:
        return ServiceState.EXTERNAL

    def up(self, *, timeout: float) -> None:
        raise self._not_ours("started", "start")

    def down(self, *, timeout: float) -> None:
        raise self._not_ours("stopped", "stop")

    def restart(self, *, timeout: float) -> None:
        raise self._not_ours("restarted", "restart")

    def signal(self, signal: str, *, timeout: float) -> None:
        raise self._not_ours(f"sent the signal {one_line(signal)}", "signal")

    def tail(self, lines: int) -> str:
        return ""

    def _not_ours(self, done: str, verb: str) -> StepFailed:
        return StepFailed(
            f"{self._name} was not {done}: the environment says that somebody else does it (start: external)",
            hint=f"{verb} it by hand, or give it a `start:` in the environment file",
        )


def _output(result: CommandResult, lines: int) -> str:
    found = last_lines(result.stderr, lines).splitlines()
    if len(found) < lines:
        found = last_lines(result.stdout, lines - len(found)).splitlines() + found
    return "\n".join(found)


def _said(result: CommandResult) -> str:
    text = _output(result, _LINES)
    return "; its last lines:\n" + "\n".join("  " + line for line in text.splitlines()) if text else ""
