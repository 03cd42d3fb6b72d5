"""Proxy: what every implementation promises, over the fake, a real haproxy and a real Caddy."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real_parts import Exchange, Handler, caddy, haproxy, serving, wait_until
from tracseq_migrate.adapters.caddy import CaddyProxy
from tracseq_migrate.adapters.haproxy import HaproxyProxy
from tracseq_migrate.adapters.memory.gateway import MemoryProxy
from tracseq_migrate.ports import Proxy, Unreachable

BOTH = frozenset({"one", "two"})


@dataclass
class World:
    """A proxy in front of ``one`` and ``two``; ``answers`` asks it as a client and says which of them answered."""

    proxy: Proxy
    answers: Callable[[], str] | None
    held: threading.Event | None
    ask_slowly: Callable[[], str] | None


def instance(name: str, held: threading.Event) -> dict[str, Handler]:
    def slow(exchange: Exchange) -> None:
        held.wait(20)
        exchange.say(200, name)

    def quick(exchange: Exchange) -> None:
        exchange.say(200, name)

    return {"/slow": slow, "*": quick}


def ask(port: int, path: str = "/") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(params=["memory", "haproxy", "haproxy-unchecked", "caddy", "caddy-slots"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield World(MemoryProxy(["one", "two"]), None, None, None)
        return
    held = threading.Event()
    with serving(instance("one", held)) as one, serving(instance("two", held)) as two:
        ports = {"one": one.port, "two": two.port}
        try:
            if request.param.startswith("caddy"):
                slots = tmp_path if request.param == "caddy-slots" else None
                with caddy(ports, slots=slots) as (admin, port):
                    dials = {name: f"127.0.0.1:{at}" for name, at in ports.items()}
                    yield World(CaddyProxy(admin, dials), lambda: ask(port), held, lambda: ask(port, "/slow"))
            else:
                with haproxy(ports, check=request.param == "haproxy") as (path, port):
                    yield World(
                        HaproxyProxy(path, "gateway"), lambda: ask(port), held, lambda: ask(port, "/slow")
                    )
        finally:
            held.set()


def test_all_instances_are_in_rotation_at_first(world: World) -> None:
    assert world.proxy.in_rotation() == BOTH


def test_a_switch_there_and_back(world: World) -> None:
    for to in (["two"], ["one"], ["two", "one"], ["two"], ["two"]):
        world.proxy.switch(to)
        assert world.proxy.in_rotation() == frozenset(to)
        if world.answers is not None:
            assert {world.answers() for _ in range(8)} == set(to)


def test_an_unknown_instance_changes_nothing(world: World) -> None:
    with pytest.raises(Unreachable, match=r"three.*one, two"):
        world.proxy.switch(["one", "three"])
    with pytest.raises(Unreachable, match="three"):
        world.proxy.in_flight("three")
    assert world.proxy.in_rotation() == BOTH


def test_nobody_is_no_rotation(world: World) -> None:
    with pytest.raises(ValueError, match="no instance at all"):
        world.proxy.switch([])
    assert world.proxy.in_rotation() == BOTH


def test_a_request_under_way_is_counted_and_ends_where_it_is(world: World) -> None:
    if world.ask_slowly is None or world.held is None:
        assert world.proxy.in_flight("one") == 0
        return
    world.proxy.switch(["one"])
    assert world.proxy.in_flight("one") == 0
    answers: list[str] = []
    slowly = world.ask_slowly
    client = threading.Thread(target=lambda: answers.append(slowly()))
    client.start()
    wait_until(lambda: world.proxy.in_flight("one") == 1, "the slow request is under way")
    world.proxy.switch(["two"])
    assert world.proxy.in_flight("one") == 1
    assert world.proxy.in_flight("two") == 0
    time.sleep(0.3)
    assert world.proxy.in_flight("one") == 1, "a request is forgotten while it is under way"
    world.held.set()
    client.join()
    assert answers == ["one"]
    wait_until(lambda: world.proxy.in_flight("one") == 0, "nothing is under way on the old instance")
