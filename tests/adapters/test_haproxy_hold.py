"""Writes wait in a real haproxy for the moment of a change, and nothing else does."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.real_parts import Exchange, Handler, haproxy, haproxy_program, serving, wait_until
from tracseq_migrate.adapters.haproxy import HaproxyProxy
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.sandbox import proxies
from tracseq_migrate.sandbox.proxies.haproxy import HOLD

PREFIX = "/api/samples"
EXAMPLES = Path(__file__).parents[2] / "examples" / "haproxy"


@dataclass
class Front:
    proxy: HaproxyProxy
    socket_path: str
    port: int
    go: threading.Event
    log: list[tuple[float, str, str, str]] = field(default_factory=list)
    """When an instance began with a request, which instance, and what it was asked for."""

    def ask(self, method: str, path: str) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            return one(connection, method, path)

    @contextmanager
    def asking(self, method: str, *paths: str) -> Iterator[list[tuple[int, str]]]:
        """A request of each path at once; all are answered afterwards."""
        answers: list[tuple[int, str]] = []
        clients = [
            threading.Thread(target=lambda path=path: answers.append(self.ask(method, path)))
            for path in paths
        ]
        for client in clients:
            client.start()
        try:
            yield answers
        finally:
            self.go.set()
            for client in clients:
                client.join()

    def waiting(self) -> int:
        return int(next(line for line in self.say("tracseq status") if line.startswith("waiting")).split()[1])

    def say(self, line: str) -> list[str]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.socket_path)
            connection.sendall(line.encode() + b"\n")
            with connection.makefile("rb") as answer:
                return answer.read().decode().splitlines()


def one(connection: http.client.HTTPConnection, method: str, path: str) -> tuple[int, str]:
    connection.request(method, path, body=b"x" if method != "GET" else None)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def instance(name: str, front: Callable[[], Front]) -> dict[str, Handler]:
    def answer(exchange: Exchange) -> None:
        front().log.append((time.monotonic(), name, exchange.command, exchange.path))
        if exchange.path.endswith("/slow"):
            front().go.wait(20)
        exchange.say(200, name)

    def health(exchange: Exchange) -> None:
        exchange.say(200, "well")

    return {"/health": health, "*": answer}


@pytest.fixture(params=[1, 4], ids=["one thread", "four threads"])
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    made: list[Front] = []
    with (
        serving(instance("one", lambda: made[0])) as first,
        serving(instance("two", lambda: made[0])) as second,
        haproxy({"one": first.port, "two": second.port}, threads=request.param) as (path, port),
    ):
        made.append(Front(HaproxyProxy(path, "gateway"), path, port, threading.Event()))
        try:
            yield made[0]
        finally:
            made[0].go.set()


def test_eight_kept_alive_writers_are_held_and_swapped_and_none_fails(front: Front) -> None:
    """Held for 0.3 s, switched inside: every write before reached the one, every write after the other, and reads went on."""
    front.proxy.switch(["one"])
    stop = threading.Event()
    answers: list[tuple[float, float, str, int, str]] = []
    failures: list[str] = []

    def client(method: str) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)) as connection:
            while not stop.wait(0.01):
                began = time.monotonic()
                try:
                    status, who = one(connection, method, f"{PREFIX}/1")
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                    return
                answers.append((began, time.monotonic(), method, status, who))

    clients = [threading.Thread(target=client, args=(method,)) for method in ["POST"] * 8 + ["GET"] * 2]
    for each in clients:
        each.start()
    try:
        wait_until(lambda: len(answers) > 100 or bool(failures), "requests are answered")
        front.proxy.hold([PREFIX], seconds=5)
        wait_until(lambda: front.waiting() == 8, "all writers wait")
        assert front.proxy.writes_in_flight([PREFIX]) == 0
        held = time.monotonic()
        time.sleep(0.3)
        front.proxy.switch(["two"], epoch=1)
        released = time.monotonic()
        front.proxy.release()
        count = len(answers)
        wait_until(lambda: len(answers) > count + 100 or bool(failures), "requests are answered again")
    finally:
        stop.set()
        for each in clients:
            each.join()
    assert failures == []
    assert {status for *_, status, _ in answers} == {200}
    during = [(when, name, method) for when, name, method, _ in front.log if held < when < released]
    assert [each for each in during if each[2] == "POST"] == []
    assert len([each for each in during if each[2] == "GET"]) > 5, "reads waited"
    assert {name for when, name, method, _ in front.log if method == "POST" and when < held} == {"one"}
    assert {name for when, name, method, _ in front.log if method == "POST" and when > released} == {"two"}
    assert (
        len(
            [
                1
                for began, ended, method, *_ in answers
                if method == "POST" and began < held < released < ended
            ]
        )
        == 8
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_every_kind_of_write_below_the_prefix_waits(front: Front, method: str) -> None:
    front.proxy.hold([PREFIX, "/api/storage"], seconds=8)
    paths = (f"{PREFIX}/7?x=1", "/api/storage", "/%61pi/s%61mples/8")
    with front.asking(method, *paths) as answers:
        wait_until(lambda: front.waiting() == len(paths), "all of them wait")
        assert answers == []
        assert front.ask(method, "/api/auth")[0] == 200
        assert front.ask("GET", PREFIX)[0] == 200
        front.proxy.release()
    assert [status for status, _ in answers] == [200] * len(paths)


def test_a_hold_ends_by_itself(front: Front) -> None:
    began = time.monotonic()
    front.proxy.hold([PREFIX], seconds=0.4)
    assert front.ask("POST", PREFIX)[0] == 200
    assert time.monotonic() - began >= 0.35, "it was not held"
    assert front.proxy.held() == frozenset()


def test_nobody_waits_longer_than_the_seconds_however_often_a_hold_is_called_again(front: Front) -> None:
    front.proxy.hold([PREFIX], seconds=0.3)
    with front.asking("POST", PREFIX) as answers:
        wait_until(lambda: front.waiting() == 1, "it waits")

        def answered_while_held() -> bool:
            front.proxy.hold([PREFIX], seconds=0.3)
            return bool(answers)

        wait_until(answered_while_held, "it goes on though the hold does")
        assert front.proxy.held() == {PREFIX}


def test_writes_under_way_are_counted_until_they_are_answered(front: Front) -> None:
    assert front.proxy.writes_in_flight([PREFIX]) == 0
    paths = (f"{PREFIX}/1/slow", f"{PREFIX}/1/slow", "/api/auth/slow")
    with front.asking("POST", *paths), front.asking("GET", f"{PREFIX}/slow"):
        wait_until(lambda: len(front.log) == 4, "all are under way")
        assert front.proxy.writes_in_flight([PREFIX]) == 2
        assert front.proxy.writes_in_flight([PREFIX, "/api/auth"]) == 3
        assert front.proxy.writes_in_flight(["/api/rag"]) == 0
        assert front.proxy.writes_in_flight([]) == 0
        time.sleep(0.2)
        assert front.proxy.writes_in_flight([PREFIX]) == 2
        front.proxy.hold([PREFIX], seconds=5)
        with front.asking("POST", f"{PREFIX}/2"):
            wait_until(lambda: front.waiting() == 1, "one more waits")
            assert front.proxy.writes_in_flight([PREFIX]) == 2, "one that waits is not under way"
            front.go.set()
            wait_until(lambda: front.proxy.writes_in_flight([PREFIX]) == 0, "they are answered")
            assert front.waiting() == 1
            front.proxy.release()
    wait_until(lambda: front.proxy.writes_in_flight(["/"]) == 0, "nothing is under way")


def test_a_writer_that_hangs_up_while_it_waits_is_no_write_under_way_for_ever(front: Front) -> None:
    front.proxy.hold([PREFIX], seconds=5)
    with socket.create_connection(("127.0.0.1", front.port)) as client:
        client.sendall(f"POST {PREFIX} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        wait_until(lambda: front.waiting() == 1, "it waits")
    front.proxy.release()
    wait_until(lambda: front.waiting() == 0, "it waits no more")
    wait_until(lambda: front.proxy.writes_in_flight(["/"]) == 0, "nothing is under way")


@pytest.mark.parametrize(
    "prefix", ["", "api", "/a b", "/a;show info", "/a\nshow info", "/a<<b", "/ä", "/a\\"]
)
def test_a_prefix_that_means_something_on_the_socket_is_refused(front: Front, prefix: str) -> None:
    with pytest.raises(Unreachable, match="cannot be the prefix"):
        front.proxy.hold([PREFIX, prefix], seconds=1)
    assert front.proxy.held() == frozenset()


def test_a_hold_without_end_is_refused(front: Front) -> None:
    for seconds in (0.0, -1.0, 11.0, float("inf"), float("nan")):
        with pytest.raises(Unreachable, match="it needs seconds, at most 10"):
            front.proxy.hold([PREFIX], seconds=seconds)
    front.proxy.hold([], seconds=1)
    assert front.proxy.held() == frozenset()


def test_a_haproxy_that_was_not_taught_to_hold_says_what_it_lacks() -> None:
    with serving({}) as server, haproxy({"one": server.port}, check=False, hold=False) as (path, _):
        proxy = HaproxyProxy(path, "gateway")
        assert not proxy.holds
        assert proxy.held() == frozenset()
        assert proxy.writes_in_flight([PREFIX]) is None
        with pytest.raises(Unreachable, match=r"no `lua-load` of hold\.lua \(examples/haproxy\)"):
            proxy.hold([PREFIX], seconds=1)
        proxy.release()
        proxy.switch(["one"], epoch=3)
        proxy.switch(["one"], epoch=2)
        assert proxy.in_rotation() == {"one"}


def test_a_proxy_that_is_not_there_is_not_said_to_hold_nothing(tmp_path: Path) -> None:
    proxy = HaproxyProxy(str(tmp_path / "none.sock"), "gateway")
    asks: list[Callable[[], object]] = [
        lambda: proxy.holds,
        proxy.held,
        proxy.release,
        lambda: proxy.hold([PREFIX], seconds=1),
        lambda: proxy.writes_in_flight([PREFIX]),
        lambda: proxy.switch(["one"], epoch=1),
    ]
    for ask in asks:
        with pytest.raises(Unreachable, match="no such socket"):
            ask()


def test_the_example_is_what_the_sandbox_runs_and_haproxy_takes_it(tmp_path: Path) -> None:
    import subprocess

    assert (EXAMPLES / "hold.lua").read_bytes() == HOLD.read_bytes()
    text = (EXAMPLES / "haproxy.cfg").read_text()
    for line in ("lua-load /etc/haproxy/hold.lua", "stats socket /run/haproxy/admin.sock"):
        assert line in text
    own = text.replace("/etc/haproxy/hold.lua", str(HOLD)).replace("/run/haproxy", str(tmp_path))
    (tmp_path / "haproxy.cfg").write_text(own)
    checked = subprocess.run(
        [haproxy_program(), "-c", "-f", str(tmp_path / "haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_loaded_for_each_thread_it_refuses_to_start(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "haproxy.cfg").write_text(f"global\n  nbthread 2\n  lua-load-per-thread {HOLD}\n")
    checked = subprocess.run(
        [haproxy_program(), "-c", "-f", str(tmp_path / "haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode != 0
    assert "must be loaded by lua-load, not by lua-load-per-thread" in checked.stderr


def test_without_haproxys_lua_the_sandbox_takes_caddy(tmp_path: Path) -> None:
    from tracseq_migrate.errors import InvalidSetup

    plain = tmp_path / "haproxy"
    plain.write_text("#!/bin/sh\necho 'Built without Lua support'\n")
    plain.chmod(0o755)
    caddy = tmp_path / "caddy"
    caddy.write_text("#!/bin/sh\n")
    caddy.chmod(0o755)
    environ = {"PATH": str(tmp_path)}
    assert proxies.find("auto", environ) == ("caddy", caddy)
    with pytest.raises(InvalidSetup, match="haproxy with Lua was not found"):
        proxies.find("haproxy", environ)
    plain.write_text("#!/bin/sh\necho 'Built with Lua version : Lua 5.4.4'\n")
    assert proxies.find("auto", environ) == ("haproxy", plain)
