"""Services in memory: states that a test looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import ServiceState, Unreachable


class MemoryServices:
    """`Services` over a table of states.

    ``failing`` maps a name to what it writes before it dies at its start; ``unreachable`` maps one to why its starter does
    not answer; ``calls`` lists (verb, name) in order. ``on_up`` and ``on_down`` are told of each start and end of a process,
    so that a gateway in memory takes up its flags.
    """

    def __init__(
        self,
        names: Sequence[str],
        others: Sequence[str] = (),
        *,
        on_up: Callable[[str], None] | None = None,
        on_down: Callable[[str], None] | None = None,
    ) -> None:
        self._names = tuple(names)
        self._on_up = on_up
        self._on_down = on_down
        self.states = dict.fromkeys((*names, *others), ServiceState.STOPPED)
        self.failing: dict[str, str] = {}
        self.unreachable: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def state(self, name: str, *, timeout: float) -> ServiceState:
        if name not in self.states:
            raise Unreachable(f"service {name}", "the environment has none of this name")
        if name in self.unreachable:
            raise Unreachable(f"service {name}", self.unreachable[name])
        return self.states[name]

    def up(self, name: str, *, timeout: float) -> None:
        self._reach("up", name)
        if self.states[name] is ServiceState.RUNNING:
            return
        if name in self.failing:
            self.states[name] = ServiceState.FAILED
            raise StepFailed(f"service {name} did not come up; its last lines:\n  {self.failing[name]}")
        self.states[name] = ServiceState.RUNNING
        if self._on_up is not None:
            self._on_up(name)

    def down(self, name: str, *, timeout: float) -> None:
        self._reach("down", name)
        if self.states[name] is not ServiceState.RUNNING:
            self.states[name] = ServiceState.STOPPED
            return
        self.states[name] = ServiceState.STOPPED
        if self._on_down is not None:
            self._on_down(name)

    def restart(self, name: str, *, timeout: float) -> None:
        self.down(name, timeout=timeout)
        self.up(name, timeout=timeout)

    def signal(self, name: str, signal: str, *, timeout: float) -> None:
        self._reach(f"signal {signal.upper().removeprefix('SIG')}", name)
        if self.states[name] is not ServiceState.RUNNING:
            raise StepFailed(f"service {name} got no signal: it does not run")

    def tail(self, name: str, lines: int) -> str:
        return "\n".join(self.failing.get(name, "").splitlines()[-lines:]) if lines > 0 else ""

    def _reach(self, verb: str, name: str) -> None:
        if name not in self.states:
            raise StepFailed(f"service {name}: the environment has none of this name")
        if name in self.unreachable:
            raise StepFailed(f"service {name}: {self.unreachable[name]}")
        if self.states[name] is ServiceState.EXTERNAL:
            raise StepFailed(f"service {name} was not changed: somebody else starts and stops it")
        self.calls.append((verb, name))
