"""Which side owns a prefix now: what the gateway says of its routing, asked often enough to see it disagree with itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracseq_migrate.sandbox.load.connection import Address, Broken, Connection

_FRESH_CONNECTIONS = 6
_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Ownership:
    """By the gateway's keys: true where the service answers. ``mixed`` are those that instances answer differently about."""

    services: Mapping[str, bool]
    mixed: frozenset[str] = frozenset()

    def service_owns(self, flag: str) -> bool | None:
        """None where there is no telling. A key that the gateway does not route by belongs to the monolith."""
        return None if flag in self.mixed else self.services.get(flag, False)


class NoTelling(Exception):
    """The gateway could not be asked who owns what."""


async def ask(gateway: str, instances: Sequence[str], *, timeout: float) -> Ownership:
    """Ask the gateway on fresh connections, and each of its instances, until they agree or the time is over.

    Instances that are down are not asked again: nobody is routed by them.

    Raises:
        NoTelling: nobody gave an answer that could be read, within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            owned = await _ask_once(gateway, instances, timeout=min(timeout, 5.0))
        except NoTelling:
            if time.monotonic() >= deadline:
                raise
        else:
            if not owned.mixed or time.monotonic() >= deadline:
                return owned
        await asyncio.sleep(_PAUSE)


async def _ask_once(gateway: str, instances: Sequence[str], *, timeout: float) -> Ownership:
    readings = [await _read(gateway, timeout=timeout) for _ in range(_FRESH_CONNECTIONS)]
    for instance in instances:
        try:
            readings.append(await _read(instance, timeout=timeout))
        except NoTelling:
            continue
    keys = {key for reading in readings for key in reading}
    answers = {key: {reading.get(key, False) for reading in readings} for key in keys}
    mixed = frozenset(key for key, values in answers.items() if len(values) > 1)
    return Ownership({key: True in values for key, values in answers.items() if key not in mixed}, mixed)


async def _read(url: str, *, timeout: float) -> dict[str, bool]:
    connection = Connection(Address.of(url), timeout=timeout)
    try:
        reply = await connection.request("GET", "/routing-status")
        body = reply.json()
        # Whether a prefix is routed is what this map says; a key of `feature_flags` alone routes nothing.
        services = body["routing_configuration"]["microservices"]
        return {key: services[key]["enabled"] is True for key in services}
    except Broken as broken:
        raise NoTelling(f"{url}/routing-status: {broken.why}") from broken
    except (ValueError, KeyError, TypeError) as error:
        raise NoTelling(f"{url}/routing-status answers {reply.status} with something else") from error
    finally:
        connection.close()
