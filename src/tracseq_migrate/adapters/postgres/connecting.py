"""Connection strings: what they say, how a server is found by them in time, and why it was not. Slow to import (psycopg)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracseq_migrate.adapters.resolving import Resolver
from tracseq_migrate.adapters.wording import one_line
from tracseq_migrate.ports.mark import Unreachable

_resolver = Resolver()

# The text of a row must not depend on who asks, or from where.
PINNED: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("row_security", "off"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "3"),
    ("lc_monetary", "C"),
    ("xmloption", "content"),
    ("jit", "off"),
)

# By SQLSTATE, the longest prefix wins.
_REASONS = {
    "08": "the connection was lost",
    "22": "a value cannot be read",
    "25006": "it does not allow a snapshot",
    "28": "it refused the login",
    "3D": "there is no such database",
    "40": "other work came between; try again",
    "42": "its tables changed while they were read, or are not as expected",
    "42501": "not everything may be read",
    "53": "the server has run out of something (connections, memory, disk)",
    "55P03": "a table is locked by other work",
    "57": "the server ended the question",
    "57014": "it was not answered in time",
    "57P01": "the server is shutting down",
    "57P02": "the server crashed",
    "57P03": "the server is starting or stopping",
    "58": "the server's system failed",
    "XX": "the server reports a fault in itself or in its data",
}

# A host that is gone without a word is noticed within about half a minute, whatever is being waited for.
_ALIVE: dict[str, str] = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A connection string, taken apart; nothing of it is shown but ``what``."""

    what: str
    dsn: str
    parameters: dict[str, Any]
    secrets: tuple[str, ...]

    def conninfo(self, until: float, *, application_name: str) -> str:
        """The string to connect with, each host by its addresses, so that nothing takes longer than ``until``.

        Raises:
            Unreachable: a name was not resolved in time.
        """
        addresses = _addresses(self.what, self.parameters, until)
        tries = addresses["hostaddr"].count(",") + 1 if addresses else 1
        alive = {name: value for name, value in _ALIVE.items() if name not in self.parameters}
        return make_conninfo(
            self.dsn,
            **addresses,
            **alive,
            connect_timeout=max(math.ceil((until - time.monotonic()) / tries), 1),
            client_encoding="utf8",
            application_name=application_name,
        )

    def clean(self, text: str, limit: int = 300) -> str:
        """A text of the server's or the driver's on one line, without the secrets of the connection string."""
        for secret in self.secrets:
            for written in (secret, quote(secret, safe="")):
                text = text.replace(written, "…")
        return one_line(text, limit)

    def reason(self, error: psycopg.Error) -> str:
        """Why, in a few words."""
        state = error.sqlstate or ""
        known = next((_REASONS[state[:n]] for n in (5, 4, 3, 2) if state[:n] in _REASONS), "")
        said = self.clean(error.diag.message_primary or str(error))
        if known:
            return f"{known} ({said}; SQLSTATE {state})" if said else f"{known} (SQLSTATE {state})"
        return said or type(error).__name__


def parsed(database: str, dsn: str) -> Target:
    """A connection string taken apart.

    Raises:
        Unreachable: it cannot be; never with a piece of it.
    """
    try:
        parameters = conninfo_to_dict(dsn)
    except psycopg.Error:
        # The reason quotes a piece of the connection string, maybe the password: the cause is cut off too.
        raise Unreachable(f"database {database}", "its connection string cannot be parsed") from None
    secrets = tuple(str(parameters[name]) for name in ("password", "sslpassword") if parameters.get(name))
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    name = parameters.get("dbname") or "default"
    what = f"database {database} ({one_line(str(name))} on {one_line(str(host))})"
    return Target(what, dsn, parameters, secrets)


def _addresses(what: str, parameters: Mapping[str, Any], until: float) -> dict[str, str]:
    """Parameters that name every host by its addresses, where a name would have to be looked up: that has no bound else."""
    hosts = str(parameters.get("host") or "").split(",")
    ports = str(parameters.get("port") or "").split(",")
    if parameters.get("hostaddr") or any(not host or host[0] in "/@" for host in hosts):
        return {}
    if len(ports) not in (1, len(hosts)):
        return {}
    found: list[tuple[str, str, str]] = []
    for number, host in enumerate(hosts):
        port = ports[number] if len(ports) > 1 else ports[0]
        try:
            addresses = _resolver.addresses(host, int(port or 5432), until=until)
        except TimeoutError:
            raise Unreachable(what, f"the name {one_line(host)} was not resolved in time") from None
        except (OSError, UnicodeError, ValueError):
            continue  # the others may do; with none at all the driver says what is wrong
        found += [(host, address, port) for address in addresses]
    if not found:
        return {}
    names, numbers, at = zip(*found, strict=True)
    return {"host": ",".join(names), "hostaddr": ",".join(numbers), "port": ",".join(at)}
