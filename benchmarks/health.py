"""The health of many endpoints, asked as ``status``, ``verify`` and the services step ask it, against ``curl --parallel``.

    python benchmarks/health.py [endpoints] [rounds]

Each endpoint is a port of its own on loopback. haproxy answers on all of them, where it is installed (it needs less time for an
answer than either side for a question, so it is not the bound); else a small server of this file does, and then it may be. Both
sides ask in turns in one run, on fresh connections, and every answer is checked. curl's time is that of its whole process; ours
is given twice: in a process that runs already, as in every command, and with the start of an interpreter of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tracseq_migrate.adapters.http import HttpxHttp
from tracseq_migrate.ports import Answer

_BODY = '{"status":"healthy","service":"one of many"}'
_PARALLEL = (50, 256)
_HAPROXY = """
global
  maxconn 2000
  nbthread 1
defaults
  mode http
  timeout client 30s
frontend everybody
  bind 127.0.0.1:{first}-{last}
  http-request return status 200 content-type application/json string '{body}'
"""


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(_serve(int(sys.argv[2]), int(sys.argv[3])))
        return
    if sys.argv[1:2] == ["--ask"]:
        _ask(range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as name, _server(count, Path(name)) as (ports, server):
        urls = Path(name) / "urls"
        urls.write_text(
            "".join(f'url = "http://127.0.0.1:{p}/health"\noutput = "/dev/null"\n' for p in ports)
        )
        asked: dict[str, Callable[[], None]] = {
            **{f"curl --parallel-max {most}": partial(_curl, urls, most, count) for most in _PARALLEL},
            "in a running process": partial(_ask, ports),
            "with an interpreter of its own": partial(_alone, ports),
        }
        for ask in asked.values():
            ask()  # nobody pays for what is cold
        best = dict.fromkeys(asked, float("inf"))
        for _ in range(rounds):
            for label, ask in asked.items():
                began = time.perf_counter()
                ask()
                best[label] = min(best[label], time.perf_counter() - began)
    peer = min(seconds for label, seconds in best.items() if label.startswith("curl"))
    print(f"{count} endpoints, one port each, answered by {server}; best of {rounds}, in turns")
    for label, seconds in best.items():
        print(f"{label:32} {seconds * 1000:6.0f} ms  {seconds / peer:5.2f} x")


def _ask(ports: range) -> None:
    http = HttpxHttp({str(port): f"http://127.0.0.1:{port}" for port in ports})
    answers = http.ask_all([(str(port), "/health") for port in ports], timeout=5.0)
    assert all(isinstance(each, Answer) and each.status == 200 for each in answers), "somebody did not answer"


def _alone(ports: range) -> None:
    command = [sys.executable, __file__, "--ask", str(ports.start), str(len(ports))]
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, env=variables, check=True)


def _curl(urls: Path, most: int, count: int) -> None:
    options = [
        "--no-progress-meter",
        "--parallel",
        "--parallel-max",
        str(most),
        "--write-out",
        "%{http_code}\n",
    ]
    done = subprocess.run(["curl", *options, "-K", str(urls)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["200"] * count, "somebody did not answer curl"


@contextmanager
def _server(count: int, folder: Path) -> Iterator[tuple[range, str]]:
    """A server on ``count`` ports in a row, below those that the system gives away, and what it is."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    for _ in range(20):
        first = random.randrange(10_000, 32_000 - count)
        ports = range(first, first + count)
        if program:
            settings = folder / "haproxy.cfg"
            settings.write_text(_HAPROXY.format(first=first, last=ports[-1], body=_BODY))
            command = [program, "-db", "-f", str(settings)]
        else:
            command = [sys.executable, __file__, "--serve", str(first), str(count)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if _up(process, ports):
                yield ports, "haproxy" if program else "a small server in Python"
                return
        finally:
            process.terminate()
            process.wait()
    raise SystemExit(f"no {count} ports in a row are free here")


def _up(process: subprocess.Popen[bytes], ports: range) -> bool:
    """Whether it listens on the last of its ports; not where it gave up because one of them was taken."""
    import socket

    until = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", ports[-1])) == 0:
                time.sleep(0.1)  # one that cannot have all of them ends now
                return process.poll() is None
        time.sleep(0.02)
    return False


class _Healthy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(_BODY)}\r\nConnection: close\r\n\r\n"
        self._transport.write((head + _BODY).encode())
        self._transport.close()


async def _serve(first: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(_Healthy, "127.0.0.1", port, backlog=16)
        for port in range(first, first + count)
    ]
    try:
        await asyncio.Event().wait()
    finally:
        for server in servers:
            server.close()


if __name__ == "__main__":
    main()
