"""Strategies without a proxy to command: nothing is prepared, and the commit is the whole reload."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from tracseq_migrate import duration
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Clock, Commands, Gateway, Services
from tracseq_migrate.routing.readback import CONNECTIONS, STARTED_ANEW, await_flags, disagreements


class Reload(ABC):
    """The parts that all reloads share; ``measured`` is what the last one took clients, in seconds, where that is known."""

    strategy: str
    patience: float = float("inf")

    def __init__(self, gateway: Gateway, clock: Clock, *, start: float, measured: float | None) -> None:
        self._gateway = gateway
        self._clock = clock
        self._start = start
        self._measured = measured

    def unfinished(self) -> str:
        return ""

    def prepare(self, expect: Mapping[str, bool], *, timeout: float) -> Sequence[str]:
        return ()

    def commit(self, expect: Mapping[str, bool], *, timeout: float, epoch: int | None = None) -> None:
        self._reload(expect, self._clock.monotonic() + timeout)

    def finish(self, expect: Mapping[str, bool], *, timeout: float) -> None:
        """The commit took every instance along, so only what is still behind is reloaded: normally none."""
        self._reload(expect, self._clock.monotonic() + timeout)

    def abort(self, expect: Mapping[str, bool], *, timeout: float, epoch: int | None = None) -> None:
        self._reload(expect, self._clock.monotonic() + timeout)

    holds = False
    swaps = False

    def hold(self, prefixes: Sequence[str], *, seconds: float) -> None:
        return  # nobody is there who could

    def release(self) -> None:
        return  # nothing is held

    def writes_in_flight(self, prefixes: Sequence[str]) -> int | None:
        return None

    def forecast(self) -> str:
        last = (
            f"the last one took clients {duration.show(self._measured)}"
            if self._measured is not None
            else "how long is not known before the first one was measured here"
        )
        return f"{self._notice()}; {last}"

    @abstractmethod
    def _notice(self) -> str:
        """What clients will notice, without the number."""

    @abstractmethod
    def _reload(self, expect: Mapping[str, bool], deadline: float) -> None:
        """Make all instances follow the store, and see that they do."""

    def _follows(self, name: str, expect: Mapping[str, bool]) -> bool:
        wrong = disagreements(self._gateway, expect, instances=[name], connections=1, timeout=2.0)
        return not wrong

    def _await(self, names: Sequence[str], expect: Mapping[str, bool], deadline: float) -> None:
        now = self._clock.monotonic()
        await_flags(
            self._gateway,
            self._clock,
            expect,
            instances=names,
            deadline=max(now + 0.1, min(deadline, now + self._start)),
            connections=CONNECTIONS,
            patience=self.patience,
        )


class Restart(Reload):
    """Strategy ``supervisor``: instances that do not follow the store yet are restarted, all at once."""

    strategy = "supervisor"
    patience = STARTED_ANEW

    def __init__(
        self, gateway: Gateway, services: Services, clock: Clock, *, start: float, measured: float | None
    ) -> None:
        super().__init__(gateway, clock, start=start, measured=measured)
        self._services = services

    def _notice(self) -> str:
        return "requests will fail while the gateway restarts, because no proxy stands in front of it (put one there first)"

    def _reload(self, expect: Mapping[str, bool], deadline: float) -> None:
        behind = [name for name in self._gateway.instances if not self._follows(name, expect)]
        for name in behind:
            left = max(0.1, deadline - self._clock.monotonic())
            self._services.restart(name, timeout=min(self._start, left))
        self._await(behind, expect, deadline)


class Rolling(Restart):
    """Strategy ``rolling``: one instance after the other, each seen before the next."""

    strategy = "rolling"

    def _notice(self) -> str:
        return (
            "for the time of the roll old and new flags are mixed, and requests fail that a restarting instance gets "
            "(unless what stands in front leaves it out)"
        )

    def _reload(self, expect: Mapping[str, bool], deadline: float) -> None:
        for name in self._gateway.instances:
            if not self._follows(name, expect):
                left = max(0.1, deadline - self._clock.monotonic())
                self._services.restart(name, timeout=min(self._start, left))
                self._await([name], expect, deadline)


class Signal(Reload):
    """Strategy ``signal``: a signal makes each instance read its surroundings anew."""

    strategy = "signal"

    def __init__(
        self,
        gateway: Gateway,
        services: Services,
        clock: Clock,
        *,
        signal: str,
        start: float,
        measured: float | None,
    ) -> None:
        super().__init__(gateway, clock, start=start, measured=measured)
        self._services = services
        self._signal = signal

    def _notice(self) -> str:
        return "old and new flags may be mixed for some seconds, and kept-alive connections may break"

    def _reload(self, expect: Mapping[str, bool], deadline: float) -> None:
        behind = [name for name in self._gateway.instances if not self._follows(name, expect)]
        for name in behind:
            self._services.signal(name, self._signal, timeout=max(0.1, deadline - self._clock.monotonic()))
        self._await(behind, expect, deadline)


class ByCommand(Reload):
    """Strategy ``command``: a program of the operator reloads the gateway; what it did is seen, not believed."""

    strategy = "command"

    def __init__(
        self,
        gateway: Gateway,
        commands: Commands,
        clock: Clock,
        *,
        argv: Sequence[str],
        start: float,
        measured: float | None,
    ) -> None:
        super().__init__(gateway, clock, start=start, measured=measured)
        self._commands = commands
        self._argv = tuple(argv)

    def _notice(self) -> str:
        return f"what clients notice depends on `{' '.join(self._argv)}`"

    def _reload(self, expect: Mapping[str, bool], deadline: float) -> None:
        behind = [name for name in self._gateway.instances if not self._follows(name, expect)]
        if not behind:
            return
        result = self._commands.run(self._argv, timeout=max(0.1, deadline - self._clock.monotonic()))
        if result.code:
            tail = result.stderr.strip() or result.stdout.strip()
            raise StepFailed(f"`{' '.join(self._argv)}` exited with {result.code}: {tail[-500:]}")
        self._await(self._gateway.instances, expect, deadline)
