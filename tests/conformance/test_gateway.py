"""Gateway: what every implementation promises, over the fake and the real one on real HTTP servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.real_parts import gateway_routes, serving
from tracseq_migrate.adapters.gateway import HttpGateway
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.memory.gateway import MemoryGateway
from tracseq_migrate.ports import Gateway, Unreachable

NAMES = {"USE_STORAGE_SERVICE": "storage", "USE_RAG_SERVICE": "rag"}


@dataclass
class World:
    gateway: Gateway
    url: str
    turn_on_at_second: Callable[[], None]
    stop_second: Callable[[], None]


@pytest.fixture(params=["memory", "real"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        declared = {"USE_STORAGE_SERVICE": "false"}
        fake = MemoryGateway(["one", "two"], NAMES, lambda: declared, url="http://public.invalid")

        def turn_on() -> None:
            declared["USE_STORAGE_SERVICE"] = "true"
            fake.reload("two")

        yield World(fake, "http://public.invalid", turn_on, lambda: fake.down.update(two="it is down"))
        return
    first, second = ({"storage": False, "rag": False} for _ in range(2))
    with serving(gateway_routes(first)) as one, serving(gateway_routes(second)) as two:
        http = HttpxHttp({"gateway": one.url, "one": one.url, "two": two.url})
        real = HttpGateway(http, instances=["one", "two"], names=NAMES)
        yield World(real, one.url, lambda: second.update(storage=True), two.routes.clear)


def test_instances_and_url(world: World) -> None:
    assert (list(world.gateway.instances), world.gateway.url) == (["one", "two"], world.url)


def test_flags_are_read_by_variable(world: World) -> None:
    flags = world.gateway.flags("one", timeout=5)
    assert flags.instance == "one"
    assert {name: reading.effective for name, reading in flags.readings.items()} == dict.fromkeys(
        NAMES, False
    )
    assert "TracSeq API Gateway" in flags.identity
    assert flags.health["status"] == "healthy"


def test_each_instance_speaks_for_itself(world: World) -> None:
    world.turn_on_at_second()
    on, off = (
        world.gateway.flags(name, timeout=5).readings["USE_STORAGE_SERVICE"] for name in ("two", "one")
    )
    assert (on.feature, on.enabled, on.effective) == (True, True, True)
    assert on.url is not None
    assert (off.effective, off.url) == (False, None)


def test_without_an_instance_clients_way_is_asked(world: World) -> None:
    assert set(world.gateway.flags(timeout=5).readings) == set(NAMES)


def test_an_instance_that_is_down_is_unreachable(world: World) -> None:
    world.stop_second()
    with pytest.raises(Unreachable, match="two"):
        world.gateway.flags("two", timeout=5)
    assert world.gateway.flags("one", timeout=5).readings["USE_RAG_SERVICE"].effective is False


def test_an_unknown_instance_is_unreachable_and_named(world: World) -> None:
    with pytest.raises(Unreachable, match=r"three.*one, two"):
        world.gateway.flags("three", timeout=5)
