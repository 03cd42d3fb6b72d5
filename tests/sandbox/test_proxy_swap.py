"""Instances of the gateway are swapped and restarted under load, and no request fails."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil
import pytest

from tests.sandbox_fixture import Sandbox, bring_up, get, take_down, until
from tracseq_migrate.adapters.caddy import CaddyProxy
from tracseq_migrate.adapters.haproxy import HaproxyProxy
from tracseq_migrate.sandbox.proxies import caddy

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


def test_writes_wait_for_a_swap_and_reads_do_not(sandbox: Sandbox) -> None:
    proxy = HaproxyProxy(sandbox.document["proxy"]["socket"], "gateway")
    until(lambda: proxy.in_rotation() == set(sandbox.instances), "both instances in rotation")
    assert proxy.holds
    proxy.switch(["gateway-1"])
    with Load(sandbox.gateway_url, kept_alive=True).running() as load:
        more(load)
        for to in ("gateway-2", "gateway-1"):
            proxy.hold(["/api/rag"], seconds=5)
            until(lambda: proxy.writes_in_flight(["/api/rag"]) == 0, "no write to be under way")
            posted, answered = load.posted, load.ok
            until(lambda answered=answered: load.ok > answered, "reads to go on")  # type: ignore[misc]
            time.sleep(0.3)
            # One that was answered just before may have been noted after.
            assert load.posted - posted <= CLIENTS
            assert proxy.writes_in_flight(["/api/rag"]) == 0
            proxy.switch([to])
            assert proxy.held() == {"/api/rag"}
            proxy.release()
            until(lambda posted=posted: load.posted > posted + CLIENTS, "writes to go on")  # type: ignore[misc]
            more(load)
    assert load.failures == []
    proxy.switch(list(sandbox.instances))


def caddy_rotation(sandbox: Sandbox, names: list[str]) -> None:
    """Give Caddy these instances, as an adapter does it: by the files that are its upstreams."""
    ports = sandbox.state.ports
    caddy.fill(sandbox.state.rotation, [ports[name] for name in names])


@pytest.mark.parametrize("kept_alive", [True, False])
def test_caddy_swaps_without_a_failure(kept_alive: bool, caddy_sandbox: Sandbox) -> None:
    sandbox = caddy_sandbox
    with Load(sandbox.gateway_url, kept_alive=kept_alive).running() as load:
        for old, new in (("gateway-1", "gateway-2"), ("gateway-2", "gateway-1")):
            more(load)
            caddy_rotation(sandbox, [new, new])
            time.sleep(0.5)  # what was under way on the old one
            before = served_by(sandbox, old)
            more(load)
            assert served_by(sandbox, old) == before
            sandbox.restart(old)
            more(load)
            caddy_rotation(sandbox, [old, new])
        # Stopped without being drained: a request that finds it away goes to the other.
        sandbox.stop("gateway-2")
        more(load)
        sandbox.start("gateway-2")
    assert load.failures == []
    assert load.posted > 30


def test_caddy_counts_what_is_under_way_on_each_instance(caddy_sandbox: Sandbox) -> None:
    sandbox = caddy_sandbox
    proxy = CaddyProxy(
        sandbox.document["proxy"]["admin"],
        {name: url.removeprefix("http://") for name, url in sandbox.instances.items()},
        server=caddy.SERVER,
    )
    proxy.switch(["gateway-1"])
    monolith = psutil.Process(sandbox.supervisor.processes()["monolith"].pid)
    with ThreadPoolExecutor() as clients:
        monolith.suspend()
        try:
            answers = [clients.submit(get, f"{sandbox.gateway_url}/api/templates") for _ in range(3)]
            until(lambda: proxy.in_flight("gateway-1") == 3, "three requests to be under way")
            proxy.switch(["gateway-2"])
            assert [proxy.in_flight(name) for name in sandbox.instances] == [3, 0]
        finally:
            monolith.resume()
        assert [answer.result()[0] for answer in answers] == [200, 200, 200]
    until(lambda: proxy.in_flight("gateway-1") == 0, "nothing to be under way any more")
    proxy.switch(list(sandbox.instances))
    assert proxy.in_rotation() == set(sandbox.instances)


def served_by(sandbox: Sandbox, name: str) -> float:
    """How many requests an instance passed on, by its own count."""
    lines = get(f"{sandbox.instances[name]}/metrics")[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("gateway_requests_total{"))


@pytest.fixture(scope="module")
def caddy_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("caddy") / "with {braces}"
    try:
        yield bring_up(folder, users=5, proxy="caddy")
    finally:
        take_down(folder)
