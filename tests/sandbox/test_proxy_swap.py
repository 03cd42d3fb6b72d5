"""Instances of the gateway are swapped and restarted under load, and no request fails."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.sandbox_fixture import Sandbox, bring_up, take_down, until

pytestmark = pytest.mark.sandbox

CLIENTS = 8


@dataclass
class Load:
    """About a hundred requests a second through the proxy; writes among them. Nothing is ever sent twice."""

    url: str
    kept_alive: bool
    ok: int = 0
    posted: int = 0
    failures: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._client, args=(stop,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _client(self, stop: threading.Event) -> None:
        parts = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        with contextlib.closing(connection):
            while not stop.wait(0.07):
                number = next(self._numbers)
                try:
                    self._one(connection, number)
                except (OSError, http.client.HTTPException) as error:
                    with self._lock:
                        self.failures.append(f"{type(error).__name__}: {error}")
                    connection.close()
                if not self.kept_alive:
                    connection.close()

    def _one(self, connection: http.client.HTTPConnection, number: int) -> None:
        write = number % 3 == 0
        if write:
            body = json.dumps({"title": f"swap {id(self)} {number}", "message": "m", "recipient": "r@x.org"})
            connection.request(
                "POST", "/api/rag/query", body=body, headers={"Content-Type": "application/json"}
            )
        else:
            connection.request("GET", "/api/templates?limit=1")
        answer = connection.getresponse()
        answer.read()
        with self._lock:
            if answer.status >= 500:
                self.failures.append(f"{answer.status}")
            else:
                self.ok += 1
                self.posted += write


def more(load: Load, count: int = 60) -> None:
    """Wait until that many more requests were answered."""
    goal = load.ok + count
    until(lambda: load.ok >= goal or bool(load.failures), f"{count} requests", seconds=60)


def haproxy_states(sandbox: Sandbox) -> dict[str, str]:
    rows = [
        line.split(",")
        for line in sandbox.haproxy("show stat").splitlines()
        if line.startswith("gateway,gateway-")
    ]
    return {row[1]: row[17] for row in rows}


def haproxy_busy(sandbox: Sandbox, name: str) -> int:
    rows = [line.split(",") for line in sandbox.haproxy("show stat").splitlines()]
    return next(int(row[4]) for row in rows if row[:2] == ["gateway", name])


def test_haproxy_swaps_kept_alive_clients_without_a_failure(sandbox: Sandbox) -> None:
    until(lambda: set(haproxy_states(sandbox).values()) == {"UP"}, "both instances in rotation")
    with Load(sandbox.gateway_url, kept_alive=True).running() as load:
        for old, new in (("gateway-1", "gateway-2"), ("gateway-2", "gateway-1")) * 2:
            more(load)
            sandbox.haproxy(f"set server gateway/{new} state ready; set server gateway/{old} state drain")
            until(lambda old=old: haproxy_busy(sandbox, old) == 0, f"{old} to be idle")  # type: ignore[misc]
            sandbox.restart(old)
            more(load)
            sandbox.haproxy(f"set server gateway/{old} state ready; set server gateway/{old} health up")
            until(lambda: set(haproxy_states(sandbox).values()) == {"UP"}, "both to be back")
        more(load)
    assert load.failures == []
    assert load.posted > 50


def caddy_upstreams(sandbox: Sandbox, names: list[str]) -> None:
    """Give Caddy these upstreams, by its admin interface."""
    dials = [{"dial": sandbox.instances[name].removeprefix("http://")} for name in names]
    url = f"{sandbox.document['proxy']['admin']}/config/apps/http/servers/gateway/routes/0/handle/0/upstreams"
    request = urllib.request.Request(
        url, data=json.dumps(dials).encode(), method="PATCH", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def test_caddy_swaps_fresh_connections_without_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    try:
        sandbox = bring_up(folder, users=5, proxy="caddy")
        with Load(sandbox.gateway_url, kept_alive=False).running() as load:
            for old, new in (("gateway-1", "gateway-2"), ("gateway-2", "gateway-1")):
                more(load)
                caddy_upstreams(sandbox, [new])
                time.sleep(0.5)  # what was under way on the old one
                sandbox.restart(old)
                more(load)
                caddy_upstreams(sandbox, [old, new])
            # Not drained at all: whoever finds the instance away is sent to the other.
            sandbox.stop("gateway-2")
            more(load)
            sandbox.start("gateway-2")
        assert load.failures == []
        assert load.posted > 30
    finally:
        take_down(folder)
