"""A gateway and the proxy in front of it, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from tracseq_migrate.ports import GatewayFlags, Reading, StaleSwitch, Unreachable

_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})


class MemoryProxy:
    """`Proxy` over a set of names. ``down`` says why it does not answer (empty: it does); ``requests`` are in flight.

    ``writes`` are the paths of writes in flight, one an element; ``holds`` may be set to false, as of a proxy that cannot.
    """

    kind = "memory"

    def __init__(self, instances: Iterable[str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._instances = tuple(instances)
        self.rotation = frozenset(self._instances)
        self.requests: dict[str, int] = {}
        self.switches: list[tuple[str, ...]] = []
        self.down = ""
        self.holds = True
        self.writes: list[str] = []
        self.epochs: dict[str, int] = {}
        self._monotonic = monotonic
        self._held: frozenset[str] = frozenset()
        self._until = 0.0

    def in_rotation(self) -> frozenset[str]:
        self._ask()
        return self.rotation

    def switch(self, to: Sequence[str], *, epoch: int | None = None, scope: str = "") -> None:
        if not to:
            raise ValueError("a proxy cannot be switched to no instance at all")
        self._ask()
        for name in to:
            self._known(name)
        if epoch is not None:
            last = self.epochs.get(scope, epoch)
            if epoch < last:
                raise StaleSwitch(epoch, last)
            self.epochs[scope] = epoch
        self.switches.append(tuple(to))
        self.rotation = frozenset(to)

    def in_flight(self, instance: str) -> int | None:
        self._ask()
        self._known(instance)
        return self.requests.get(instance, 0)

    def hold(self, prefixes: Sequence[str], *, seconds: float) -> None:
        self._ask()
        if not self.holds:
            raise Unreachable("proxy", "cannot hold writes")
        self._held = self.held() | frozenset(prefixes)
        self._until = self._monotonic() + seconds

    def release(self) -> None:
        self._ask()
        self._held = frozenset()

    def held(self) -> frozenset[str]:
        self._ask()
        return self._held if self._monotonic() < self._until else frozenset()

    def writes_in_flight(self, prefixes: Sequence[str]) -> int | None:
        self._ask()
        return sum(path.startswith(tuple(prefixes)) for path in self.writes) if self.holds else None

    def _ask(self) -> None:
        if self.down:
            raise Unreachable("proxy", self.down)

    def _known(self, name: str) -> None:
        if name not in self._instances:
            raise Unreachable("proxy", f"has no server {name}; it has {', '.join(self._instances)}")


class MemoryGateway:
    """`Gateway` whose instances take up what ``declared`` says when they are (re)started, and not before.

    ``effective`` holds each instance's flags and may be bent by a test (a stuck flag); ``unknown`` are variables that the
    gateway does not know; ``down`` maps an instance to why it does not answer.
    """

    def __init__(
        self,
        instances: Sequence[str],
        names: Mapping[str, str],
        declared: Callable[[], Mapping[str, str]],
        *,
        url: str = "http://gateway.invalid",
        proxy: MemoryProxy | None = None,
    ) -> None:
        self._instances = tuple(instances)
        self._names = dict(names)
        self._declared = declared
        self._url = url
        self._proxy = proxy
        self._asked = 0
        self.unknown: set[str] = set()
        self.down: dict[str, str] = {}
        self.effective: dict[str, dict[str, bool]] = {}
        for instance in self._instances:
            self.reload(instance)

    @property
    def url(self) -> str:
        return self._url

    @property
    def instances(self) -> Sequence[str]:
        return self._instances

    def reload(self, instance: str) -> None:
        """The instance starts anew and reads its surroundings; harmless for a name that is no instance."""
        if instance in self._instances:
            declared = self._declared()
            self.effective[instance] = {
                variable: declared.get(variable, "false").lower() in _TRUE for variable in self._names
            }
            self.down.pop(instance, None)

    def flags(self, instance: str | None = None, *, timeout: float) -> GatewayFlags:
        asked = instance if instance is not None else self._some()
        if asked not in self._instances:
            known = ", ".join(self._instances)
            raise Unreachable(
                f"gateway instance {asked}", f"the environment has no such instance (it has: {known})"
            )
        if asked in self.down:
            raise Unreachable(f"gateway instance {asked}", self.down[asked])
        return GatewayFlags(
            instance=asked if instance is not None else "gateway",
            readings={variable: self._reading(asked, variable) for variable in self._names},
            identity="TracSeq API Gateway (in memory)",
            version="0",
            health={"status": "healthy", "service": "TracSeq API Gateway (in memory)"},
        )

    def _some(self) -> str:
        """An instance that gets requests now, in turn."""
        rotation = self._proxy.in_rotation() if self._proxy is not None else frozenset(self._instances)
        serving = [name for name in self._instances if name in rotation and name not in self.down]
        if not serving:
            raise Unreachable("gateway", "no instance answers")
        self._asked += 1
        return serving[self._asked % len(serving)]

    def _reading(self, instance: str, variable: str) -> Reading:
        if variable in self.unknown:
            return Reading(feature=None, enabled=None)
        on = self.effective[instance][variable]
        return Reading(feature=on, enabled=on, url=f"http://{self._names[variable]}.invalid" if on else None)
