"""One HTTP exchange on a connection of its own, with one deadline over all of it and a bound on the body.

A library that bounds each read lets a server that sends one byte now and then keep a caller for ever. Here every look-up,
connection, read and write gets what is left of the whole time. And it is light: the tool asks gateways and services in every
``status``, so nothing is imported for that but sockets.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracseq_migrate.adapters.http_answer import AnswerReader, NotHttp, TooLarge
from tracseq_migrate.adapters.http_request import InvalidRequest, Where, request_bytes, where
from tracseq_migrate.adapters.resolving import Resolver
from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports import Answer

if TYPE_CHECKING:
    from ssl import SSLContext

PIECE = 65_536
# Not the other side's doing: this process, or this machine, has no more of something.
_REFUSED_BY_US = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_resolver = Resolver()


class ExchangeError(Exception):
    """No whole answer. ``kind`` is a word for statistics; ``sent``: the request may have arrived."""

    def __init__(self, kind: str, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why
        self.sent = sent


class _Deadline:
    """The end of one exchange, and how far it came."""

    def __init__(self, timeout: float, at: float) -> None:
        self.timeout = timeout
        self.at = at
        self.sent = False

    def left(self) -> float:
        """Seconds, always more than none: 0 would mean to a socket that it must not wait at all."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


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
    with told(deadline):
        at = where(url)
        request = request_bytes(at, method=method, headers=headers, body=json)
        with _connected(at, deadline) as connection:
            reader = AnswerReader(method, max_body)
            try:
                _send(connection, request, deadline)
            except OSError:
                # One who refuses a long request may have answered before it was all sent: that answer is the better news.
                if not _answered(connection, reader, deadline):
                    raise
            else:
                _read(connection, reader, deadline)
    return Answer(reader.status, reader.headers, bytes(reader.body), time.monotonic() - begun)


@contextmanager
def told(deadline: _Deadline) -> Iterator[None]:
    """Say what went wrong in the words of `ExchangeError`."""
    try:
        yield
    except ExchangeError:
        raise
    except (InvalidRequest, NotHttp, TooLarge, OSError) as error:
        raise lost(error, timeout=deadline.timeout, sent=deadline.sent) from error


def lost(error: Exception, *, timeout: float, sent: bool) -> ExchangeError:
    """What an error in the middle of an exchange means; ``sent`` says how far it had come."""
    match error:
        case ExchangeError():
            return error
        case TimeoutError():
            return ExchangeError("timeout", f"no whole answer within {timeout:g} s", sent=sent)
        case InvalidRequest():
            why = f"no request can be made of it ({one_line(str(error))})"
            return ExchangeError("invalid", why, sent=False)
        case NotHttp():
            return ExchangeError("not-http", f"the answer is not HTTP ({one_line(str(error))})", sent=sent)
        case TooLarge():
            return ExchangeError("too-large", f"the answer is larger than {error} bytes", sent=True)
        case ConnectionError():
            when = "before the answer was whole" if sent else "while it was made"
            return ExchangeError("reset", f"the connection was reset {when}", sent=sent)
        case _:
            text = one_line(getattr(error, "strerror", None) or str(error))
            kind = "reset" if sent else "no-connection"
            return ExchangeError(kind, f"the connection failed ({text})", sent=sent)


def cut_off() -> ExchangeError:
    return ExchangeError("cut-off", "the connection was closed before the answer was whole", sent=True)


@contextmanager
def _connected(at: Where, deadline: _Deadline) -> Iterator[socket.socket]:
    connection = _connect(at, deadline)
    try:
        if at.secure:
            connection = _secured(connection, at, deadline)
        yield connection
    finally:
        connection.close()


def _connect(at: Where, deadline: _Deadline) -> socket.socket:
    addresses = addresses_of(at.host, at.port, until=deadline.at, timeout=deadline.timeout)
    failed: list[OSError] = []
    for number, address in enumerate(addresses):
        connection = socket.socket(family(address), socket.SOCK_STREAM)
        try:
            # Each address gets its share of what is left, so that one that swallows packets leaves time for the next.
            connection.settimeout(deadline.left() / (len(addresses) - number))
            connection.connect((address, at.port))
        except OSError as error:
            connection.close()
            failed.append(error)
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise not_connected(failed, timeout=deadline.timeout)


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def not_connected(failed: list[OSError], *, timeout: float) -> ExchangeError:
    """Why no address of a host could be reached. Refused counts as an answer: only where every address says so."""
    error = next((each for each in failed if not isinstance(each, ConnectionRefusedError)), failed[0])
    match error:
        case ConnectionRefusedError():
            return ExchangeError("refused", "connection refused: nothing listens there", sent=False)
        case TimeoutError():
            return ExchangeError("timeout", f"no whole answer within {timeout:g} s", sent=False)
        case ConnectionResetError():
            return ExchangeError("reset", "the connection was reset while it was made", sent=False)
    text = one_line(error.strerror or str(error))
    return ExchangeError("no-connection", f"no connection ({text})", sent=False)


def addresses_of(host: str, port: int, *, until: float, timeout: float) -> Sequence[str]:
    """The addresses of a host, one at least; ``until`` is a time of `time.monotonic`.

    Raises:
        ExchangeError: it has none, or none was found in time.
    """
    try:
        addresses = _resolver.addresses(host, port, until=until)
    except TimeoutError:
        why = f"the name {one_line(host)} was not resolved within {timeout:g} s"
        raise ExchangeError("no-such-host", why, sent=False) from None
    except (OSError, UnicodeError) as error:
        raise ExchangeError(
            "no-such-host", f"the name {one_line(host)} does not resolve", sent=False
        ) from error
    if not addresses:
        raise ExchangeError("no-such-host", f"the name {one_line(host)} has no address", sent=False)
    return addresses


_contexts: list[SSLContext] = []
_contexts_lock = threading.Lock()


def _context() -> SSLContext:
    # Building one reads every certificate of the system (about 20 ms): once a process, and only for TLS.
    import ssl

    with _contexts_lock:
        if not _contexts:
            _contexts.append(ssl.create_default_context())
        return _contexts[0]


def _secured(connection: socket.socket, at: Where, deadline: _Deadline) -> socket.socket:
    import ssl

    try:
        secured = _context().wrap_socket(connection, server_hostname=at.host, do_handshake_on_connect=False)
    except (ssl.SSLError, ValueError, OSError) as error:
        connection.close()
        raise ExchangeError("tls", f"TLS failed ({one_line(str(error))})", sent=False) from error
    try:
        secured.settimeout(deadline.left())
        secured.do_handshake()
    except TimeoutError:
        secured.close()
        raise
    except ssl.SSLError as error:
        secured.close()
        raise ExchangeError("tls", f"TLS failed ({one_line(str(error))})", sent=False) from error
    except BaseException:
        secured.close()
        raise
    return secured


def _send(connection: socket.socket, request: bytes, deadline: _Deadline) -> None:
    rest = memoryview(request)
    deadline.sent = True
    while rest:
        # In pieces, because each gets the time anew: one who takes a byte now and then would keep us.
        connection.settimeout(deadline.left())
        rest = rest[connection.send(rest[:PIECE]) :]


def _read(connection: socket.socket, reader: AnswerReader, deadline: _Deadline) -> None:
    while True:
        connection.settimeout(deadline.left())
        piece = connection.recv(PIECE)
        if reader.feed(piece) if piece else reader.ended():
            return
        if not piece:
            raise cut_off()


def _answered(connection: socket.socket, reader: AnswerReader, deadline: _Deadline) -> bool:
    try:
        _read(connection, reader, deadline)
    except (OSError, ExchangeError, NotHttp, TooLarge):
        return False
    return True
