"""What may come over a connection, or never come: every question ends in time, in an answer or in a reason."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.suite import Tally, Wrong
from tests.chaos.weather.disk import NotPossible
from tracseq_migrate.adapters.caddy import CaddyProxy
from tracseq_migrate.adapters.gateway import HttpGateway
from tracseq_migrate.adapters.haproxy import HaproxyProxy
from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.adapters.prober import ThreadProber
from tracseq_migrate.adapters.supervisor import SupervisorProgram
from tracseq_migrate.ports import ProbeTarget, Unreachable

TIMEOUT = 1.0
LATE = 4.0
"""Seconds after the timeout in which a question must have ended, on a machine that is busy with other things."""

Talk = Callable[[socket.socket, threading.Event], None]
HEAD = b"HTTP/1.1 200 OK\r\n"


def _sends(*pieces: bytes, close: bool = True) -> Talk:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)
        if not close:
            ending.wait(30)

    return talk


def _drips(before: bytes, piece: bytes, pause: float = 0.05) -> Talk:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(before)
        while not ending.wait(pause):
            connection.sendall(piece)

    return talk


def _floods(before: bytes, piece: bytes) -> Talk:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(before)
        while not ending.is_set():
            connection.sendall(piece)

    return talk


def _breaks(*pieces: bytes) -> Talk:
    def talk(connection: socket.socket, ending: threading.Event) -> None:
        if pieces:
            connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return talk


def _silent(connection: socket.socket, ending: threading.Event) -> None:
    ending.wait(30)


TALKS: dict[str, tuple[Talk, str]] = {
    "reset-at-once": (_breaks(), "reset"),
    "reset-in-the-headers": (_breaks(HEAD + b"X-A: 1"), "reset"),
    "reset-in-the-body": (_breaks(HEAD + b"Content-Length: 100\r\n\r\nhalf"), "reset"),
    "silent": (_silent, "no whole answer within"),
    "closed-at-once": (_sends(), "closed before the answer was whole"),
    "closed-in-the-headers": (_sends(HEAD + b"X-A: 1\r\n"), "closed before the answer was whole"),
    "length-too-long": (
        _sends(HEAD + b"Content-Length: 100\r\n\r\nhalf"),
        "closed before the answer was whole",
    ),
    "length-too-long-and-open": (
        _sends(HEAD + b"Content-Length: 100\r\n\r\nhalf", close=False),
        "no whole answer within",
    ),
    "length-too-short": (_sends(HEAD + b"Content-Length: 2\r\n\r\n{}and more"), "200"),
    "length-negative": (_sends(HEAD + b"Content-Length: -5\r\n\r\n{}"), "not HTTP"),
    "two-lengths": (_sends(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}"), "not HTTP"),
    "length-of-gigabytes": (
        _sends(HEAD + b"Content-Length: 99999999999\r\n\r\n"),
        "larger than|before the answer was whole",
    ),
    "chunk-cut": (
        _sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
        "closed before the answer was whole",
    ),
    "chunk-nonsense": (_sends(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "not HTTP"),
    "slow-first-line": (_drips(b"", b"H"), "no whole answer within|not HTTP"),
    "slow-headers": (_drips(HEAD + b"X-Long: ", b"x"), "no whole answer within"),
    "slow-body": (_drips(HEAD + b"Content-Length: 100000\r\n\r\n", b"x"), "no whole answer within"),
    "slow-chunks": (
        _drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        "no whole answer within",
    ),
    "slow-continues": (_drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no whole answer within"),
    "endless-body": (_floods(HEAD + b"\r\n", b"x" * 65536), "larger than"),
    "endless-headers": (_floods(HEAD, b"X-A: " + b"x" * 1000 + b"\r\n"), "not HTTP|no whole answer within"),
    "endless-header": (_floods(HEAD + b"X-A: ", b"x" * 65536), "not HTTP|no whole answer within"),
    "endless-chunk-line": (
        _floods(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x" * 65536),
        "not HTTP|no whole answer within",
    ),
    "endless-trailers": (
        _floods(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: " + b"x" * 1000 + b"\r\n"),
        "not HTTP|no whole answer within|larger than",
    ),
    "endless-continues": (
        _floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        "no whole answer within|not HTTP",
    ),
    "packed": (
        _sends(
            HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b"0" * 30_000_000)
        ),
        "200",
    ),
    "redirect-to-itself": (_sends(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), "302"),
    "redirect-elsewhere": (
        _sends(b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"),
        "307",
    ),
    "other-protocol": (_sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "not HTTP"),
    "keeps-alive-and-dies": (_sends(HEAD + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"), "200"),
}
"""What the other side does, and what is to be said of it: a part of the reason, or the status of the answer."""


@contextmanager
def speaking(talk: Talk, listener: socket.socket) -> Iterator[None]:
    """Somebody who talks so on a listening socket, with whoever comes, each in turn."""
    ending = threading.Event()
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(20)
            try:
                talk(connection, ending)
            except OSError:
                return

    def serve() -> None:
        listener.settimeout(0.05)
        while not ending.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=one, args=(connection,))
            thread.start()
            threads.append(thread)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield
    finally:
        ending.set()
        server.join()
        for thread in threads:
            thread.join()


def asked(question: Callable[[], object], expected: str, *, timeout: float = TIMEOUT) -> Tally:
    """Ask; the question must end in time, with one of the expected words."""
    began = time.monotonic()
    try:
        said = str(question())
    except Unreachable as error:
        said = str(error)
    seconds = time.monotonic() - began
    if seconds > timeout + LATE:
        raise Wrong(f"it took {seconds:.1f} s with a timeout of {timeout:g} s: {said}")
    if not any(word in said for word in expected.split("|")):
        raise Wrong(f"it says {said!r}, and nothing of {expected!r}")
    return Tally(1, {"answered" if expected.isdigit() else "a reason, in time": 1})


def over_http(name: str) -> Tally:
    """A single question over HTTP, and a prober's many."""
    talk, expected = TALKS[name]
    with socket.create_server(("127.0.0.1", 0)) as listener, speaking(talk, listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        http = HttpxHttp({"a": url, "gateway": url})
        tally = asked(lambda: http.request("a", "/", timeout=TIMEOUT).status, expected)
        gateway = HttpGateway(http, instances=[], names={"USE_RAG_SERVICE": "rag"})
        asked(lambda: gateway.flags(timeout=TIMEOUT), "")
        prober = ThreadProber({"a": url}, timeout=TIMEOUT)
        asked(lambda: prober.start([ProbeTarget("a", "/")], rate=20).stop(), "", timeout=4 * TIMEOUT)
        caddy = CaddyProxy(url, {"gateway-1": "127.0.0.1:1"}, timeout=TIMEOUT)
        asked(caddy.in_rotation, "caddy")
        return tally


def over_a_socket(name: str, whom: str) -> Tally:
    """The same over the sockets of haproxy and of supervisord."""
    talk, _ = TALKS[name]
    with tempfile.TemporaryDirectory(prefix="w-", dir="/tmp") as folder:
        path = Path(folder) / "socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(16)
            with speaking(talk, listener):
                if whom == "haproxy":
                    proxy = HaproxyProxy(str(path), "gateway", timeout=TIMEOUT, settle=TIMEOUT)
                    return asked(proxy.in_rotation, "haproxy")
                return asked(lambda: SupervisorProgram(str(path), "rag").state(timeout=TIMEOUT), "")


def nobody(kind: str) -> Tally:
    """Nobody is there: refused, an address that is not bound, a listener who never takes the connection."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        expected, url = "connection refused", f"http://127.0.0.1:{port}"
        if kind == "never-taken":
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
            expected = "no whole answer within"
        elif kind == "refused":
            listener.close()
        elif kind == "refused-on-both-addresses":
            listener.close()
            url = f"http://localhost:{port}"
        elif kind == "only-the-other-family":
            url, expected = f"http://[::1]:{port}", "connection refused|no connection"
        return asked(lambda: HttpxHttp({"a": url}).request("a", "/", timeout=TIMEOUT).status, expected)


NOBODY = ("refused", "never-taken", "refused-on-both-addresses", "only-the-other-family")


def _certificate(folder: Path, name: str, days: str) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    argv += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", days]
    try:
        subprocess.run(argv, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise NotPossible("openssl is not installed") from error
    return key, certificate


def over_tls(kind: str) -> Tally:
    """A certificate that nobody vouches for, or of another; a plain side, or one that never shakes hands."""
    with tempfile.TemporaryDirectory(prefix="w-") as name, ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        expected = "TLS failed"
        if kind == "plain-side":
            stack.enter_context(speaking(_sends(HEAD + b"Content-Length: 2\r\n\r\n{}"), listener))
        elif kind == "no-handshake":
            stack.enter_context(speaking(_silent, listener))
            expected = "no whole answer within"
        elif kind == "slow-handshake":
            stack.enter_context(speaking(_drips(b"\x16\x03\x03\x40\x00", b"\x02"), listener))
            expected = "no whole answer within|TLS failed"
        else:
            key, certificate = _certificate(Path(name), "elsewhere.invalid", "30")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)

            def shake(connection: socket.socket, ending: threading.Event) -> None:
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(4096)
                    secured.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")

            stack.enter_context(speaking(shake, listener))
            if kind == "plain-to-tls":
                url, expected = url.replace("https:", "http:"), "not HTTP|reset|closed"
        return asked(lambda: HttpxHttp({"a": url}).request("a", "/", timeout=TIMEOUT).status, expected)


TLS = ("wrong-certificate", "plain-side", "plain-to-tls", "no-handshake", "slow-handshake")


def nothing_leaked(case: Callable[[], Tally]) -> Tally:
    """A case, after which as many threads and open files are there as before."""
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only, of an open folder
    threads = threading.active_count()
    tally = case()
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.02)
    if threading.active_count() > threads:
        raise Wrong(f"threads are left: {threading.enumerate()}")
    now = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as above
    if now > files:
        raise Wrong(f"{now - files} files are left open")
    return tally


def cases() -> dict[str, Callable[[], Tally]]:
    """Everything that may come over a connection."""

    def kept(act: Callable[[], Tally]) -> Callable[[], Tally]:
        return lambda: nothing_leaked(act)

    found: dict[str, Callable[[], Tally]] = {}
    for name in TALKS:
        found[f"wire/{name}/http"] = kept(lambda name=name: over_http(name))  # type: ignore[misc]  # bound early
        for whom in ("haproxy", "supervisord"):
            found[f"wire/{name}/{whom}"] = kept(lambda name=name, whom=whom: over_a_socket(name, whom))  # type: ignore[misc]  # as above
    for kind in NOBODY:
        found[f"wire/{kind}/http"] = kept(lambda kind=kind: nobody(kind))  # type: ignore[misc]  # as above
    for kind in TLS:
        found[f"wire/{kind}/tls"] = kept(lambda kind=kind: over_tls(kind))  # type: ignore[misc]  # as above
    return found
