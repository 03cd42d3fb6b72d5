"""HttpxHttp against servers that behave badly: every one of them is `Unreachable`, in time, in plain words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.real_parts import Exchange, serving
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.ports import Unreachable


@contextmanager
def raw_server(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server of bytes: one connection at a time is handed to ``talk``."""
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not ending.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    try:
                        talk(connection, ending)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ending.set()
            thread.join()


def drip(connection: socket.socket, ending: threading.Event, piece: bytes) -> None:
    while not ending.wait(0.05):
        connection.sendall(piece)


def test_slow_bytes_in_the_body_end_at_the_timeout() -> None:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        drip(connection, ending, b"x")

    with (
        raw_server(talk) as url,
        pytest.raises(Unreachable, match=r"no whole answer within 0\.4 s") as caught,
    ):
        HttpxHttp({"a": url}).request("a", "/", timeout=0.4)
    assert caught.value.sent


def test_slow_bytes_in_the_headers_end_at_the_timeout() -> None:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        drip(connection, ending, b"x")

    with raw_server(talk) as url, pytest.raises(Unreachable, match=r"no whole answer within 0\.4 s"):
        HttpxHttp({"a": url}).request("a", "/", timeout=0.4)


def test_an_endless_body_ends_at_the_bound() -> None:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not ending.is_set():
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    with raw_server(talk) as url, pytest.raises(Unreachable, match="larger than 50000 bytes"):
        HttpxHttp({"a": url}, max_body=50_000).request("a", "/", timeout=20)


def test_a_body_of_exactly_the_bound_comes_through() -> None:
    def big(exchange: Exchange) -> None:
        exchange.say(200, b"x" * 1000)

    with serving({"/": big}) as server:
        assert len(HttpxHttp({"a": server.url}, max_body=1000).request("a", "/", timeout=5).body) == 1000
        with pytest.raises(Unreachable, match="larger than 999 bytes"):
            HttpxHttp({"a": server.url}, max_body=999).request("a", "/", timeout=5)


def test_a_body_that_is_cut_off_is_no_answer() -> None:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    with raw_server(talk) as url, pytest.raises(Unreachable, match="before the answer was whole") as caught:
        HttpxHttp({"a": url}).request("a", "/", timeout=5)
    assert caught.value.sent


def test_a_connection_closed_without_an_answer_may_have_been_heard() -> None:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(4096)

    with raw_server(talk) as url, pytest.raises(Unreachable, match="before the answer was whole") as caught:
        HttpxHttp({"a": url}).request("a", "/", method="POST", json={"a": 1}, timeout=5)
    assert caught.value.sent


def test_what_is_not_http_is_said_to_be_so() -> None:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.sendall(b"SSH-2.0-\x1b[31mOpenSSH\r\n\r\n")
        connection.recv(4096)

    with raw_server(talk) as url, pytest.raises(Unreachable, match="not HTTP") as caught:
        HttpxHttp({"a": url}).request("a", "/", timeout=5)
    assert "\x1b" not in str(caught.value)


def test_tls_towards_a_plain_server_is_said_to_be_tls() -> None:
    def plain(exchange: Exchange) -> None:
        exchange.say(200, "plain")

    with serving({"*": plain}) as server, pytest.raises(Unreachable, match="TLS failed"):
        HttpxHttp({"a": server.url.replace("http:", "https:")}).request("a", "/", timeout=5)


def test_a_name_that_does_not_resolve_is_named() -> None:
    with pytest.raises(Unreachable, match=r"name gateway\.invalid does not resolve"):
        HttpxHttp({"a": "http://gateway.invalid:80"}).request("a", "/", timeout=5)


@pytest.mark.parametrize("base", ["ftp://127.0.0.1", "not a url", "http://[::1", "http://"])
def test_a_base_that_is_no_url_is_unreachable_and_not_sent(base: str) -> None:
    with pytest.raises(Unreachable) as caught:
        HttpxHttp({"a": base}).request("a", "/", timeout=5)
    assert not caught.value.sent


def test_a_redirect_is_the_answer() -> None:
    def moved(exchange: Exchange) -> None:
        exchange.say(302, "", {"Location": "/elsewhere"})

    with serving({"/": moved}) as server:
        answer = HttpxHttp({"a": server.url}).request("a", "/", timeout=5)
        assert (answer.status, answer.header("location"), server.seen) == (302, "/elsewhere", ["GET /"])


def test_the_surroundings_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def fine(exchange: Exchange) -> None:
        exchange.say(200, "fine")

    with serving({"*": fine}) as server, serving({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert HttpxHttp({"a": server.url}).request("a", "/", timeout=5).body == b"fine"
        assert proxy.seen == []


def test_json_headers_and_method_arrive() -> None:
    def echo(exchange: Exchange) -> None:
        sent = exchange.headers
        exchange.say(
            201, {"body": exchange.body.decode(), "x": sent["X-Probe"], "type": sent["Content-Type"]}
        )

    with serving({"/echo": echo}) as server:
        answer = HttpxHttp({"a": server.url}).request(
            "a", "/echo", method="PATCH", headers={"X-Probe": "1"}, json={"k": "ü"}, timeout=5
        )
        assert answer.status == 201
        assert answer.body == b'{"body": "{\\"k\\":\\"\\u00fc\\"}", "x": "1", "type": "application/json"}'
        assert server.seen == ["PATCH /echo"]


def test_headers_keep_order_and_letter_case() -> None:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\nContent-Length: 0\r\n\r\n")

    with raw_server(talk) as url:
        answer = HttpxHttp({"a": url}).request("a", "/", timeout=5)
    assert answer.headers == (("X-B", "1"), ("x-a", "2"), ("X-B", "3"), ("Content-Length", "0"))


def test_a_path_never_changes_the_host() -> None:
    def fine(exchange: Exchange) -> None:
        exchange.say(200, exchange.requestline.split()[1])

    with serving({"*": fine}) as server:
        http = HttpxHttp({"a": server.url})
        assert http.request("a", "@elsewhere.invalid/", timeout=5).body == b"/@elsewhere.invalid/"
        assert http.request("a", "//elsewhere.invalid/api", timeout=5).body == b"//elsewhere.invalid/api"
        assert http.request("a", "/api//x/y%2Fz?q=a%20b", timeout=5).body == b"/api//x/y%2Fz?q=a%20b"


def test_each_request_has_a_connection_of_its_own() -> None:
    ports: list[int] = []

    def note(exchange: Exchange) -> None:
        ports.append(exchange.client_address[1])
        exchange.say(200, "")

    with serving({"*": note}) as server:
        http = HttpxHttp({"a": server.url})
        for _ in range(3):
            http.request("a", "/", timeout=5)
    assert len(set(ports)) == 3


def test_requests_from_many_threads_do_not_meet() -> None:
    def echo(exchange: Exchange) -> None:
        exchange.say(200, exchange.path)

    wrong: list[str] = []
    with serving({"*": echo}) as server:
        http = HttpxHttp({"a": server.url})

        def ask(number: int) -> None:
            for turn in range(10):
                path = f"/{number}/{turn}"
                if http.request("a", path, timeout=10).body != path.encode():
                    wrong.append(path)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(server.seen) == 80


def test_seconds_are_measured() -> None:
    def slow(exchange: Exchange) -> None:
        time.sleep(0.1)
        exchange.say(200, "")

    with serving({"*": slow}) as server:
        assert HttpxHttp({"a": server.url}).request("a", "/", timeout=5).seconds >= 0.1
