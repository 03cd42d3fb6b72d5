"""One HTTP/1.1 request as bytes, and where it goes. Made whole before anything is sent, so that what cannot be sent never is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KEPT = "/:?[]@!$&'()*+,;=%~-._"
_WITH_BODY = ("POST", "PUT", "PATCH")
_PORTS = {"http": 80, "https": 443}

USUAL = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "close",
    "user-agent": "tracseq-migrate",
}
"""What every request says, whoever sends it, unless it is asked for with other headers."""


class InvalidRequest(Exception):
    """No request can be made of it; the text says why."""


class Where(NamedTuple):
    """What a URL says: whom to connect to, and what to ask for there."""

    secure: bool
    host: str
    port: int
    authority: str
    """As the Host header has it."""
    path: str
    """With the query, quoted."""
    credentials: str
    """``user:password``, or empty."""


@lru_cache(maxsize=4096)
def where(url: str) -> Where:
    """Take a URL apart.

    Raises:
        InvalidRequest: it is not one of http or https with a host.
    """
    from urllib.parse import quote, unquote, urlsplit

    if _FORBIDDEN.search(url):  # urlsplit leaves some of these out in silence
        raise InvalidRequest("the URL has control characters in it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"not a URL: {error}") from error
    if parts.scheme not in _PORTS:
        raise InvalidRequest("a URL begins with http:// or https://")
    if not host or " " in host:
        raise InvalidRequest("the URL names no host")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise InvalidRequest(f"the URL's host is no name: {error}") from error
    usual = _PORTS[parts.scheme]
    named = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=_KEPT) + (
        f"?{quote(parts.query, safe=_KEPT)}" if parts.query else ""
    )
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
    authority = named if port in (None, usual) else f"{named}:{port}"
    return Where(parts.scheme == "https", host, usual if port is None else port, authority, path, user)


def request_bytes(
    at: Where, *, method: str, headers: Mapping[str, str] | None = None, body: object = None
) -> bytes:
    """A request on a connection that carries no other. ``body`` is sent as JSON, unless it is None.

    Raises:
        InvalidRequest: the method, a header or the body cannot be sent.
    """
    fields = {
        "host": at.authority,
        **USUAL,
    }
    if at.credentials:
        from base64 import b64encode

        fields["authorization"] = f"Basic {b64encode(at.credentials.encode()).decode('ascii')}"
    content = b""
    if body is not None:
        try:
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"the body is not JSON: {error}") from error
        fields["content-type"] = "application/json"
    fields |= {name.lower(): value for name, value in (headers or {}).items()}
    if content or method in _WITH_BODY:
        fields["content-length"] = str(len(content))
    if not _TOKEN.fullmatch(method):
        raise InvalidRequest("the method is not a word")
    for name, value in fields.items():
        if not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value.replace("\t", " ")):
            raise InvalidRequest(f"the header {name!r} cannot be sent")
    head = "".join(
        [f"{method} {at.path} HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in fields.items()), "\r\n"]
    )
    try:
        return head.encode("latin-1") + content
    except UnicodeError as error:
        raise InvalidRequest("a header has letters that cannot be sent") from error
