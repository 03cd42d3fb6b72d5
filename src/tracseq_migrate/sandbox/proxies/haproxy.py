"""The configuration of haproxy in front of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

BACKEND = "gateway"

# Requests are balanced one by one, also those of one kept-alive client connection, so that a swap moves every
# client at once. Nothing is sent twice: a request is tried again only where no connection could be made. The
# checks are quick to bring a server back (an instance that was restarted out of rotation is up again within one
# of them) and slow to take one away, so that a busy machine does not make servers flap.
_CONFIGURATION = """\
# Written by `tracseq-migrate sandbox up`.
global
    maxconn 2000
    stats socket {socket} mode 600 level admin
    stats timeout 1m
    lua-load {hold}
    hard-stop-after 5s

defaults
    mode http
    option http-keep-alive
    option redispatch 1
    retries 3
    retry-on conn-failure
    http-reuse safe
    timeout connect 2s
    timeout check 2s
    timeout queue 10s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout client 60s
    timeout server 60s

frontend public
    bind 127.0.0.1:{port}
    # Writes wait for the moment in which data changes its owner; then they are counted by their path, until they are answered.
    acl tracseq_write method POST PUT PATCH DELETE
    http-request lua.tracseq_hold if tracseq_write
    http-request track-sc2 path,url_dec,hex table tracseq_writes if tracseq_write
    default_backend {backend}

backend tracseq_writes
    stick-table type string len 512 size 100k expire 10s store conn_cur

backend {backend}
    balance roundrobin
    option httpchk GET /health
    http-check expect status 200
    default-server check inter 500ms fastinter 200ms downinter 100ms fall 4 rise 1
{servers}
"""


HOLD = Path(__file__).with_name("hold.lua")
"""What makes writes wait; haproxy reads a copy beside its configuration."""


def configuration(*, port: int, socket: Path, hold: Path, instances: Mapping[str, int]) -> str:
    """The text of haproxy.cfg.

    Args:
        port: where clients come in.
        socket: the runtime socket, on which servers are drained and made ready, and writes held.
        hold: the copy of `HOLD`.
        instances: name and port of each gateway instance; the names are the servers' names.
    """
    servers = "\n".join(f"    server {name} 127.0.0.1:{number}" for name, number in instances.items())
    return _CONFIGURATION.format(
        port=port, socket=_quoted(socket), hold=_quoted(hold), backend=BACKEND, servers=servers
    )


def _quoted(path: Path) -> str:
    return "".join(f"\\{letter}" if letter in " \\\"'#" else letter for letter in str(path))


def command(binary: Path, configuration_file: Path) -> list[str]:
    """In the foreground."""
    return [str(binary), "-db", "-f", str(configuration_file)]
