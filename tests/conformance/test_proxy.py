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
from tracseq_migrate.ports import Proxy, StaleSwitch, Unreachable

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
                with haproxy(ports, check=request.param != "haproxy-unchecked") as (path, port):
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


def test_an_epoch_that_is_over_switches_nothing(world: World) -> None:
    world.proxy.switch(["one"], epoch=5)
    with pytest.raises(StaleSwitch, match="epoch 4 is over: the proxy was switched under epoch 5"):
        world.proxy.switch(["two"], epoch=4)
    assert world.proxy.in_rotation() == frozenset({"one"})
    world.proxy.switch(["two"], epoch=5)
    world.proxy.switch(["two"], epoch=7)
    with pytest.raises(StaleSwitch) as stale:
        world.proxy.switch(["two"], epoch=6)
    assert (stale.value.epoch, stale.value.last) == (6, 7)
    assert world.proxy.in_rotation() == frozenset({"two"})


def test_epochs_are_compared_within_their_scope(world: World) -> None:
    world.proxy.switch(["one"], epoch=9, scope="users and tokens")
    world.proxy.switch(["two"], epoch=2, scope="samples=1&x")
    world.proxy.switch(["one"], epoch=1)
    with pytest.raises(StaleSwitch):
        world.proxy.switch(["two"], epoch=8, scope="users and tokens")
    with pytest.raises(StaleSwitch):
        world.proxy.switch(["two"], epoch=1, scope="samples=1&x")
    assert world.proxy.in_rotation() == frozenset({"one"})
    world.proxy.switch(["two"])
    assert world.proxy.in_rotation() == frozenset({"two"})
    with pytest.raises(StaleSwitch):
        world.proxy.switch(["one"], epoch=8, scope="users and tokens")


def test_of_many_at_once_the_latest_epoch_decides(world: World) -> None:
    """Whoever comes in which order: after all of them, the one with the latest epoch has its way."""
    ended: list[int] = []
    begin = threading.Barrier(5)

    def operator(epoch: int) -> None:
        begin.wait(20)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                world.proxy.switch(["one" if epoch % 2 else "two"], epoch=epoch)
            except Unreachable:
                # Overtaken in the middle, or the proxy is being changed by the others: asked again, it is clear.
                continue
            except StaleSwitch:
                pass
            ended.append(epoch)
            return

    operators = [threading.Thread(target=operator, args=(epoch,)) for epoch in (3, 8, 5, 6, 7)]
    for each in operators:
        each.start()
    for each in operators:
        each.join()
    assert sorted(ended) == [3, 5, 6, 7, 8]
    assert world.proxy.in_rotation() == frozenset({"two"})
    with pytest.raises(StaleSwitch):
        world.proxy.switch(["one"], epoch=7)


def test_who_cannot_hold_says_so_and_who_can_holds(world: World) -> None:
    proxy = world.proxy
    proxy.release()
    assert proxy.held() == frozenset()
    if not proxy.holds:
        with pytest.raises(Unreachable, match="cannot"):
            proxy.hold(["/api/samples"], seconds=0.2)
        assert proxy.writes_in_flight(["/api/samples"]) is None
        return
    assert proxy.writes_in_flight(["/api/samples"]) == 0
    proxy.hold(["/api/samples"], seconds=5)
    proxy.hold(["/api/storage"], seconds=0.2)
    assert proxy.held() == {"/api/samples", "/api/storage"}
    wait_until(lambda: proxy.held() == frozenset(), "the hold ends by itself")
    proxy.hold(["/api/users"], seconds=5)
    assert proxy.held() == {"/api/users"}
    proxy.release()
    proxy.release()
    assert proxy.held() == frozenset()
