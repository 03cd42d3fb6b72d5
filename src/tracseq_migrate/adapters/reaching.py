"""How far a request came, and what it means that there is no whole answer: the words of everything that speaks HTTP here."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from tracseq_migrate.adapters.http_answer import NotHttp, TooLarge
from tracseq_migrate.adapters.http_request import InvalidRequest
from tracseq_migrate.adapters.resolving import Resolver
from tracseq_migrate.adapters.wording import one_line

_resolver = Resolver()


class ExchangeError(Exception):
    """No whole answer. ``kind`` is a word for statistics; ``sent``: the request may have arrived."""

    def __init__(self, kind: str, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why
        self.sent = sent


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
