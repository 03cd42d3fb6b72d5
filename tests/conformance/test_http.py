"""Http: what every implementation promises, over the fake and the real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.real_parts import Exchange, free_ports, serving
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.memory.http import MemoryHttp
from tracseq_migrate.ports import Http, Unreachable


@dataclass
class World:
    http: Http
    service_url: str


@pytest.fixture(params=["memory", "real"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    [nobody] = free_ports(1)
    if request.param == "memory":
        http = MemoryHttp({"service": "http://service.invalid/base/", "nobody": f"http://127.0.0.1:{nobody}"})
        http.down["nobody"] = "connection refused"
        http.lay("service", "/things?limit=2", b'{"a": 1}')
        http.lay("service", "/broken", b"boom", status=500)
        yield World(http, "http://service.invalid/base")
        return

    def things(exchange: Exchange) -> None:
        exchange.say(200, '{"a": 1}')

    def broken(exchange: Exchange) -> None:
        exchange.say(500, "boom")

    with serving({"/base/things": things, "/base/broken": broken}) as server:
        yield World(
            HttpxHttp({"service": f"{server.url}/base/", "nobody": f"http://127.0.0.1:{nobody}"}),
            f"{server.url}/base",
        )


def test_an_answer_has_status_body_and_headers(world: World) -> None:
    answer = world.http.request("service", "/things?limit=2", timeout=5)
    assert (answer.status, answer.body) == (200, b'{"a": 1}')
    assert answer.header("CONTENT-length") == "8"


def test_an_error_status_is_an_answer(world: World) -> None:
    answer = world.http.request("service", "/broken", timeout=5)
    assert (answer.status, answer.body) == (500, b"boom")


def test_a_path_that_is_not_there_is_answered_too(world: World) -> None:
    assert world.http.request("service", "/nothing", timeout=5).status == 404


def test_who_does_not_answer_is_unreachable(world: World) -> None:
    with pytest.raises(Unreachable, match="refused") as caught:
        world.http.request("nobody", "/", timeout=5)
    assert not caught.value.sent


def test_an_unknown_target_is_a_key_error(world: World) -> None:
    with pytest.raises(KeyError):
        world.http.url("stranger")
    with pytest.raises(KeyError):
        world.http.request("stranger", "/", timeout=5)


def test_the_url_of_a_target_has_no_slash_at_its_end(world: World) -> None:
    assert world.http.url("service") == world.service_url
