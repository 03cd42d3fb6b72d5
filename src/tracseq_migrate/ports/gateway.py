"""The gateway as it answers, the proxy in front of it, and how its processes are made to take up new flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any, Protocol

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.mark import changes


@frozen
class Route:
    """What one flag decides: requests whose path begins with ``prefix`` go to ``service`` where it is on.

    ``flag`` is the variable's name in the store, ``key`` its name in the gateway's answers.
    """

    flag: str
    key: str
    prefix: str
    service: str


class Routes(dict[str, Route]):
    """Routes by flag, that can also be asked by prefix and by service. It must not change once it was asked so."""

    @staticmethod
    def of(routes: Mapping[str, Route]) -> Routes:
        """These routes; themselves where they can be asked already."""
        return routes if isinstance(routes, Routes) else Routes(routes)

    @cached_property
    def _by_prefix(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for route in self.values():
            found.setdefault(route.prefix, set()).add(route.service)
        return {prefix: frozenset(services) for prefix, services in found.items()}

    @cached_property
    def services(self) -> frozenset[str]:
        """Every service that some flag routes to."""
        return frozenset(route.service for route in self.values())

    def behind(self, prefix: str) -> frozenset[str]:
        """The services that a flag routes exactly this prefix to."""
        return self._by_prefix.get(prefix, frozenset())


@frozen
class Reading:
    """One flag as one instance has it: what each of the two maps of /routing-status says (None: not in that map)."""

    feature: bool | None
    enabled: bool | None
    url: str | None = None

    @property
    def effective(self) -> bool | None:
        """On or off where both maps agree; None where they do not, or where the gateway does not know the flag."""
        return self.feature if self.feature == self.enabled else None


@frozen
class GatewayFlags:
    """The effective flags of one instance, by variable name; ``identity`` names the program that answered /health."""

    instance: str
    readings: Mapping[str, Reading]
    identity: str
    version: str
    health: Mapping[str, Any] = field(default_factory=dict)


class Gateway(Protocol):
    """The gateway's own account of itself."""

    @property
    def url(self) -> str:
        """Where clients reach it: the proxy's address, or the only instance's."""
        ...

    @property
    def instances(self) -> Sequence[str]:
        """The names of its instances, in the environment's order."""
        ...

    def flags(self, instance: str | None = None, *, timeout: float) -> GatewayFlags:
        """Ask one instance, on a fresh connection; None asks whichever the proxy gives.

        Raises:
            Unreachable: no answer, or an answer that is not this gateway's (HTML, another program, 404 on
                /routing-status); says which.
        """
        ...


class StaleSwitch(Exception):
    """A switch was refused: in its scope somebody has switched under a later epoch. The rotation is as it was."""

    def __init__(self, epoch: int, last: int) -> None:
        super().__init__(f"epoch {epoch} is over: the proxy was switched under epoch {last}")
        self.epoch = epoch
        self.last = last


class Proxy(Protocol):
    """What stands in front of the gateway's instances."""

    @property
    def kind(self) -> str: ...

    def in_rotation(self) -> frozenset[str]:
        """The instances that get new requests now. Raises `Unreachable`."""
        ...

    @changes
    def switch(self, to: Sequence[str], *, epoch: int | None = None, scope: str = "") -> None:
        """Give new requests to exactly these instances; requests under way finish where they are.

        Args:
            epoch: of the claim under which this is done; compared and kept in one move with the switch, in the proxy.
                None: compares nothing, and leaves what is kept. A proxy that can keep none compares none, nor holds.
            scope: what the epoch counts, since each thing that is claimed has epochs of its own.

        Raises:
            Unreachable: the proxy could not be asked; nothing may be assumed about the rotation.
            StaleSwitch: in this scope somebody has switched under a later epoch; nothing was changed.
        """
        ...

    def in_flight(self, instance: str) -> int | None:
        """Requests under way on an instance; None where this proxy cannot tell."""
        ...

    @property
    def holds(self) -> bool:
        """Whether it can make writes wait, as it runs now. Raises `Unreachable`."""
        ...

    def hold(self, prefixes: Sequence[str], *, seconds: float) -> None:
        """Make writes (POST, PUT, PATCH, DELETE) whose path begins with one of these prefixes wait from here on.

        They wait no longer than ``seconds`` each, and all go on that long after this call at the latest, whatever became of
        the caller: nobody has to undo it. Called again it adds prefixes and begins the time anew.

        Raises:
            Unreachable: the proxy could not be asked, or cannot hold (the reason says what it lacks).
        """
        ...

    def release(self) -> None:
        """Let everything go that waits, and hold nothing more; harmless where nothing is held. Raises `Unreachable`."""
        ...

    def held(self) -> frozenset[str]:
        """The prefixes that are held at this moment; empty where it cannot hold. Raises `Unreachable`."""
        ...

    def writes_in_flight(self, prefixes: Sequence[str]) -> int | None:
        """Writes below the prefixes that were passed on and are not answered yet, those that wait not counted; None where
        this proxy cannot tell. Raises `Unreachable`."""
        ...


class Rollout(Protocol):
    """Makes the gateway's processes take up the flags that the store declares, in three moves.

    ``prepare`` is empty where nothing can be prepared; then ``commit`` is the whole reload.
    """

    @property
    def strategy(self) -> str: ...

    def forecast(self) -> str:
        """What clients will notice, in one sentence, from what the environment allows and what was measured before."""
        ...

    def unfinished(self) -> str:
        """What a rollout that was broken off has left undone apart from flags, such as an instance out of rotation; empty
        when nothing. Raises `Unreachable`."""
        ...

    @changes
    def prepare(self, expect: Mapping[str, bool], *, timeout: float) -> Sequence[str]:
        """Bring instances with the new flags up, out of rotation, and check them on their own address.

        Returns the names of the instances that are prepared; empty where this strategy can prepare none.

        Raises:
            StepFailed: an instance did not come up, or came up with other flags. The rotation is as it was.
        """
        ...

    @changes
    def commit(self, expect: Mapping[str, bool], *, timeout: float, epoch: int | None = None) -> None:
        """Give the requests to the prepared instances (or reload, where nothing was prepared).

        Args:
            epoch: of whoever switches, where data changes its owner: who switched last under a later one is not overruled.

        Raises:
            StepFailed: it did not come about.
            StaleSwitch: somebody has switched under a later epoch.
        """
        ...

    @changes
    def finish(self, expect: Mapping[str, bool], *, timeout: float) -> None:
        """Drain the old instances, bring them up with the new flags, and put all back into rotation. Raises `StepFailed`."""
        ...

    @property
    def swaps(self) -> bool:
        """Whether instances with other flags are swapped in at once, by something that stands in front of them."""
        ...

    @property
    def holds(self) -> bool:
        """Whether what stands in front can make writes wait for a moment."""
        ...

    def hold(self, prefixes: Sequence[str], *, seconds: float) -> None:
        """Make writes below these prefixes wait from here on; they are let go after so many seconds whatever happens, so that
        nothing is left behind that somebody would have to undo. Nothing where nobody `holds`. Raises `Unreachable`."""
        ...

    def release(self) -> None:
        """Let them go. Raises `Unreachable`."""
        ...

    def writes_in_flight(self, prefixes: Sequence[str]) -> int | None:
        """Writes below the prefixes that the gateway has, and has not answered yet; None where nobody can tell. Raises
        `Unreachable`."""
        ...

    @changes
    def abort(self, expect: Mapping[str, bool], *, timeout: float, epoch: int | None = None) -> None:
        """From any state back to all instances up, in rotation, with what the store declares now (``expect``).

        Raises:
            StepFailed: it could not; the message says what is left.
        """
        ...
