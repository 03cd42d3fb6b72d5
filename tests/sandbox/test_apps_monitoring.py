"""Health, counters, faults, a database that goes and comes, and a stop that loses nothing."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.sandbox.apps_world import App, Laboratory, ask, free_port, laboratory
from tracseq_migrate import __version__
from tracseq_migrate.sandbox.apps.faults import FaultFile, Orders
from tracseq_migrate.sandbox.apps.metrics import Metrics
from tracseq_migrate.sandbox.apps.service import SERVICES
from tracseq_migrate.sandbox.databases import DATABASES


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("monitoring"), apps=["monolith", "storage"]) as made:
        yield made


@pytest.fixture(params=["monolith", "storage"])
def app(request: pytest.FixtureRequest, lab: Laboratory) -> Iterator[App]:
    started = lab.start(request.param)
    yield started
    started.fault()


def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait until a question is answered with yes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_there_is_a_service_for_every_database_but_the_monoliths() -> None:
    assert set(SERVICES) == set(DATABASES) - {"main"}


@pytest.mark.parametrize("name", ["monolith", *sorted(SERVICES)])
def test_every_application_is_healthy_and_counts(lab: Laboratory, name: str) -> None:
    app = lab.start(name)
    health = app.health()
    assert health.status == 200
    assert health.json.items() >= {"status": "healthy", "service": name, "version": __version__}.items()
    assert abs(datetime.now(UTC) - datetime.fromisoformat(health.json["timestamp"])) < timedelta(minutes=1)
    samples = app.metrics()
    assert samples[f'tracseq_build_info{{service="{name}",version="{__version__}"}}'] == 1
    assert 0 < samples["process_start_time_seconds"] <= time.time()
    if name not in ("monolith", "storage"):
        assert app.stop() == 0


def test_both_sides_count_by_the_public_prefix(lab: Laboratory) -> None:
    for name in ("monolith", "storage"):
        app = lab.start(name)
        ok = 'http_requests_total{prefix="/api/storage",method="GET",status="200"}'
        gone = 'http_requests_total{prefix="/api/storage",method="GET",status="404"}'
        refused = 'http_requests_total{prefix="/api/storage",method="POST",status="422"}'
        wrong = 'http_requests_total{prefix="/api/storage",method="PUT",status="405"}'
        before = app.metrics()
        app.ask("GET", "storage/locations")
        app.ask("GET", "storage/locations/0")
        app.ask("GET", "storage")
        app.ask("POST", "storage/locations", {})
        app.ask("PUT", "storage/locations")
        after = app.metrics()
        grown = {key: after[key] - before.get(key, 0) for key in (ok, gone, refused, wrong)}
        assert grown == {ok: 1, gone: 2, refused: 1, wrong: 1}
        count = 'http_request_duration_seconds_count{prefix="/api/storage"}'
        assert after[count] - before.get(count, 0) == 5
        assert after['http_request_duration_seconds_bucket{prefix="/api/storage",le="+Inf"}'] == after[count]


def test_health_and_metrics_do_not_count_themselves(app: App) -> None:
    def total() -> float:
        return sum(value for key, value in app.metrics().items() if key.startswith("http_requests_total"))

    before = total()
    for _ in range(3):
        app.health()
    assert total() == before
    assert app.metrics()["http_requests_in_flight"] == 0


@pytest.mark.parametrize(
    ("path", "monolith", "service"),
    [
        ("/api/storage/locations", "/api/storage", "other"),
        ("/api/storageX", "/api/storageX", "other"),
        ("/api/storage", "/api/storage", "other"),
        ("/storage/locations", "other", "/api/storage"),
        ("/storageX/1", "other", "/api/storageX"),
        ("/auth/login", "other", "/api/auth"),
        ("/api//storage", "other", "other"),
        ("/API/storage", "other", "/api/API"),
        ("/api", "other", "other"),
        ("/api/", "other", "other"),
        ("/", "other", "other"),
        ("//", "other", "other"),
        ("", "other", "other"),
        ("/" + "x" * 100, "other", "/api/" + "x" * 60),
    ],
)
def test_the_prefix_of_a_path(path: str, monolith: str, service: str) -> None:
    assert Metrics("m", "1", strips_api=False).prefix(path) == monolith
    assert Metrics("s", "1", strips_api=True).prefix(path) == service


def test_made_up_prefixes_do_not_fill_the_memory() -> None:
    metrics = Metrics("m", "1", strips_api=False)
    for number in range(1000):
        metrics.count(f"/api/made-up-{number}", "GET", 404, 0.001)
    text = metrics.text()
    assert text.count("http_requests_total{") <= 101
    assert 'http_requests_total{prefix="other",method="GET",status="404"} 900' in text


def test_labels_are_escaped() -> None:
    metrics = Metrics('s"\\', "1", strips_api=False)
    metrics.count('/api/a"b\\c\nd', "GET", 404, 0.1)
    assert r'{prefix="/api/a\"b\\c\nd",method="GET",status="404"} 1' in metrics.text()
    assert r'service="s\"\\"' in metrics.text()


def test_an_answer_tells_an_attentive_reader_who_gave_it(lab: Laboratory) -> None:
    """Same statuses, same kinds of bodies, and not the same bodies."""
    monolith, storage = lab.start("monolith"), lab.start("storage")
    for path in ("storage/nothing", "storage/locations/0", "storage/locations", "storage/locations?limit=0"):
        old, new = monolith.ask("GET", path), storage.ask("GET", path)
        assert old.status == new.status
        assert old.json != new.json
        names = [
            {name for name in answer.headers if name not in ("Date", "Content-Length")}
            for answer in (old, new)
        ]
        assert names[0] == names[1]
        assert old.headers["Content-Type"] == new.headers["Content-Type"] == "application/json"
    assert set(monolith.ask("GET", "storage/nothing").json) == {"error", "message"}
    assert set(storage.ask("GET", "storage/nothing").json) == {"detail", "code"}
    # A service knows nothing of the public prefix, nor the monolith of paths without it.
    assert ask(storage.port, "GET", "/api/storage/locations").status == 404
    assert ask(monolith.port, "GET", "/storage/locations").status == 404
    assert ask(monolith.port, "GET", "/API/storage/locations").status == 404
    assert ask(monolith.port, "GET", "/api//storage/locations").status == 404


def test_errors_on_order(app: App) -> None:
    app.fault(status=500)
    for method, path in (("GET", "storage/locations"), ("POST", "storage/locations"), ("GET", "nothing")):
        assert app.ask(method, path, {} if method == "POST" else None).status == 500
    assert app.health().status == 200
    counted = 'http_requests_total{prefix="/api/storage",method="GET",status="500"}'
    assert app.metrics()[counted] >= 1
    app.fault(status=503, health=False)
    assert app.ask("GET", "storage/locations").status == 503
    assert (app.health().status, app.health().json["status"]) == (503, "unhealthy")
    app.fault(health=False)
    assert app.ask("GET", "storage/locations").status == 200
    assert app.health().status == 503
    app.fault()
    assert (app.ask("GET", "storage/locations").status, app.health().status) == (200, 200)


def test_slow_on_order(app: App) -> None:
    app.fault(delay=0.3)
    began = time.monotonic()
    assert app.ask("GET", "storage/locations").status == 200
    assert app.health().status == 200
    assert time.monotonic() - began >= 0.6


def test_a_fault_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "fault.json"
    faults = FaultFile(path)
    assert faults.orders() == Orders()
    path.write_text('{"status": 500, "health": false}')
    assert faults.orders() == Orders(status=500, health=False)
    path.write_text('{"delay": 1.5}')
    assert faults.orders() == Orders(delay=1.5)
    for nothing in ("", "{", "[]", "null", '{"status": "x"}', '{"delay": {}}', "\xff"):
        path.write_text(nothing)
        assert faults.orders() == Orders()
    path.write_text('{"delay": -1}')
    assert faults.orders() == Orders()
    path.unlink()
    assert faults.orders() == Orders()
    assert FaultFile(None).orders() == Orders()


def test_a_database_that_goes_and_comes(lab: Laboratory, app: App) -> None:
    body = {"name": "Before", "temperature_zone": "RT"}
    created = app.ask("POST", "storage/locations", body)
    assert created.status == 201
    one = f"storage/locations/{created.json['id']}"
    lab.stop_postgres()
    try:
        assert app.ask("GET", one).status == 503
        assert app.ask("GET", one).json
        assert app.ask("DELETE", one).status == 503
        health = app.health()
        assert health.status == 503
        assert health.json["status"] == "unhealthy"
        assert health.json["reason"]
        # What needs no database is answered all the same.
        assert app.ask("GET", "storage/nothing").status == 404
    finally:
        lab.start_postgres()
    # The very first request after its return is served: nothing has to notice first.
    assert app.ask("GET", one).json == created.json
    assert app.health().status == 200
    assert app.ask("DELETE", one).status == 204


def test_a_database_that_hangs(lab: Laboratory, app: App) -> None:
    """Health says so while requests still wait, and everything goes on when it goes on."""
    assert app.ask("GET", "storage/locations").status == 200
    with ThreadPoolExecutor(1) as pool:
        with lab.hanging():
            waiting = pool.submit(app.ask, "GET", "storage/locations")
            until(lambda: app.metrics()["http_requests_in_flight"] == 1)
            assert [app.health().status for _ in range(2)] == [503, 503]
            assert not waiting.done()
        assert waiting.result().status == 200
    assert app.health().status == 200


def test_kept_connections_that_the_server_ended_are_not_used(lab: Laboratory, app: App) -> None:
    database = "main" if app.name == "monolith" else app.name
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda _: app.ask("GET", "storage/locations"), range(24))
        assert {answer.status for answer in answers} == {200}
    for _ in range(3):
        assert lab.sql(database, f"SELECT count(pg_terminate_backend(pid)) > 0 {others}") == [(True,)]
        until(lambda: lab.sql(database, f"SELECT count(*) {others}") == [(0,)])
        assert [app.ask("GET", "storage/locations").status for _ in range(3)] == [200] * 3


def test_rights_that_were_taken_away_are_no_value_error(lab: Laboratory, app: App) -> None:
    """A way to refuse writes for a while: clients are told to come back, and reading goes on."""
    database = "main" if app.name == "monolith" else app.name
    owner = DATABASES[database]
    lab.sql(database, f"REVOKE INSERT ON storage_locations FROM {owner}")
    try:
        body = {"name": "Fenced", "temperature_zone": "RT"}
        fenced = app.ask("POST", "storage/locations", body)
        assert (fenced.status, fenced.headers["Retry-After"]) == (503, "1")
        assert app.ask("GET", "storage/locations").status == 200
    finally:
        lab.sql(database, f"GRANT INSERT ON storage_locations TO {owner}")
    created = app.ask("POST", "storage/locations", body)
    assert created.status == 201
    assert app.ask("DELETE", f"storage/locations/{created.json['id']}").status == 204


def test_tables_may_change_under_an_application(lab: Laboratory, app: App) -> None:
    database = "main" if app.name == "monolith" else app.name
    for _ in range(8):
        assert app.ask("GET", "storage/locations").status == 200
    lab.sql(
        database, "ALTER TABLE storage_locations ADD COLUMN added text, ALTER COLUMN name TYPE varchar(300)"
    )
    try:
        assert app.ask("GET", "storage/locations").status == 200
    finally:
        lab.sql(
            database, "ALTER TABLE storage_locations DROP COLUMN added, ALTER COLUMN name TYPE varchar(255)"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_under_way(lab: Laboratory, app: App, number: int) -> None:
    database = "main" if app.name == "monolith" else app.name
    app.fault(delay=1.0)
    with ThreadPoolExecutor(4) as pool:
        writes = [
            pool.submit(
                app.ask, "POST", "storage/locations", {"name": f"Late {index}", "temperature_zone": "RT"}
            )
            for index in range(4)
        ]
        until(lambda: app.metrics()["http_requests_in_flight"] == 4)
        app.process.send_signal(number)

        def refused() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", app.port), timeout=1):
                    return False
            except ConnectionRefusedError:
                return True

        until(refused)
        assert not all(write.done() for write in writes), "it stopped listening before it was done"
        assert [write.result().status for write in writes] == [201] * 4
    assert app.process.wait(40) == 0
    assert (
        lab.sql(database, "DELETE FROM storage_locations WHERE name LIKE 'Late %%' RETURNING 1") == [(1,)] * 4
    )


def test_a_kept_connection_does_not_hold_up_a_stop(app: App) -> None:
    with socket.create_connection(("127.0.0.1", app.port)) as kept:
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200")
        assert app.stop() == 0
        assert kept.recv(1) == b""


def test_what_was_acknowledged_outlives_a_kill(lab: Laboratory, app: App) -> None:
    database = "main" if app.name == "monolith" else app.name
    acknowledged: list[str] = []
    stop = threading.Event()

    def write(worker: int) -> None:
        number = 0
        while not stop.is_set():
            name = f"Kill {worker}-{number}"
            number += 1
            try:
                answer = app.ask("POST", "storage/locations", {"name": name, "temperature_zone": "RT"})
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 201:
                acknowledged.append(name)

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(write, worker) for worker in range(4)]
        until(lambda: len(acknowledged) > 40)
        app.process.kill()
        app.process.wait()
        stop.set()
        for worker in workers:
            worker.result()
    there = {
        name
        for (name,) in lab.sql(
            database, "DELETE FROM storage_locations WHERE name LIKE 'Kill %%' RETURNING name"
        )
    }
    assert set(acknowledged) <= there


def test_a_port_that_is_taken(lab: Laboratory, app: App) -> None:
    module = "monolith" if app.name == "monolith" else "service"
    names = [] if app.name == "monolith" else [app.name]
    command = [sys.executable, "-m", f"tracseq_migrate.sandbox.apps.{module}", *names]
    command += ["--port", str(app.port), "--dsn-file", str(lab.folder / f"{app.name}.dsn")]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert "cannot listen" in second.stderr
    assert str(app.port) in second.stderr
    assert app.health().status == 200


def test_it_listens_on_loopback_only(app: App) -> None:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {
        row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == app.port
    }
    assert listening == {"0100007F"}


def test_it_starts_while_the_database_is_down(lab: Laboratory, tmp_path: Path) -> None:
    dsn_file = tmp_path / "late.dsn"
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tracseq_migrate.sandbox.apps.monolith",
        "--port",
        str(port),
        "--dsn-file",
        str(dsn_file),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
        )
    try:

        def health() -> int:
            try:
                return ask(port, "GET", "/health").status
            except OSError:
                return 0

        until(lambda: health() == 503)
        assert ask(port, "GET", "/api/samples").status == 503
        dsn_file.write_text(lab.dsns["main"])
        until(lambda: health() == 200)
        assert ask(port, "GET", "/api/samples").status == 200
    finally:
        process.terminate()
        assert process.wait(40) == 0


def test_an_unknown_service_is_a_usage_error() -> None:
    command = [
        sys.executable,
        "-m",
        "tracseq_migrate.sandbox.apps.service",
        "nothing",
        "--port",
        "1",
        "--dsn-file",
        "x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "nothing" in done.stderr
