"""One HTTP exchange on a connection of its own, with one deadline over all of it and a bound on the body.

httpx bounds each read; a server that sends one byte now and then would keep a caller for ever. Here every
read and write gets what is left of the whole time. Importing this module is slow (httpx): `HttpxHttp` and
`ThreadProber` do it when they are first used.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Answer

_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class ExchangeError(Exception):
    """No whole answer. ``kind`` is a word for statistics; ``sent``: the request may have arrived."""

    def __init__(self, kind: str, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why
        self.sent = sent


@dataclass(slots=True)
class _Deadline:
    """The end of one exchange, and how far it came."""

    timeout: float
    at: float
    sent: bool = False

    def left(self, otherwise: type[httpcore.TimeoutException]) -> float:
        left = self.at - time.monotonic()
        if left <= 0:
            raise otherwise
        return left


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._deadline.sent = True
        self._inner.write(buffer, self._deadline.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, deadline: _Deadline) -> None:
        self._inner = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return _Stream(
            self._inner.connect_tcp(host, port, left, local_address, socket_options), self._deadline
        )


class _Body(httpx.SyncByteStream):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


class _Transport(httpx.BaseTransport):
    """A transport of one connection, which ends with it."""

    def __init__(self, deadline: _Deadline, context: ssl.SSLContext | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=1, retries=0, network_backend=_Backend(deadline)
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        if not isinstance(
            answer.stream, Iterable
        ):  # an asynchronous stream cannot come from a synchronous pool
            raise TypeError("the answer's body cannot be read here")
        return httpx.Response(status_code=answer.status, headers=answer.headers, stream=_Body(answer.stream))

    def close(self) -> None:
        self._pool.close()


_contexts: list[ssl.SSLContext] = []
_contexts_lock = threading.Lock()


def _context() -> ssl.SSLContext:
    # Building one reads every certificate of the system (about 20 ms): once a process, and only for TLS.
    with _contexts_lock:
        if not _contexts:
            _contexts.append(ssl.create_default_context())
        return _contexts[0]


@contextmanager
def _translated(deadline: _Deadline, url: str) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException:
        raise ExchangeError(
            "timeout", f"no whole answer within {deadline.timeout:g} s", sent=deadline.sent
        ) from None
    except httpcore.ConnectError as error:
        raise _not_connected(error, url) from error
    except httpcore.ReadError as error:
        raise ExchangeError(
            "reset", "the connection was reset before the answer was whole", sent=True
        ) from error
    except httpcore.WriteError as error:
        raise ExchangeError(
            "reset", "the connection was reset while the request was sent", sent=True
        ) from error
    except httpcore.RemoteProtocolError as error:
        why = one_line(str(error))
        if "disconnected" in why or "closed connection" in why:
            raise ExchangeError(
                "cut-off", "the connection was closed before the answer was whole", sent=True
            ) from error
        raise ExchangeError("not-http", f"the answer is not HTTP ({why})", sent=deadline.sent) from error
    except (
        httpx.InvalidURL,
        httpcore.UnsupportedProtocol,
        httpcore.LocalProtocolError,
        UnicodeError,
    ) as error:
        raise ExchangeError(
            "invalid", f"no request can be made of it ({one_line(str(error))})", sent=False
        ) from error
    except OSError as error:
        raise ExchangeError("reset", one_line(error.strerror or str(error)), sent=deadline.sent) from error


def _not_connected(error: httpcore.ConnectError, url: str) -> ExchangeError:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ConnectionRefusedError):
        return ExchangeError("refused", "connection refused: nothing listens there", sent=False)
    if isinstance(cause, socket.gaierror):
        return ExchangeError(
            "no-such-host", f"the name {one_line(httpx.URL(url).host)} does not resolve", sent=False
        )
    if isinstance(cause, ssl.SSLError):
        return ExchangeError("tls", f"TLS failed ({one_line(str(cause))})", sent=False)
    if isinstance(cause, ConnectionResetError):
        return ExchangeError("reset", "the connection was reset while it was made", sent=False)
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
    return ExchangeError("no-connection", f"no connection ({one_line(text)})", sent=False)


def exchange(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    json: object = None,
    timeout: float,
    max_body: int,
) -> Answer:
    """One request, one whole answer. The body is as it came; an encoding that was not asked for stays.

    Resolving the host's name is the system's affair and not bounded by ``timeout`` (seconds).

    Raises:
        ExchangeError: there is no whole answer.
    """
    begun = time.monotonic()
    deadline = _Deadline(timeout, begun + timeout)
    sending = {
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": "tracseq-migrate",
        **{key.lower(): value for key, value in (headers or {}).items()},
    }
    context = _context() if url[:6].lower() == "https:" else None
    with (
        _translated(deadline, url),
        httpx.Client(
            transport=_Transport(deadline, context), trust_env=False, follow_redirects=False
        ) as client,
        client.stream(method, url, headers=sending, json=json) as response,
    ):
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > max_body:
                raise ExchangeError("too-large", f"the answer is larger than {max_body} bytes", sent=True)
        return Answer(
            status=response.status_code,
            headers=tuple(
                (key.decode("latin-1"), value.decode("latin-1")) for key, value in response.headers.raw
            ),
            body=bytes(body),
            seconds=time.monotonic() - begun,
        )
