"""Strategy ``proxy``: half of the instances take the new flags up out of rotation, then the proxy swaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracseq_migrate import duration
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Clock, Gateway, Proxy, Services, Unreachable
from tracseq_migrate.routing.readback import CONNECTIONS, STARTED_ANEW, await_flags, disagreements

_PAUSE = 0.02


class ProxySwap:
    """Converges on the expected flags from any state, so that going on after a crash is the same as starting.

    Clients never see old and new flags mixed: an instance is in rotation either before the swap with the old, or after it
    with the new flags.
    """

    strategy = "proxy"

    def __init__(
        self,
        gateway: Gateway,
        proxy: Proxy,
        services: Services,
        clock: Clock,
        *,
        start: float,
        drain: float,
    ) -> None:
        """``start``: seconds that an instance may take to come up; ``drain``: that old requests may take to end."""
        self._gateway = gateway
        self._proxy = proxy
        self._services = services
        self._clock = clock
        self._start = start
        self._drain = drain

    def forecast(self) -> str:
        half = len(self._gateway.instances) - len(self._gateway.instances) // 2
        return (
            f"no request should fail: {half} of {len(self._gateway.instances)} instances take the flags up out of rotation, "
            f"then {self._proxy.kind} swaps in milliseconds; requests under way get {duration.show(self._drain)} to end"
        )

    def unfinished(self) -> str:
        rotation = self._proxy.in_rotation()
        out = [name for name in self._gateway.instances if name not in rotation]
        return f"{' and '.join(out)} out of {self._proxy.kind}'s rotation" if out else ""

    def prepare(self, expect: Mapping[str, bool], *, timeout: float) -> Sequence[str]:
        deadline = self._clock.monotonic() + timeout
        ready = self._having(expect)
        if not ready:
            group = self._first_group()
            rest = [name for name in self._gateway.instances if name not in group]
            self._switch(rest)
            for name in group:
                self._renew(name, expect, deadline)
            ready = group
        return ready

    def commit(self, expect: Mapping[str, bool], *, timeout: float, epoch: int | None = None) -> None:
        ready = self._having(expect)
        if not ready:
            raise StepFailed(
                "no instance of the gateway has the expected flags, so there is nothing to swap to"
            )
        # Each set of flags is claimed apart from the others, so its epochs are compared with each other only.
        self._switch(ready, epoch, scope=" ".join(sorted(expect)))

    def finish(self, expect: Mapping[str, bool], *, timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        ready = self._having(expect)
        for name in self._gateway.instances:
            if name not in ready:
                self._renew(name, expect, deadline)
        self._switch(self._gateway.instances)

    def abort(self, expect: Mapping[str, bool], *, timeout: float, epoch: int | None = None) -> None:
        deadline = self._clock.monotonic() + timeout
        self.prepare(expect, timeout=timeout)
        self.commit(expect, timeout=timeout, epoch=epoch)
        self.finish(expect, timeout=max(1.0, deadline - self._clock.monotonic()))

    swaps = True

    @property
    def holds(self) -> bool:
        return self._proxy.holds

    def hold(self, prefixes: Sequence[str], *, seconds: float) -> None:
        if self._proxy.holds:
            self._proxy.hold(prefixes, seconds=seconds)

    def release(self) -> None:
        if self._proxy.holds:
            self._proxy.release()

    def writes_in_flight(self, prefixes: Sequence[str]) -> int | None:
        return self._proxy.writes_in_flight(prefixes) if self._proxy.holds else None

    def _having(self, expect: Mapping[str, bool]) -> list[str]:
        """The instances that have exactly the expected flags now, asked on their own addresses."""
        return [
            name
            for name in self._gateway.instances
            if not disagreements(
                self._gateway, expect, instances=[name], connections=1, timeout=min(2.0, self._start)
            )
        ]

    def _first_group(self) -> list[str]:
        """The larger half, beginning with those that serve nobody: the dead ones and those out of rotation."""
        rotation = self._rotation()

        def serves(name: str) -> bool:
            if name not in rotation:
                return False
            try:
                self._gateway.flags(name, timeout=min(2.0, self._start))
            except Unreachable:
                return False
            return True

        serving = [name for name in self._gateway.instances if serves(name)]
        idle = [name for name in self._gateway.instances if name not in serving]
        if idle:
            return idle
        return serving[len(serving) // 2 :]

    def _renew(self, name: str, expect: Mapping[str, bool], deadline: float) -> None:
        """Let the requests of an instance end, start it anew, and see the flags on its own address."""
        until = min(deadline, self._clock.monotonic() + self._drain)
        while self._clock.monotonic() < until:
            try:
                if not self._proxy.in_flight(name):
                    break
            except Unreachable as error:
                raise StepFailed(
                    f"the proxy could not be asked what is under way on {name}: {error.why}"
                ) from error
            self._clock.sleep(_PAUSE)
        left = max(0.1, min(self._start, deadline - self._clock.monotonic()))
        began = self._clock.monotonic()
        self._services.restart(name, timeout=left)
        await_flags(
            self._gateway,
            self._clock,
            expect,
            instances=[name],
            deadline=max(began + left, self._clock.monotonic() + 0.1),
            connections=CONNECTIONS,
            patience=STARTED_ANEW,
        )

    def _switch(self, names: Sequence[str], epoch: int | None = None, *, scope: str = "") -> None:
        # Under an epoch it is said again, though nothing changes by it: an earlier epoch must not switch after this.
        if not names or (epoch is None and self._rotation() == frozenset(names)):
            return
        try:
            self._proxy.switch(names, epoch=epoch, scope=scope)
        except Unreachable as error:
            raise StepFailed(
                f"the proxy could not be told to use {', '.join(names)}: {error.why}", unknown=True
            ) from error

    def _rotation(self) -> frozenset[str]:
        try:
            return self._proxy.in_rotation()
        except Unreachable as error:
            raise StepFailed(f"the proxy could not be asked who is in rotation: {error.why}") from error
