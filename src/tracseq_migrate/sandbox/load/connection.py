"""One HTTP/1.1 connection, kept alive, that never sends a request twice.

HTTP libraries repeat a request on a new connection when a kept-alive one turns out to be closed. That is kind to users and
useless here: what breaks on a connection must be seen, and told apart. So the client is written down to the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

_LARGEST_BODY = 32 * 1024 * 1024
_SECONDS_FOR_THE_RESET = 0.003
"""How long the kernel of the other side is given to say, by a reset, that nobody read what was sent (loopback)."""


class Kind(StrEnum):
    """How a request can fail.

    `REFUSED` and `RESET_REUSED` are the kinds of those that no process had begun to handle, as far as a client can tell: there
    was no connection, or one that was kept alive was closed under the request, without one byte of an answer.
    """

    REFUSED = "refused"
    RESET_REUSED = "reset-reused-connection"
    RESET = "reset"
    TIMEOUT = "timeout"
    HTTP_500 = "http-500"
    HTTP_502 = "502"
    HTTP_503 = "503"
    HTTP_504 = "504"
    BAD_JSON = "bad-json"
    WRONG_ANSWER = "wrong-answer"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that came in whole, whatever its status."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None where there is no body. Raises `ValueError` where it is something else."""
        return json.loads(self.body) if self.body else None


class Broken(Exception):
    """A request without an answer.

    ``sent`` is true where the other side may have received it, so that its fate is unknown; ``unread`` where the other side's
    kernel said that nobody has read it.
    """

    def __init__(self, kind: Kind, why: str, *, sent: bool, unread: bool = False) -> None:
        super().__init__(f"{kind}: {why}")
        self.kind = kind
        self.why = why
        self.sent = sent
        self.unread = unread


@dataclass(frozen=True, slots=True)
class Address:
    """Where a base URL leads. Plain HTTP only: the sandbox has nothing else."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises `ValueError` where the URL is not one of plain HTTP with a host."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not the URL of a plain HTTP server: {url!r}")
        return cls(parts.hostname, parts.port or 80)


class Connection:
    """A client with one connection, opened when a request needs it. Not for two requests at once."""

    def __init__(self, address: Address, *, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._answers = 0
        self._buffer = bytearray()
        self._answering = False
        self.opened = 0
        self.closed_idle = 0
        self.last_sent = 0.0

    async def request(self, method: str, path: str, body: object = None, *, linger: float = 0.0) -> Reply:
        """Send one request, wait for its answer.

        Args:
            linger: seconds between the first half of the body and the second, as a client on a slow line has them.

        Raises:
            Broken: no whole answer came. The connection is closed, and the next request opens another.
        """
        began = time.monotonic()
        self.last_sent = began
        try:
            async with asyncio.timeout(self._timeout + linger):
                sock = await self._open()
                return await self._exchange(sock, self._encode(method, path, body), linger)
        except TimeoutError:
            sent = self._socket is not None
            self.close()
            raise Broken(Kind.TIMEOUT, f"no answer within {self._timeout:g} s", sent=sent) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; harmless where there is none."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._buffer.clear()

    def _encode(self, method: str, path: str, body: object) -> tuple[bytes, bytes]:
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._address.host}:{self._address.port}\r\nAccept: application/json\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
        return f"{head}\r\n".encode(), payload

    async def _open(self) -> socket.socket:
        """The connection that is there, or a new one. One that the other side closed while it was idle is no failure: nothing
        was sent on it."""
        if self._socket is not None and not self._is_idle(self._socket):
            self.closed_idle += 1
            self.close()
        if self._socket is not None:
            return self._socket
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, (self._address.host, self._address.port))
        except OSError as error:
            sock.close()
            kind = Kind.RESET if error.errno == errno.ECONNRESET else Kind.REFUSED
            raise Broken(kind, f"no connection: {error.strerror or error}", sent=False) from error
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        self._answers = 0
        self.opened += 1
        return sock

    @staticmethod
    def _is_idle(sock: socket.socket) -> bool:
        """Open, with nothing to read. Anything to read before a request (an end, a goodbye) means that it is over."""
        try:
            sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def _exchange(self, sock: socket.socket, request: tuple[bytes, bytes], linger: float) -> Reply:
        loop = asyncio.get_running_loop()
        head, payload = request
        self._answering = False
        try:
            if linger > 0 and payload:
                half = len(payload) // 2
                await loop.sock_sendall(sock, head + payload[:half])
                await asyncio.sleep(linger)
                await loop.sock_sendall(sock, payload[half:])
            else:
                await loop.sock_sendall(sock, head + payload)
            self.last_sent = time.monotonic()
            reply, keep = await self._read_reply(sock)
        except OSError as error:
            # A reset before any byte of an answer: the kernel threw away what was sent, nobody had read it.
            raise self._broken(
                unread=not self._answering, lingered=linger > 0, why=error.strerror or str(error)
            ) from error
        except EOFError:
            unread = not self._answering and await self._was_unread(sock)
            raise self._broken(
                unread=unread, lingered=linger > 0, why="closed before the answer was whole"
            ) from None
        self._answers += 1
        if not keep:
            self.close()
        return reply

    def _broken(self, *, unread: bool, lingered: bool, why: str) -> Broken:
        # A slow sender's request was with the other side for a while: somebody may well have begun to handle it.
        under_it = self._answers > 0 and not self._answering and not lingered
        return Broken(Kind.RESET_REUSED if under_it else Kind.RESET, why, sent=True, unread=unread)

    @staticmethod
    async def _was_unread(sock: socket.socket) -> bool:
        """After an end without an answer: whether the other side's kernel says that the request was never read.

        A process that reads a request and then closes leaves a clean end behind; one that had closed already, or closes
        with the request still unread, makes its kernel send a reset.
        """
        await asyncio.sleep(_SECONDS_FOR_THE_RESET)
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (errno.EPIPE, errno.ECONNRESET)

    async def _more(self, sock: socket.socket) -> None:
        data = await asyncio.get_running_loop().sock_recv(sock, 65536)
        if not data:
            raise EOFError
        self._answering = True
        self._buffer += data
        if len(self._buffer) > _LARGEST_BODY:
            raise Broken(Kind.WRONG_ANSWER, f"an answer of more than {_LARGEST_BODY} bytes", sent=True)

    async def _read_reply(self, sock: socket.socket) -> tuple[Reply, bool]:
        while True:
            status, headers = await self._read_head(sock)
            if status >= 200:
                break
        keep = headers.get(b"connection", b"").lower() != b"close"
        if status in (204, 304):
            body = b""
        elif b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            body = await self._read_chunks(sock)
        elif b"content-length" in headers:
            try:
                length = int(headers[b"content-length"])
            except ValueError:
                raise Broken(Kind.WRONG_ANSWER, "a Content-Length that is no number", sent=True) from None
            body = await self._read_exactly(sock, length)
        else:
            body, keep = await self._read_to_the_end(sock), False
        return Reply(status, body), keep

    async def _read_head(self, sock: socket.socket) -> tuple[int, dict[bytes, bytes]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more(sock)
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        first = lines[0].split(b" ", 2)
        if len(first) < 2 or not first[0].startswith(b"HTTP/1.") or not first[1].isdigit():
            raise Broken(Kind.WRONG_ANSWER, "an answer that is not HTTP/1", sent=True)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        if first[0] == b"HTTP/1.0":
            headers.setdefault(b"connection", b"close")
        return int(first[1]), headers

    async def _read_exactly(self, sock: socket.socket, length: int) -> bytes:
        while len(self._buffer) < length:
            await self._more(sock)
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    async def _read_chunks(self, sock: socket.socket) -> bytes:
        body = bytearray()
        while True:
            size = await self._read_line(sock)
            try:
                length = int(size.split(b";")[0], 16)
            except ValueError:
                raise Broken(Kind.WRONG_ANSWER, "a chunk without a length", sent=True) from None
            if length == 0:
                break
            body += await self._read_exactly(sock, length)
            await self._read_line(sock)
        while await self._read_line(sock):
            pass
        return bytes(body)

    async def _read_line(self, sock: socket.socket) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._more(sock)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def _read_to_the_end(self, sock: socket.socket) -> bytes:
        with contextlib.suppress(EOFError):
            while True:
                await self._more(sock)
        body = bytes(self._buffer)
        self._buffer.clear()
        return body
