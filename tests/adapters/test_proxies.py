"""HaproxyProxy and CaddyProxy: switches under load, instances that were restarted while drained, and hostile ends."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.real_parts import (
    Exchange,
    Handler,
    RealServer,
    caddy,
    free_ports,
    haproxy,
    serving,
    short_folder,
    wait_until,
)
from tracseq_migrate.adapters.caddy import CaddyProxy
from tracseq_migrate.adapters.haproxy import HaproxyProxy
from tracseq_migrate.ports import Proxy, Unreachable


def named(name: str) -> dict[str, Handler]:
    def answer(exchange: Exchange) -> None:
        exchange.say(200, name)

    return {"*": answer}


class Clients:
    """Clients that ask without a pause, half of them on kept-alive connections; ``failures`` is what went wrong."""

    def __init__(self, port: int, *, kept_alive: int, fresh: int) -> None:
        self._port = port
        self._ending = threading.Event()
        self._guard = threading.Lock()
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(number < kept_alive,))
            for number in range(kept_alive + fresh)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def answered(self) -> int:
        with self._guard:
            return sum(self.answers.values())

    def wait_for_more(self, count: int) -> None:
        enough = self.answered + count
        wait_until(lambda: self.answered >= enough or bool(self.failures), "clients are answered", 60)

    def _ask(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._ending.wait(0.005):
            try:
                connection.request("GET", "/api/storage")
                answer = connection.getresponse()
                body = answer.read().decode()
                with self._guard:
                    if answer.status == 200:
                        self.answers[body] += 1
                    else:
                        self.failures.append(f"{answer.status} {body}")
            except (OSError, http.client.HTTPException) as error:
                with self._guard:
                    self.failures.append(repr(error))
                connection.close()
            if not keep:
                connection.close()
        connection.close()


def swap(proxy: Proxy, clients: Clients, times: int) -> None:
    for turn in range(times):
        proxy.switch(["two" if turn % 2 == 0 else "one"])
        clients.wait_for_more(20)
    proxy.switch(["one", "two"])
    clients.wait_for_more(20)


def test_haproxy_swaps_under_load_without_a_failed_request() -> None:
    with (
        serving(named("one")) as one,
        serving(named("two")) as two,
        haproxy({"one": one.port, "two": two.port}) as (path, port),
        Clients(port, kept_alive=4, fresh=4) as clients,
    ):
        swap(HaproxyProxy(path, "gateway"), clients, 12)
    assert clients.failures == []
    assert set(clients.answers) == {"one", "two"}


def test_caddy_with_slots_swaps_under_load_without_a_failed_request(tmp_path: Path) -> None:
    with serving(named("one")) as one, serving(named("two")) as two:
        ports = {"one": one.port, "two": two.port}
        dials = {name: f"127.0.0.1:{at}" for name, at in ports.items()}
        with caddy(ports, slots=tmp_path) as (admin, port), Clients(port, kept_alive=4, fresh=4) as clients:
            swap(CaddyProxy(admin, dials), clients, 12)
    assert clients.failures == []
    assert set(clients.answers) == {"one", "two"}


def test_plain_upstreams_swap_under_load_and_lose_only_requests_that_nobody_began(tmp_path: Path) -> None:
    """Each change makes Caddy read its configuration anew; what it drops then, no instance has seen."""
    with serving(named("one")) as one, serving(named("two")) as two:
        ports = {"one": one.port, "two": two.port}
        dials = {name: f"127.0.0.1:{at}" for name, at in ports.items()}
        with caddy(ports) as (admin, port), Clients(port, kept_alive=0, fresh=6) as clients:
            proxy = CaddyProxy(admin, dials)
            for turn in range(8):
                before = clients.answered
                proxy.switch(["two" if turn % 2 == 0 else "one"])
                wait_until(lambda least=before + 20: clients.answered >= least, "clients are answered")  # type: ignore[misc]
        assert len(one.seen) + len(two.seen) == clients.answered
    assert not [failure for failure in clients.failures if failure[:1].isdigit()]


def test_slots_that_cannot_be_used(tmp_path: Path) -> None:
    with serving(named("one")) as one, serving(named("two")) as two:
        ports = {"one": one.port, "two": two.port}
        dials = {name: f"127.0.0.1:{at}" for name, at in ports.items()}
        with caddy(ports, slots=tmp_path) as (admin, _):
            proxy = CaddyProxy(admin, {**dials, "three": "127.0.0.1:9"})
            with pytest.raises(Unreachable, match="too few for 3 instances"):
                proxy.switch(["one", "two", "three"])
            assert proxy.in_rotation() == {"one", "two"}
            (tmp_path / "0").chmod(0o604)
            proxy.switch(["two"])
            assert (tmp_path / "0").stat().st_mode & 0o777 == 0o604
            (tmp_path / "0").write_bytes(b"\xff\n")
            with pytest.raises(Unreachable, match=r"slot .*/0 cannot be read: not text"):
                proxy.in_rotation()
            (tmp_path / "0").unlink()
            with pytest.raises(Unreachable, match=r"slot .*/0 cannot be read: No such file"):
                proxy.switch(["one"])


def server_status(path: str, name: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"show stat gateway 4 -1\n")
        connection.shutdown(socket.SHUT_WR)
        lines = b"".join(iter(lambda: connection.recv(65536), b"")).decode().splitlines()
    at = lines[0].split(",").index("status")
    return next(line.split(",")[at] for line in lines if line.split(",")[1:2] == [name])


def test_an_instance_that_was_restarted_while_drained_comes_back_at_once() -> None:
    """Its health check has seen it dead; the switch declares it alive before it drains the other."""
    two = RealServer(named("two"))
    port_of_two = two.port
    try:
        with serving(named("one")) as one, haproxy({"one": one.port, "two": port_of_two}) as (path, port):
            proxy = HaproxyProxy(path, "gateway")
            proxy.switch(["one"])
            two.close()
            wait_until(lambda: server_status(path, "two").startswith("DOWN"), "the health check sees it down")
            two = RealServer(named("two"), port_of_two)
            with Clients(port, kept_alive=2, fresh=2) as clients:
                clients.wait_for_more(10)
                proxy.switch(["two"])
                clients.wait_for_more(20)
            assert proxy.in_rotation() == {"two"}
            assert clients.failures == []
            assert set(clients.answers) == {"one", "two"}
    finally:
        two.close()


def test_a_dead_instance_is_not_switched_to() -> None:
    [nobody] = free_ports(1)
    with serving(named("one")) as one, haproxy({"one": one.port, "two": nobody}) as (path, port):
        wait_until(lambda: server_status(path, "two").startswith("DOWN"), "the health check sees it down")
        proxy = HaproxyProxy(path, "gateway", settle=1.0)
        assert proxy.in_rotation() == {"one"}
        with Clients(port, kept_alive=1, fresh=1) as clients:
            try:
                proxy.switch(["two"])
            except Unreachable as error:
                assert "two" in error.why
            else:
                pytest.fail("a switch to a dead instance was reported as done")
            clients.wait_for_more(10)
        assert "one" in proxy.in_rotation()


def test_a_server_in_maintenance_comes_back() -> None:
    with (
        serving(named("one")) as one,
        serving(named("two")) as two,
        haproxy({"one": one.port, "two": two.port}) as (path, _),
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(b"set server gateway/two state maint\n")
            assert connection.recv(100).strip() == b""
        proxy = HaproxyProxy(path, "gateway")
        assert proxy.in_rotation() == {"one"}
        proxy.switch(["two"])
        assert proxy.in_rotation() == {"two"}


@contextmanager
def haproxy_of_one() -> Iterator[str]:
    with serving(named("one")) as one, haproxy({"one": one.port}) as (path, _):
        yield path


def test_an_unknown_backend_is_said_to_be_unknown() -> None:
    with haproxy_of_one() as path:
        proxy = HaproxyProxy(path, "shop")
        calls: list[Callable[[], object]] = [
            proxy.in_rotation,
            lambda: proxy.switch(["one"]),
            lambda: proxy.in_flight("one"),
        ]
        for call in calls:
            with pytest.raises(Unreachable, match=r"backend shop\): there is no backend of this name"):
                call()


def test_a_socket_without_the_right_to_change() -> None:
    with haproxy_of_one() as path:
        limited = HaproxyProxy(str(Path(path).parent / "user.sock"), "gateway")
        assert limited.in_flight("one") == 0
        with pytest.raises(Unreachable, match=r"level admin|Permission"):
            limited.switch(["one"])


def test_a_name_cannot_smuggle_a_command() -> None:
    with haproxy_of_one() as path:
        proxy = HaproxyProxy(path, "gateway")
        with pytest.raises(Unreachable, match="cannot be the name"):
            proxy.in_flight("one; set server gateway/one state maint")
        with pytest.raises(Unreachable, match="cannot be the name"):
            HaproxyProxy(path, "gateway; shutdown sessions server gateway/one").in_rotation()
        assert proxy.in_rotation() == {"one"}


def test_no_socket_a_dead_socket_and_one_that_says_nothing() -> None:
    with short_folder() as folder:
        with pytest.raises(Unreachable, match="no such socket"):
            HaproxyProxy(str(folder / "none.sock"), "gateway").in_rotation()
        with pytest.raises(Unreachable, match="107 bytes"):
            HaproxyProxy(str(folder / ("x" * 120)), "gateway").in_rotation()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "silent.sock"))
            with pytest.raises(Unreachable, match="nobody listens"):
                HaproxyProxy(str(folder / "silent.sock"), "gateway").in_rotation()
            listener.listen()
            with pytest.raises(Unreachable, match=r"no whole answer within 0\.2 s") as caught:
                HaproxyProxy(str(folder / "silent.sock"), "gateway", timeout=0.2).in_rotation()
            assert caught.value.sent


def test_a_program_that_is_not_haproxy() -> None:
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "other.sock"))
        listener.listen()

        def answer() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"500 what?\x1b[2J\n")

        thread = threading.Thread(target=answer)
        thread.start()
        proxy = HaproxyProxy(str(folder / "other.sock"), "gateway")
        calls: list[Callable[[], object]] = [proxy.in_rotation, lambda: proxy.switch(["one"])]
        for call in calls:
            with pytest.raises(Unreachable, match=r"answered: 500 what\?$"):
                call()
        thread.join()


def routes(configured: object, **more: Handler) -> dict[str, Handler]:
    """An admin API that holds this configuration of servers."""

    def answer(exchange: Exchange) -> None:
        exchange.say(200, json.dumps(configured))

    return {"/config/apps/http/servers": answer, **more}


def proxied(*dials: str) -> dict[str, Any]:
    return {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": dial} for dial in dials]}]}


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        (None, "has no route to a gateway instance .one at 10"),
        ({"s": {"routes": [proxied("10.0.0.9:1")]}}, "has no route to a gateway instance"),
        ({"s": {"routes": [proxied("10.0.0.1:1"), proxied("10.0.0.1:1")]}}, "more than one route"),
        ({"s": {"routes": [proxied("10.0.0.1:1", "10.0.0.9:1")]}}, "does not know: 10.0.0.9:1"),
    ],
)
def test_a_caddy_whose_routes_are_not_the_gateways(configured: object, message: str) -> None:
    with serving(routes(configured)) as server:
        proxy = CaddyProxy(server.url, {"one": "10.0.0.1:1", "two": "10.0.0.2:1"})
        calls: list[Callable[[], object]] = [proxy.in_rotation, lambda: proxy.switch(["two"])]
        for call in calls:
            with pytest.raises(Unreachable, match=message):
                call()
        assert not [each for each in server.seen if each.startswith("PATCH")]


def test_what_is_not_caddy_is_said_to_be_so() -> None:
    with serving(named("<html>hello")) as server, pytest.raises(Unreachable, match="not Caddy's admin API"):
        CaddyProxy(server.url, {"one": "10.0.0.1:1"}).in_rotation()
    with serving({}) as server, pytest.raises(Unreachable, match="answered 404"):
        CaddyProxy(server.url, {"one": "10.0.0.1:1"}).in_rotation()
    [nobody] = free_ports(1)
    with pytest.raises(Unreachable, match="connection refused"):
        CaddyProxy(f"http://127.0.0.1:{nobody}", {"one": "10.0.0.1:1"}).in_rotation()


def test_an_upstreams_other_options_are_kept() -> None:
    with serving(named("one")) as one, serving(named("two")) as two:
        ports = {"one": one.port, "two": two.port}
        with caddy(ports) as (admin, _):
            where = f"{admin}/config/apps/http/servers/public/routes/1/handle/0/routes/0/handle/0/upstreams"
            upstreams = [{"dial": f"127.0.0.1:{at}", "max_requests": 70} for at in ports.values()]
            change = urllib.request.Request(
                where, json.dumps(upstreams).encode(), {"Content-Type": "application/json"}, method="PATCH"
            )
            urllib.request.urlopen(change, timeout=10).close()
            proxy = CaddyProxy(
                admin, {name: f"127.0.0.1:{at}" for name, at in ports.items()}, server="public"
            )
            proxy.switch(["two"])
            proxy.switch(["one", "two"])
            with urllib.request.urlopen(where, timeout=10) as answer:
                assert json.load(answer) == upstreams


def test_a_change_by_somebody_else_is_not_overwritten_blindly() -> None:
    """The list changes between reading and writing: the write is refused by Caddy and made again on the new list."""
    present = [{"dial": "10.0.0.1:1"}, {"dial": "10.0.0.2:1"}]
    tags = iter(range(100))
    refused: list[str] = []

    def servers(exchange: Exchange) -> None:
        exchange.say(200, json.dumps({"s": {"routes": [{"handle": [handler]}]}}))

    handler = {"handler": "reverse_proxy", "upstreams": present}

    def upstreams(exchange: Exchange) -> None:
        if exchange.command == "GET":
            exchange.say(200, json.dumps(handler["upstreams"]), {"Etag": f'"tag {next(tags)}"'})
        elif not refused:
            refused.append(exchange.headers["If-Match"])
            exchange.say(412, '{"error": "If-Match header did not match current config hash"}')
        else:
            assert exchange.headers["If-Match"] == '"tag 1"'
            handler["upstreams"] = json.loads(exchange.body)
            exchange.say(200, "")

    place = "/config/apps/http/servers/s/routes/0/handle/0/upstreams"
    with serving({"/config/apps/http/servers": servers, place: upstreams}) as server:
        CaddyProxy(server.url, {"one": "10.0.0.1:1", "two": "10.0.0.2:1"}).switch(["two"])
    assert refused == ['"tag 0"']
    assert handler["upstreams"] == [{"dial": "10.0.0.2:1"}]


def test_a_configuration_that_never_rests_is_given_up() -> None:
    def upstreams(exchange: Exchange) -> None:
        if exchange.command == "GET":
            exchange.say(200, json.dumps([{"dial": "10.0.0.1:1"}]), {"Etag": '"x"'})
        else:
            exchange.say(412, "{}")

    configured = {"s": {"routes": [proxied("10.0.0.1:1")]}}
    place = "/config/apps/http/servers/s/routes/0/handle/0/upstreams"
    with serving(routes(configured, **{place: upstreams})) as server:
        with pytest.raises(Unreachable, match="by somebody else all the time"):
            CaddyProxy(server.url, {"one": "10.0.0.1:1", "two": "10.0.0.2:1"}).switch(["two"])
        assert len([each for each in server.seen if each.startswith("PATCH")]) == 4
