"""The load generator's connection: what breaks on it is told apart, and nothing is ever sent twice."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from tracseq_migrate.sandbox.load.connection import Address, Broken, Connection, Kind, Reply
from tracseq_migrate.sandbox.load.ledger import Value
from tracseq_migrate.sandbox.load.sending import Fate, Outcome, Sender
from tracseq_migrate.sandbox.load.tally import Tally

Behaviour = Callable[["Visit"], None]

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\nTrailer: t\r\n\r\n'
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Visit:
    """One accepted connection, as the server's script sees it."""

    def __init__(self, sock: socket.socket, heard: list[bytes]) -> None:
        self.sock = sock
        self.heard = heard

    def read(self) -> bytes:
        """One request; its body is what Content-Length says."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")),
            0,
        )
        while len(body) < length:
            body += self._some()
        self.heard.append(head.split(b"\r\n")[0])
        return body

    def _some(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data

    def answer(self, reply: bytes = OK) -> None:
        self.read()
        self.sock.sendall(reply)

    def wait_for_data(self) -> None:
        """Return when a request is there, without reading it."""
        select.select([self.sock], [], [], 10)


class Server:
    """Accepts connections one after another; each is treated by the next behaviour, then closed."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.heard: list[bytes] = []
        self.accepted = 0
        self._behaviours = behaviours
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        for behaviour in self._behaviours:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with sock:
                sock.settimeout(10)
                try:
                    behaviour(Visit(sock, self.heard))
                except (EOFError, OSError):
                    continue


def hold(visit: Visit) -> None:
    """Stay until the client goes."""
    while visit.sock.recv(65536):
        pass


def ask(server: Server, *paths: str, timeout: float = 5.0) -> tuple[list[Reply | Broken], Connection]:
    connection = Connection(server.address, timeout=timeout)

    async def all_of_them() -> list[Reply | Broken]:
        results: list[Reply | Broken] = []
        for path in paths:
            try:
                results.append(await connection.request("GET", path))
            except Broken as broken:
                results.append(broken)
            # The other side's close is there before the next request is sent.
            await asyncio.sleep(0.05)
        connection.close()
        return results

    return asyncio.run(all_of_them()), connection


def kinds(results: list[Reply | Broken]) -> list[Kind | int]:
    return [result.kind if isinstance(result, Broken) else result.status for result in results]


def test_requests_share_one_connection() -> None:
    def answers(visit: Visit) -> None:
        for _ in range(3):
            visit.answer()
        hold(visit)

    with Server(answers) as server:
        results, connection = ask(server, "/1", "/2", "/3")
    assert kinds(results) == [200, 200, 200]
    assert (connection.opened, server.accepted) == (1, 1)


def test_a_connection_closed_while_idle_is_no_failure() -> None:
    with Server(Visit.answer, Visit.answer) as server:
        results, connection = ask(server, "/1", "/2")
    assert kinds(results) == [200, 200]
    assert (connection.opened, connection.closed_idle) == (2, 1)


def test_closed_with_the_request_unread_on_a_reused_connection() -> None:
    def closes_on_the_second(visit: Visit) -> None:
        visit.answer()
        visit.wait_for_data()

    with Server(closes_on_the_second, Visit.answer) as server:
        results, _ = ask(server, "/1", "/2")
        assert kinds(results) == [200, Kind.RESET_REUSED]
        assert isinstance(results[1], Broken)
        assert results[1].sent
        assert results[1].unread
    assert server.heard == [b"GET /1 HTTP/1.1"], "a request is never sent a second time"
    assert server.accepted == 1


def test_read_and_then_closed_on_a_reused_connection() -> None:
    def reads_and_goes(visit: Visit) -> None:
        visit.answer()
        visit.read()

    with Server(reads_and_goes, Visit.answer) as server:
        results, _ = ask(server, "/1", "/2")
    assert kinds(results) == [200, Kind.RESET_REUSED]
    assert isinstance(results[1], Broken)
    assert not results[1].unread, "somebody may have begun to handle it"
    assert server.heard == [b"GET /1 HTTP/1.1", b"GET /2 HTTP/1.1"]
    assert server.accepted == 1


def test_closed_with_the_request_unread_on_a_fresh_connection() -> None:
    with Server(Visit.wait_for_data) as server:
        results, _ = ask(server, "/1")
    assert kinds(results) == [Kind.RESET]


def test_cut_off_in_the_middle_of_an_answer() -> None:
    def half(visit: Visit) -> None:
        visit.answer()
        visit.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    with Server(half, Visit.answer) as server:
        results, _ = ask(server, "/1", "/2")
    assert kinds(results) == [200, Kind.RESET]
    assert server.accepted == 1


def test_refused_was_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        connection = Connection(Address("127.0.0.1", unused.getsockname()[1]), timeout=5)
        with pytest.raises(Broken) as caught:
            asyncio.run(connection.request("GET", "/"))
    assert caught.value.kind is Kind.REFUSED
    assert not caught.value.sent


def test_silence_is_a_timeout_and_the_next_request_takes_another_connection() -> None:
    with Server(hold, Visit.answer) as server:
        results, connection = ask(server, "/1", "/2", timeout=0.3)
    assert kinds(results) == [Kind.TIMEOUT, 200]
    assert isinstance(results[0], Broken)
    assert results[0].sent
    assert connection.opened == 2


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (CHUNKED, b'{"a":1}'),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["chunked", "until the end", "after an interim answer", "without a body"],
)  # fmt: skip
def test_answers_of_every_form(reply: bytes, body: bytes) -> None:
    with Server(lambda visit: visit.answer(reply)) as server:
        results, _ = ask(server, "/1")
    assert isinstance(results[0], Reply)
    assert results[0].body == body


@pytest.mark.parametrize("said", [b"close", b"Close"])
def test_an_announced_close_is_kept_to(said: bytes) -> None:
    goodbye = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: " + said + b"\r\n\r\n{}"

    def stays(visit: Visit) -> None:
        visit.answer(goodbye)
        hold(visit)

    with Server(stays, Visit.answer) as server:
        results, connection = ask(server, "/1", "/2")
    assert kinds(results) == [200, 200]
    assert (connection.opened, connection.closed_idle) == (2, 0)


def test_what_is_not_http_is_a_wrong_answer() -> None:
    with Server(lambda visit: visit.answer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")) as server:
        results, _ = ask(server, "/1")
    assert kinds(results) == [Kind.WRONG_ANSWER]


def test_a_slow_sender_sends_in_two_halves() -> None:
    chunks: list[bytes] = []

    def reads_slowly(visit: Visit) -> None:
        chunks.extend(visit.sock.recv(65536) for _ in range(2))
        visit.sock.sendall(OK)

    async def send(connection: Connection) -> Reply:
        try:
            return await connection.request("POST", "/", {"word": "x" * 50}, linger=0.2)
        finally:
            connection.close()

    with Server(reads_slowly) as server:
        reply = asyncio.run(send(Connection(server.address, timeout=5)))
    assert reply.status == 200
    assert chunks[0].startswith(b"POST / HTTP/1.1")
    assert (chunks[0] + chunks[1]).endswith(b'xx"}')
    assert chunks[1].endswith(b'xx"}')
    assert not chunks[0].endswith(b'xx"}')


def test_closed_under_a_slow_sender_is_not_taken_for_unseen() -> None:
    def goes_in_the_middle(visit: Visit) -> None:
        visit.answer()
        visit.sock.recv(65536)

    async def send(connection: Connection) -> None:
        await connection.request("GET", "/")
        await connection.request("POST", "/", {"word": "x" * 50}, linger=0.2)

    with Server(goes_in_the_middle) as server, pytest.raises(Broken) as caught:
        asyncio.run(send(Connection(server.address, timeout=5)))
    assert caught.value.kind is Kind.RESET


@pytest.mark.parametrize(
    ("reply", "kind", "fate"),
    [
        (OK, None, Fate.DONE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", Kind.BAD_JSON, Fate.UNKNOWN),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Kind.HTTP_500, Fate.UNKNOWN),
        (b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", Kind.HTTP_502, Fate.UNKNOWN),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Kind.HTTP_503, Fate.UNKNOWN),
        (b"HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", Kind.HTTP_504, Fate.UNKNOWN),
        (b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n", Kind.WRONG_ANSWER, Fate.NOT_DONE),
        (b"HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n", Kind.WRONG_ANSWER, Fate.UNKNOWN),
        (b"HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n", Kind.WRONG_ANSWER, Fate.NOT_DONE),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", None, Fate.ABSENT),
    ],
)
def test_what_an_answer_says_of_a_write(reply: bytes, kind: Kind | None, fate: Fate) -> None:
    with Server(lambda visit: visit.answer(reply)) as server:
        outcome, tally = _send(server)
    assert outcome.fate is fate
    assert list(tally.failures) == ([kind] if kind else [])
    assert (tally.writes, tally.missing_writes) == (1, int(fate is Fate.ABSENT))


def test_an_acknowledgement_of_something_else_is_none() -> None:
    with Server(Visit.answer) as server:
        outcome, tally = _send(server, acknowledges=lambda _: "not about this")
    assert outcome.fate is Fate.UNKNOWN
    assert tally.failures[Kind.WRONG_ANSWER] == 1


def test_an_acknowledgement_with_wrong_values_is_one_all_the_same() -> None:
    with Server(Visit.answer) as server:
        outcome, tally = _send(server, check=lambda _: "another value")
    assert outcome.fate is Fate.DONE
    assert tally.failures[Kind.WRONG_ANSWER] == 1


def _send(
    server: Server,
    *,
    acknowledges: Callable[[Value], str] = lambda _: "",
    check: Callable[[Value], str] = lambda _: "",
) -> tuple[Outcome, Tally]:
    tally = Tally(0.0)
    connection = Connection(server.address, timeout=5)

    async def send() -> Outcome:
        try:
            return await Sender(connection, tally, None).send(
                "PATCH",
                "/api",
                "/api/1",
                {},
                write=True,
                absent=(404,),
                acknowledges=acknowledges,
                check=check,
            )
        finally:
            connection.close()

    return asyncio.run(send()), tally


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before
