"""Asking many at once: every question has its answer, in its place, within its time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.real_parts import Exchange, free_ports, serving
from tracseq_migrate.adapters import reaching as one
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.resolving import Resolver
from tracseq_migrate.adapters.roundup import ask_all
from tracseq_migrate.ports import Answer, Unreachable

Talk = Callable[[socket.socket], None]


@contextmanager
def raw_server(talk: Talk) -> Iterator[str]:
    """A server that says exactly what it is told to; it holds each connection until the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        held: list[socket.socket] = []
        listener.settimeout(0.1)
        ending = threading.Event()

        def serve() -> None:
            while not ending.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                held.append(connection)
                connection.settimeout(5)
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ending.set()
            thread.join()
            for connection in held:
                connection.close()


def kinds(urls: list[str], *, timeout: float = 5.0, max_body: int = 10_000) -> list[object]:
    return [
        each.body if isinstance(each, Answer) else each.kind
        for each in ask_all(urls, timeout=timeout, max_body=max_body)
    ]


def test_each_answer_is_that_of_its_question() -> None:
    def echo(exchange: Exchange) -> None:
        exchange.say(200, exchange.path)

    with serving({"*": echo}) as server:
        paths = [f"/{number}" for number in range(600)]
        assert kinds([server.url + path for path in paths]) == [path.encode() for path in paths]


def test_everything_that_can_go_wrong_stays_in_its_place() -> None:
    def answers(body: bytes) -> Talk:
        def talk(connection: socket.socket) -> None:
            connection.recv(4096)
            connection.sendall(body)

        return talk

    def closes(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_RDWR)

    def resets(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    def goes_on(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    [nobody] = free_ports(1)
    with (
        raw_server(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as fine,
        raw_server(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")) as large,
        raw_server(answers(b"220 ftp ready\r\n")) as foreign,
        raw_server(closes) as cut,
        raw_server(resets) as reset,
        raw_server(goes_on) as slow,
    ):
        urls = [
            fine,
            f"http://127.0.0.1:{nobody}",
            large,
            foreign,
            cut,
            reset,
            "ftp://x",
            "http://",
            fine,
        ]
        assert kinds(urls, timeout=60.0) == [
            b"ok", "refused", "too-large", "not-http", "cut-off", "reset", "invalid", "invalid", b"ok",
        ]  # fmt: skip
        # The one that never ends is asked with two that nobody waits for: however slow the machine, they keep their places.
        assert kinds(["http://", slow, "ftp://x"], timeout=0.5) == ["invalid", "timeout", "invalid"]


def test_one_that_is_silent_keeps_nobody_else() -> None:
    def silent(connection: socket.socket) -> None:
        connection.recv(4096)

    def fine(exchange: Exchange) -> None:
        exchange.say(200, "ok")

    with raw_server(silent) as mute, serving({"*": fine}) as server:
        told = ask_all([mute, *[server.url] * 50], timeout=1.0, max_body=100)
    assert [isinstance(each, Answer) for each in told] == [False, *[True] * 50]
    first = told[0]
    assert isinstance(first, one.ExchangeError)
    assert (first.kind, first.sent, first.why) == ("timeout", True, "no whole answer within 1 s")


def test_names_are_looked_up_once_and_every_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        if host == "gone.invalid":
            raise socket.gaierror
        return ["127.0.0.2", "127.0.0.1"]

    def fine(exchange: Exchange) -> None:
        exchange.say(200, "ok")

    monkeypatch.setattr(one, "_resolver", Resolver(look_up))
    with serving({"*": fine}) as server:
        port = server.url.rpartition(":")[2]
        urls = [f"http://two.invalid:{port}/{number}" for number in range(20)] + ["http://gone.invalid/"]
        assert kinds(urls) == [*[b"ok"] * 20, "no-such-host"]
    assert sorted(asked) == ["gone.invalid", "two.invalid"]


def test_refused_only_where_every_address_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one, "_resolver", Resolver(lambda host, port: ["127.0.0.2", "127.0.0.1"]))
    [nobody] = free_ports(1)
    assert kinds([f"http://two.invalid:{nobody}"]) == ["refused"]


def test_tls_goes_the_ordinary_way() -> None:
    def plain(exchange: Exchange) -> None:
        exchange.say(200, "plain")

    with serving({"*": plain}) as server:
        assert kinds([server.url.replace("http:", "https:"), server.url]) == ["tls", b"plain"]


def test_nobody_asked_is_nobody_answered() -> None:
    assert ask_all([], timeout=1.0, max_body=10) == []


def test_the_port_names_what_was_asked() -> None:
    [nobody] = free_ports(1)

    def fine(exchange: Exchange) -> None:
        exchange.say(204, "")

    with serving({"*": fine}) as server:
        http = HttpxHttp({"a": server.url, "b": f"http://127.0.0.1:{nobody}/base"})
        good, bad = http.ask_all([("a", "/x"), ("b", "/health")], timeout=5.0)
        with pytest.raises(KeyError):
            http.ask_all([("stranger", "/")], timeout=5.0)
    assert isinstance(good, Answer)
    assert good.status == 204
    assert isinstance(bad, Unreachable)
    assert bad.refused
    assert str(bad).startswith(f"GET http://127.0.0.1:{nobody}/base/health (b): connection refused")
