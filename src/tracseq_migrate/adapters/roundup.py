"""Asking many at once: one GET to each, all under way together, from one thread.

A thousand endpoints in turn would take as long as the slowest of them a thousand times; a thousand threads cost more than their
requests. Plain HTTP is asked by one loop over sockets that never wait; TLS, whose handshake has steps of its own, by threads.
"""

from __future__ import annotations

import errno
import os
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tracseq_migrate.adapters.http_answer import AnswerReader, NotHttp, TooLarge
from tracseq_migrate.adapters.http_request import InvalidRequest, Where, request_bytes, where
from tracseq_migrate.adapters.reaching import (
    ExchangeError,
    addresses_of,
    cut_off,
    family,
    lost,
    not_connected,
)
from tracseq_migrate.adapters.resolving import is_address
from tracseq_migrate.ports import Answer

if TYPE_CHECKING:
    from concurrent.futures import Future

Told = Answer | ExchangeError
T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 256
_PIECE = 65_536
_THREADS = 32
_BATCH = 16
_SWEEP = 0.05
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EINTR, errno.EAGAIN)
_NOT_YET = (BlockingIOError, InterruptedError)


def ask_all(urls: Sequence[str], *, timeout: float, max_body: int) -> list[Told]:
    """GET every URL, each within ``timeout`` seconds from when its turn came; the answers in the order of the URLs.

    At most 256 are under way at once, fewer where the process may not open so many files. What has no whole answer is an
    `ExchangeError` in its place.
    """
    told: list[Told | None] = [None] * len(urls)
    plain: list[tuple[int, Where]] = []
    others: list[int] = []
    for number, url in enumerate(urls):
        try:
            at = where(url)
        except InvalidRequest as error:
            told[number] = lost(error, timeout=timeout, sent=False)
            continue
        if at.secure:
            others.append(number)
        else:
            plain.append((number, at))

    def ask_one(number: int) -> Told:
        from tracseq_migrate.adapters.exchange import exchange  # slow to import

        try:
            return exchange(urls[number], timeout=timeout, max_body=max_body)
        except ExchangeError as error:
            return error

    with _in_threads(ask_one, others) as asked:
        addresses = _resolved((at.host for _, at in plain), timeout)
        calls = (_Call(number, at, addresses[at.host], max_body) for number, at in plain)
        for number, answer in _Loop(calls, timeout).run():
            told[number] = answer
        for number, future in zip(others, asked, strict=True):
            told[number] = future.result()
    return [each for each in told if each is not None]


class _Call:
    """One request: where it stands, and what came back so far."""

    __slots__ = (
        "addresses",
        "begun",
        "failed",
        "number",
        "port",
        "reader",
        "request",
        "sent",
        "tried",
        "unresolved",
        "until",
    )

    def __init__(
        self, number: int, at: Where, addresses: Sequence[str] | ExchangeError, max_body: int
    ) -> None:
        self.number = number
        self.port = at.port
        self.unresolved = addresses if isinstance(addresses, ExchangeError) else None
        self.addresses = () if isinstance(addresses, ExchangeError) else addresses
        self.request = request_bytes(at, method="GET")
        self.reader = AnswerReader("GET", max_body)
        self.sent = False
        self.tried = 0
        self.failed: list[OSError] = []
        self.begun = 0.0
        self.until = 0.0
        """When its present attempt is over: its whole time, or the share of one address of several."""


class _Loop:
    """Calls under way. `run` gives each answer as it comes."""

    def __init__(self, calls: Iterator[_Call], timeout: float) -> None:
        self._calls = calls
        self._timeout = timeout
        self._at_once = _open_at_most()
        self._live: dict[socket.socket, _Call] = {}
        self._done: list[tuple[int, Told]] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> Iterator[tuple[int, Told]]:
        swept = time.monotonic()
        waiting = True
        try:
            while waiting or self._live:
                # A few at a time, so that answers are read while further requests go out.
                for _ in range(min(_BATCH, self._at_once - len(self._live)) if waiting else 0):
                    call = next(self._calls, None)
                    if call is None:
                        waiting = False
                        break
                    self._begin(call)
                more = waiting and len(self._live) < self._at_once
                at_once = more or self._done or not self._live
                for key, _ in self._selector.select(0 if at_once else _SWEEP):
                    self._go_on(key.fileobj, key.data)  # type: ignore[arg-type]  # only sockets are registered
                now = time.monotonic()
                if now - swept >= _SWEEP:
                    swept = now
                    self._sweep(now)
                yield from self._done
                self._done.clear()
        finally:
            for connection in self._live:
                connection.close()
            self._selector.close()

    def _begin(self, call: _Call) -> None:
        call.begun = time.monotonic()
        if call.unresolved is not None:
            self._done.append((call.number, call.unresolved))
        else:
            self._connect(call)

    def _connect(self, call: _Call) -> None:
        """Try its next address, or give it up."""
        over = call.begun + self._timeout
        while call.tried < len(call.addresses):
            address = call.addresses[call.tried]
            now = time.monotonic()
            if now >= over:
                call.failed.append(TimeoutError())
                break
            call.until = now + (over - now) / (len(call.addresses) - call.tried)
            call.tried += 1
            connection: socket.socket | None = None
            try:
                connection = socket.socket(family(address), socket.SOCK_STREAM)
                connection.settimeout(0.0)
                _raised(connection.connect_ex((address, call.port)))
                # On a near network the connection stands already, and one turn of the loop is saved.
                ready = self._send(connection, call)
                call.until = over if call.sent else call.until
            except OSError as error:
                if connection is not None:
                    connection.close()
                call.failed.append(error)
                continue
            self._live[connection] = call
            self._selector.register(
                connection, selectors.EVENT_READ if ready else selectors.EVENT_WRITE, call
            )
            return
        self._done.append((call.number, not_connected(call.failed, timeout=self._timeout)))

    def _send(self, connection: socket.socket, call: _Call) -> bool:
        """Send what can be sent now; whether that was all of it."""
        try:
            count = connection.send(call.request)
        except _NOT_YET:
            return False
        call.sent = True
        call.request = call.request[count:]
        return not call.request

    def _go_on(self, connection: socket.socket, call: _Call) -> None:
        try:
            if call.request:
                _raised(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
                if self._send(connection, call):
                    call.until = call.begun + self._timeout
                    self._selector.modify(connection, selectors.EVENT_READ, call)
                return
            piece = connection.recv(_PIECE)
            if call.reader.feed(piece) if piece else call.reader.ended():
                self._end(connection, call, None)
            elif not piece:
                self._end(connection, call, cut_off())
        except _NOT_YET:
            return
        except OSError as error:
            if call.sent:
                self._end(connection, call, error)
            else:
                self._again(connection, call, error)
        except (NotHttp, TooLarge) as error:
            self._end(connection, call, error)

    def _again(self, connection: socket.socket, call: _Call, error: OSError) -> None:
        self._drop(connection)
        call.failed.append(error)
        self._connect(call)

    def _end(self, connection: socket.socket, call: _Call, error: Exception | None) -> None:
        self._drop(connection)
        if error is not None:
            self._done.append((call.number, lost(error, timeout=self._timeout, sent=call.sent)))
            return
        reader = call.reader
        seconds = time.monotonic() - call.begun
        self._done.append((call.number, Answer(reader.status, reader.headers, bytes(reader.body), seconds)))

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._live[connection]
        connection.close()

    def _sweep(self, now: float) -> None:
        """End those whose time is over."""
        for connection, call in [each for each in self._live.items() if now >= each[1].until]:
            if call.sent or call.tried == len(call.addresses):
                self._end(connection, call, TimeoutError())
            else:
                self._again(connection, call, TimeoutError())


def _raised(error: int) -> None:
    if error not in _UNDER_WAY:
        raise OSError(error, os.strerror(error))


def _open_at_most() -> int:
    """A quarter of the files that the process may open, so that everybody else has enough."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _AT_ONCE if soft == resource.RLIM_INFINITY else max(8, min(_AT_ONCE, soft // 4))


def _resolved(hosts: Iterable[str], timeout: float) -> dict[str, Sequence[str] | ExchangeError]:
    """The addresses of every host, each name looked up once, all at the same time."""
    until = time.monotonic() + timeout

    def look_up(host: str) -> Sequence[str] | ExchangeError:
        try:
            return addresses_of(host, 0, until=until, timeout=timeout)
        except ExchangeError as error:
            return error

    found: dict[str, Sequence[str] | ExchangeError] = {host: (host,) for host in hosts}
    names = [host for host in found if not is_address(host)]
    with _in_threads(look_up, names) as looked_up:
        found |= {name: future.result() for name, future in zip(names, looked_up, strict=True)}
    return found


@contextmanager
def _in_threads(function: Callable[[T], R], things: Sequence[T]) -> Iterator[Sequence[Future[R]]]:
    """A function over some things, in a few threads that end with the block."""
    if not things:
        yield ()
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(_THREADS, len(things)), thread_name_prefix="ask") as pool:
        yield [pool.submit(function, thing) for thing in things]
