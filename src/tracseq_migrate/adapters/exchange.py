"""One HTTP exchange on a connection of its own, with one deadline over all of it and a bound on the body.

httpx bounds each read; a server that sends one byte now and then would keep a caller for ever. Here every look-up, connection,
read and write gets what is left of the whole time. Importing this module is slow (httpx): whoever needs it does so when it is
first used.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from tracseq_migrate.adapters.http_answer import NotHttp, TooLarge
from tracseq_migrate.adapters.http_request import USUAL, InvalidRequest
from tracseq_migrate.adapters.reaching import ExchangeError, addresses_of, cut_off, lost, not_connected
from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Answer

_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


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
        deadline = self._deadline
        addresses = addresses_of(host, port, until=deadline.at, timeout=deadline.timeout)
        failed: list[OSError] = []
        for number, address in enumerate(addresses):
            # Each address gets its share of what is left, so that one that swallows packets leaves time for the next.
            share = deadline.left(httpcore.ConnectTimeout) / (len(addresses) - number)
            try:
                stream = self._inner.connect_tcp(address, port, share, local_address, socket_options)
            except httpcore.ConnectTimeout:
                failed.append(TimeoutError())
            except httpcore.ConnectError as error:
                cause = error.__cause__ or error.__context__
                failed.append(cause if isinstance(cause, OSError) else OSError(str(error)))
            else:
                return _Stream(stream, deadline)
        raise not_connected(failed, timeout=deadline.timeout)


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
def _translated(deadline: _Deadline) -> Iterator[None]:
    try:
        yield
    except ExchangeError:
        raise
    except httpcore.TimeoutException:
        raise lost(TimeoutError(), timeout=deadline.timeout, sent=deadline.sent) from None
    except httpcore.ConnectError as error:  # behind the connection itself: TLS
        cause = error.__cause__ or error.__context__
        raise ExchangeError("tls", f"TLS failed ({one_line(str(cause or error))})", sent=False) from error
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
            raise cut_off() from error
        raise lost(NotHttp(why), timeout=deadline.timeout, sent=deadline.sent) from error
    except (
        httpx.InvalidURL,
        httpcore.UnsupportedProtocol,
        httpcore.LocalProtocolError,
        UnicodeError,
    ) as error:
        raise lost(InvalidRequest(str(error)), timeout=deadline.timeout, sent=False) from error
    except OSError as error:
        raise ExchangeError("reset", one_line(error.strerror or str(error)), sent=deadline.sent) from error


def exchange(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    json: object = None,
    timeout: float,
    max_body: int,
) -> Answer:
    """One request, one whole answer, within ``timeout`` seconds in all. The body is as it came; an encoding that was not
    asked for stays.

    Raises:
        ExchangeError: there is no whole answer.
    """
    begun = time.monotonic()
    deadline = _Deadline(timeout, begun + timeout)
    sending = {
        **USUAL,
        **{key.lower(): value for key, value in (headers or {}).items()},
    }
    context = _context() if url[:6].lower() == "https:" else None
    with (
        _translated(deadline),
        httpx.Client(
            transport=_Transport(deadline, context), trust_env=False, follow_redirects=False
        ) as client,
        client.stream(method, url, headers=sending, json=json) as response,
    ):
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > max_body:
                raise lost(TooLarge(max_body), timeout=timeout, sent=True)
        return Answer(
            status=response.status_code,
            headers=tuple(
                (key.decode("latin-1"), value.decode("latin-1")) for key, value in response.headers.raw
            ),
            body=bytes(body),
            seconds=time.monotonic() - begun,
        )
