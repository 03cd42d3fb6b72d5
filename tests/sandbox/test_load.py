"""The load generator against real applications and a real PostgreSQL: what is done to an acknowledged write, it sees."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.load_world import SERVICES, World, free_port, world
from tracseq_migrate.errors import CouldNotReach, Exit, UsageError
from tracseq_migrate.sandbox.load.command import Load, run_load
from tracseq_migrate.sandbox.load.connection import Kind
from tracseq_migrate.sandbox.load.ledger import Row
from tracseq_migrate.sandbox.load.lookup import Finding, Found
from tracseq_migrate.sandbox.load.resources import RESOURCES

WRITES = "reads=1," + ",".join(f"{name}=1" for name in RESOURCES)
TABLES = {
    "users": ("users", "email", "users", "email"),
    "samples": ("samples", "barcode", "samples", "barcode"),
    "templates": ("templates", "name", "templates", "name"),
    "locations": ("storage_locations", "name", "storage_locations", "name"),
    "movements": (
        "storage_movement_history",
        "notes",
        "storage_movement_history",
        "movement_metadata->>'reference'",
    ),
    "jobs": ("sequencing_jobs", "name", "sequencing_jobs", "job_name"),
    "notifications": ("notifications", "title", "notifications", "subject"),
    "spreadsheets": ("spreadsheet_datasets", "filename", "spreadsheet_versions", "filename"),
}
"""Of each resource: table and column of the business key, old and new."""

TAMPERED = {
    "users": ("last_name = 'X'", "last_name = 'X'"),
    "samples": ("metadata = '{}'", "metadata = '{}'"),
    "templates": ("description = NULL", "description = NULL"),
    "locations": ("current_usage = 0, capacity = 7", "zone_type = 'incubator', capacity = capacity + 1"),
    "movements": ("moved_at = moved_at + interval '1 second'", "to_location_id = from_location_id"),
    "jobs": ("status = 'pending'", "status = 'draft'"),
    "notifications": ("message = message || '!'", "recipient_address = 'X'"),
    "spreadsheets": ("file_size = file_size + 1", "file_size_bytes = file_size_bytes + 1"),
}
"""A change of one value that only who looks at that field can see, old and new."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("load")) as made:
        yield made


@pytest.fixture
def old(system: World) -> World:
    """The monolith owns everything."""
    if system.routed:
        system.route({})
    return system


@pytest.fixture
def new(system: World) -> World:
    """The services own everything."""
    everything = dict.fromkeys(SERVICES, True)
    if system.routed != everything:
        system.route(everything)
    return system


def made(
    system: World,
    *,
    mix: str = WRITES,
    rate: float = 150,
    until: Callable[[], bool] | None = None,
    **options: Any,
) -> Load:
    """A load that was driven and not yet looked up: until something, or until it has made enough to choose from."""
    load = Load(system.document, rate=rate, seconds=60, mix=mix, seed=1, **options)

    async def drive() -> None:
        driving = asyncio.create_task(load.drive())
        while not driving.done() and not (until() if until else enough(load, mix)):
            await asyncio.sleep(0.02)
        load.clients.stop()
        await driving

    asyncio.run(drive())
    return load


def enough(load: Load, mix: str) -> bool:
    """Whether each resource of the mix has some rows, one of them changed and one deleted where it has such."""
    for resource in RESOURCES.values():
        made_of_it = [row for row in load.ledger.rows(resource.name) if row.acknowledged]
        there = [row for row in made_of_it if row.sure]
        if resource.name in mix and len(there) < 6:
            return False
        if resource.name in mix and resource.change is not None:
            changed = any(row.acknowledged > 1 for row in there)
            if not changed or len(made_of_it) == len(there):
                return False
    return True


def looked_up(load: Load) -> dict[str, Any]:
    asyncio.run(load.verify())
    return load.report.document()


def rows(load: Load, resource: str, *, alive: bool = True) -> list[Row]:
    found = [row for row in load.ledger.rows(resource) if not row.unknown and (row.sure is not None) is alive]
    assert found, f"the load made no such row of {resource}"
    return found


def free_row(load: Load, resource: str) -> Row:
    """One that no foreign key holds."""
    named = {row.sure["to_location"] for row in load.ledger.rows("movements") if row.sure}
    return next(row for row in rows(load, resource) if row.key not in named)


def where(resource: str, *, service: bool) -> tuple[str, str, str]:
    """Database, table, key column."""
    table = TABLES[resource]
    return (RESOURCES[resource].database, *table[2:]) if service else ("main", *table[:2])


def findings(load: Load) -> dict[str, list[Found]]:
    by: dict[str, list[Found]] = {}
    for found in load.report.result.found:
        by.setdefault(found.finding, []).append(found)
    return by


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_load_on_a_system_that_keeps_its_word(side: str, request: pytest.FixtureRequest) -> None:
    load = made(request.getfixturevalue(side))
    document = looked_up(load)
    assert document["failures"]["samples"] == []
    assert document["findings"] == []
    assert document["exit"] == Exit.DONE
    assert document["requests"] == document["reads"] + document["writes"]
    assert document["acknowledged"] == document["writes"] > 0
    assert document["rows"] == document["verified"]["both"] == document["verified"]["gateway"]
    assert {row.resource for row in load.ledger.rows()} == set(RESOURCES)
    assert any(row.sure is None for row in load.ledger.rows()), "some were deleted"
    assert any(row.acknowledged > 1 and row.sure for row in load.ledger.rows()), "some were changed"
    owner = document["owners"]["/api/storage"]
    assert owner == ("storage" if side == "new" else "main")
    assert document["latency"]["writes"]["count"] == document["writes"]


@pytest.mark.parametrize("service", [False, True], ids=["old", "new"])
def test_one_write_that_vanishes_in_each_table(service: bool, request: pytest.FixtureRequest) -> None:
    system: World = request.getfixturevalue("new" if service else "old")
    load = made(system)
    vanished = set()
    for resource in RESOURCES:
        database, table, key = where(resource, service=service)
        row = free_row(load, resource)
        gone = system.sql(database, f"DELETE FROM {table} WHERE {key} = %s RETURNING 1", row.key)
        assert len(gone) == 1
        vanished.add((resource, row.key))
    document = looked_up(load)
    assert document["lost"] == len(vanished)
    assert {(found.row.resource, found.row.key) for found in findings(load)["lost"]} == vanished
    assert (document["wrong"], document["doubled"], document["on_the_other_side"]) == (0, 0, 0)
    assert document["exit"] == Exit.DIFFERENT
    sample = document["findings"][0]
    assert sample["found"] == {"owner": [], "other side": [], "gateway": []}
    assert sample["expected"]
    assert sample["acknowledged_at"].endswith("Z")
    text = load.report.text()
    assert f"lost: {sample['resource']} '{sample['key']}', on neither side" in text
    assert "3 more; `--json` has up to 20." in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("service", [False, True], ids=["old", "new"])
def test_one_value_that_changes_in_each_table(service: bool, request: pytest.FixtureRequest) -> None:
    system: World = request.getfixturevalue("new" if service else "old")
    load = made(system)
    changed = set()
    for resource in RESOURCES:
        database, table, key = where(resource, service=service)
        row = rows(load, resource)[-1]
        change = TAMPERED[resource][service]
        if resource == "movements" and service:
            other = system.sql(
                database, "SELECT id FROM storage_locations WHERE name NOT LIKE 'load-%%' LIMIT 1"
            )
            change = f"to_location_id = '{other[0][0]}'" if other else "reason = 'X'"
        touched = system.sql(database, f"UPDATE {table} SET {change} WHERE {key} = %s RETURNING 1", row.key)
        assert len(touched) == 1
        changed.add((resource, row.key))
    document = looked_up(load)
    assert {(found.row.resource, found.row.key) for found in findings(load)["wrong"]} == changed
    assert (document["wrong"], document["lost"], document["doubled"]) == (len(changed), 0, 0)
    assert document["exit"] == Exit.DIFFERENT


def test_a_write_that_vanishes_while_the_load_runs(old: World, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    gone: list[str] = []

    def thief() -> None:
        deadline = time.monotonic() + 30
        while not gone and time.monotonic() < deadline:
            lines = ledger.read_text().splitlines() if ledger.exists() else []
            keys = [json.loads(line)["key"] for line in lines if '"movements"' in line]
            if keys:
                old.sql("main", "DELETE FROM storage_movement_history WHERE notes = %s", keys[0])
                gone.append(keys[0])
            time.sleep(0.05)

    thread = threading.Thread(target=thief)
    thread.start()
    written: list[str] = []
    code = run_load(
        old.document,
        rate=80,
        seconds=2,
        mix="reads=1,movements=1",
        ledger=ledger,
        json_output=True,
        write=written.append,
    )
    thread.join()
    assert code == Exit.DIFFERENT
    (document,) = map(json.loads, written)
    assert (document["lost"], document["wrong"], document["doubled"]) == (1, 0, 0)
    assert [found["key"] for found in document["findings"]] == gone


def test_a_deleted_row_that_is_there_again(old: World) -> None:
    load = made(old)
    row = rows(load, "jobs", alive=False)[0]
    old.sql("main", "INSERT INTO sequencing_jobs (name, sample_sheet_path) VALUES (%s, '')", row.key)
    document = looked_up(load)
    (found,) = findings(load)["wrong"]
    assert (found.row, found.why) == (row, "deleted, and there again")
    assert document["exit"] == Exit.DIFFERENT


@pytest.mark.parametrize(
    ("resource", "statement"),
    [
        ("jobs", "INSERT INTO sequencing_jobs (name, status, sample_sheet_path)"
                 " SELECT name, status, sample_sheet_path FROM sequencing_jobs WHERE name = %s"),
        ("notifications", "INSERT INTO notifications (title, message, channel, recipient, priority)"
                          " SELECT title, message, channel, recipient, priority FROM notifications WHERE title = %s"),
    ],
    ids=["jobs", "notifications"],
)  # fmt: skip
def test_a_row_that_is_there_twice(old: World, resource: str, statement: str) -> None:
    load = made(old)
    row = rows(load, resource)[0]
    old.sql("main", statement, row.key)
    document = looked_up(load)
    assert (document["doubled"], document["lost"], document["wrong"]) == (1, 0, 0)
    assert document["findings"][0]["key"] == row.key
    assert len(document["findings"][0]["found"]["owner"]) == 2
    assert document["exit"] == Exit.DIFFERENT


def test_a_row_moved_to_the_side_that_does_not_own_it(old: World) -> None:
    load = made(old)
    row = rows(load, "templates")[0]
    value = row.sure
    assert value is not None
    old.sql(
        "templates",
        "INSERT INTO templates (name, description, metadata, category, template_data) VALUES (%s, %s, %s, 'c', '{}')",
        row.key,
        value["description"],
        json.dumps(value["metadata"]),
    )
    old.sql("main", "DELETE FROM templates WHERE name = %s", row.key)
    document = looked_up(load)
    assert (document["on_the_other_side"], document["lost"], document["wrong"]) == (1, 0, 0)
    assert document["exit"] == Exit.DONE, "stranded is told apart from lost"
    old.sql("templates", "UPDATE templates SET description = 'torn' WHERE name = %s", row.key)
    again = made(old, mix="reads=1")
    again.ledger.acknowledge(again.ledger.new("templates", row.key), value)
    document = looked_up(again)
    assert (document["wrong"], document["on_the_other_side"]) == (1, 0), "the other side must have it whole"


def test_a_flip_that_moves_no_data_strands_what_was_written(old: World) -> None:
    load = made(old, mix="reads=1,templates=1,samples=1")
    old.route({"templates": True})
    document = looked_up(load)
    alive = len(rows(load, "templates"))
    assert (document["on_the_other_side"], document["lost"], document["wrong"]) == (alive, 0, 0)
    assert document["owners"]["/api/templates"] == "templates"
    assert document["exit"] == Exit.DONE
    old.route({})
    load.report.result = type(load.report.result)()
    document = looked_up(load)
    assert (document["on_the_other_side"], document["verified"]["both"]) == (0, document["rows"])


def test_flips_under_load(old: World) -> None:
    """Restarts of the only gateway refuse requests; they lose nothing, and what is stranded is told apart."""
    flips = [{"templates": True, "storage": True}, {}, {"templates": True}]

    def flip() -> None:
        for services in flips:
            time.sleep(1.5)
            old.route(services)
        time.sleep(1.5)

    thread = threading.Thread(target=flip)
    thread.start()
    load = made(old, rate=100, until=lambda: not thread.is_alive())
    thread.join()
    document = looked_up(load)
    assert (document["lost"], document["wrong"], document["doubled"], document["unverified"]) == (0, 0, 0, 0)
    assert document["on_the_other_side"] > 0
    assert document["not_found"]["writes"] > 0
    assert document["not_found"]["reads"] > 0
    assert document["failures"]["by_kind"]["refused"] > 0
    assert document["failures"]["by_kind"]["wrong-answer"] == 0, document["failures"]["samples"]
    assert document["exit"] == Exit.DONE


def test_a_write_of_unknown_fate_may_be_there_or_not_but_not_half(old: World) -> None:
    load = made(old, mix="reads=1,samples=1")
    done, not_done, torn = rows(load, "samples")[:3]
    load.clients.tally.failures[Kind.RESET_REUSED] += 2
    for row in (done, not_done, torn):
        value = {**(row.sure or {}), "name": "new name", "location": "new location"}
        load.ledger.doubt(row, value, Kind.RESET_REUSED if row is not torn else Kind.TIMEOUT)
    update = "UPDATE samples SET {} WHERE barcode = %s"
    old.sql("main", update.format("name = 'new name', location = 'new location'"), done.key)
    old.sql("main", update.format("name = 'new name'"), torn.key)
    never, came = load.ledger.new("jobs", "job that never came"), load.ledger.new("jobs", "job that came")
    for row in (never, came):
        load.ledger.doubt(row, {"name": row.key, "status": "completed"})
    old.sql(
        "main",
        "INSERT INTO sequencing_jobs (name, status, sample_sheet_path) VALUES (%s, 'completed', '')",
        came.key,
    )
    document = looked_up(load)
    (found,) = findings(load)["wrong"]
    assert found.row is torn
    assert (document["lost"], document["unknown"], document["unverified"]) == (0, 5, 0)
    assert document["unknown_done"] == 2
    assert document["findings"][0]["expected"].keys() == {"one of"}
    failures = document["failures"]
    assert (failures["reused_done"], failures["before_any_process_began"]) == (1, 1), (
        "one had begun, as it is done"
    )


def test_a_password_that_no_longer_fits(old: World) -> None:
    load = made(old, mix="reads=1,users=2")
    one, other = rows(load, "users")[:2]
    old.sql(
        "main",
        "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE email = %s) WHERE email = %s",
        other.key,
        one.key,
    )
    looked_up(load)
    (found,) = findings(load)["wrong"]
    assert (found.row, found.why) == (one, "the gateway shows another value")
    assert f"  {'gateway':<13}password='not the one that was set'" in load.report.text()


def test_a_row_that_the_database_has_and_the_gateway_hides(new: World) -> None:
    load = made(new, mix="reads=1,templates=1")
    row = rows(load, "templates")[0]
    new.sql("templates", "UPDATE templates SET status = 'draft' WHERE name = %s", row.key)
    document = looked_up(load)
    (found,) = findings(load)["wrong"]
    assert (found.row, found.why) == (row, "the database has it, the gateway does not show it")
    assert (
        f"  {'owner':<13}as expected\n  {'other side':<13}nothing\n  {'gateway':<13}nothing"
        in load.report.text()
    )
    assert document["verified"]["sql"] == document["verified"]["gateway"] + 1 == document["rows"]


def test_instances_that_disagree_make_no_statement(old: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracseq_migrate.sandbox.load.command._OWNERSHIP", 1.0)
    old.route({"samples": True}, gateway="gateway-2")
    document = old.document
    second = f"http://127.0.0.1:{old.ports['gateway-2']}"
    document["gateway"]["instances"].append({"name": "gateway-2", "url": second})
    try:
        load = Load(document, rate=60, seconds=1, mix="reads=1,samples=1,jobs=1", seed=1)
        asyncio.run(load.drive())
        report = looked_up(load)
    finally:
        old.stop("gateway-2")
    unverified = [found.row.resource for found in findings(load)["unverified"]]
    assert set(unverified) == {"samples"}
    assert len(unverified) == report["unverified"] == len(list(load.ledger.rows("samples")))
    assert report["owners"]["/api/samples"] is None
    assert report["exit"] == Exit.ERROR, "what could not be asked is not a pass"


def test_a_database_that_cannot_be_asked_makes_no_statement(old: World) -> None:
    document = old.document
    document["databases"]["main"] = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    load = Load(document, rate=60, seconds=1, mix="reads=1,jobs=1", seed=1)
    asyncio.run(load.drive())
    report = looked_up(load)
    assert report["unverified"] == report["rows"] > 0
    assert report["verified"]["both"] == 0
    assert report["exit"] == Exit.ERROR
    assert "not verified" in load.report.text()


def test_no_gateway_at_all(old: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracseq_migrate.sandbox.load.command._OWNERSHIP", 0.5)
    document = old.document
    document["gateway"] = {"url": f"http://127.0.0.1:{free_port()}", "instances": []}
    with pytest.raises(CouldNotReach, match="the gateway does not answer"):
        asyncio.run(Load(document, rate=10, seconds=1).drive())
    load = made(old, mix="reads=1,jobs=1")
    old.stop("gateway")
    report = looked_up(load)
    old.route({})
    assert report["trouble"].startswith("no telling who owns what")
    assert (report["unverified"], report["exit"]) == (report["rows"], Exit.ERROR)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0, "seconds": 1}, "the rate of a load must be more than 0, not 0"),
        ({"rate": 1, "seconds": -1}, "the time of a load must be more than 0, not -1"),
        ({"rate": 1, "seconds": float("nan")}, "the time of a load must be more than 0, not nan"),
        ({"rate": 1, "seconds": 1, "clients": 0}, "the clients of a load must be more than 0, not 0"),
        ({"rate": 1, "seconds": 1, "mix": "sample=1"}, "--mix sample=1: 'sample' is not one of reads"),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Load({"gateway": {"url": "http://127.0.0.1:1"}, "databases": {}}, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_load_and_not_the_look_up(
    old: World, number: signal.Signals, tmp_path: Path
) -> None:
    code, document = _interrupted(old, tmp_path, lambda process: process.send_signal(number))
    assert code == 128 + number
    assert document["signal"] == number
    assert document["verified"]["both"] == document["rows"] > 0
    assert document["unverified"] == 0


def test_a_signal_does_not_hide_a_loss(old: World, tmp_path: Path) -> None:
    def steal_and_stop(process: subprocess.Popen[str]) -> None:
        old.sql("main", "DELETE FROM storage_movement_history WHERE notes LIKE 'load-%%'")
        process.send_signal(signal.SIGINT)

    code, document = _interrupted(old, tmp_path, steal_and_stop)
    assert code == Exit.DIFFERENT
    assert document["lost"] > 0
    assert document["signal"] == signal.SIGINT


def test_a_second_signal_ends_it_at_once(old: World, tmp_path: Path) -> None:
    gateway = old.processes["gateway"]

    def stop_twice(process: subprocess.Popen[str]) -> None:
        gateway.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)

    try:
        code, document = _interrupted(old, tmp_path, stop_twice)
    finally:
        gateway.send_signal(signal.SIGCONT)
    assert code == 128 + signal.SIGTERM
    assert document["trouble"] == "interrupted before everything was looked up"
    assert document["unverified"] == document["rows"] > 0
    assert document["given_up"] > 0


def _interrupted(
    system: World, folder: Path, act: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, dict[str, Any]]:
    """A load in a process of its own, acted upon when it has written something; its exit code and its report."""
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from tracseq_migrate.sandbox.load.command import run_load\n"
        "sys.exit(run_load(json.load(sys.stdin), rate=50, seconds=600, mix='reads=1,movements=1',\n"
        "                  ledger=Path(sys.argv[1]), json_output=True, write=print))\n"
    )
    ledger = folder / "ledger.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(ledger)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(system.document))
        process.stdin.close()
        process.stdin = None
        deadline = time.monotonic() + 60
        while not ledger.exists() or ledger.read_text().count("movements") < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        act(process)
        out, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, json.loads(out)


def test_a_request_that_is_not_answered_in_time(old: World) -> None:
    """The gateway stands still for a while: clients give up, fates are unknown, and no acknowledged write is touched."""
    gateway = old.processes["gateway"]

    def stand_still() -> None:
        time.sleep(1)
        gateway.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        gateway.send_signal(signal.SIGCONT)
        time.sleep(1)

    thread = threading.Thread(target=stand_still)
    thread.start()
    load = made(old, rate=50, timeout=0.4, mix="reads=1,samples=2", until=lambda: not thread.is_alive())
    thread.join()
    document = looked_up(load)
    assert document["failures"]["by_kind"][Kind.TIMEOUT] > 0
    assert document["unknown"] > 0
    assert (document["lost"], document["wrong"], document["doubled"], document["unverified"]) == (0, 0, 0, 0)
    assert document["unavailable"]["/api/samples"] > 0
    assert document["exit"] == Exit.DONE


def test_every_finding_has_its_place_in_the_text(old: World) -> None:
    load = made(old, mix="reads=1,jobs=1")
    looked_up(load)
    text = load.report.text()
    assert text.startswith(f"load on {old.gateway}: 16 clients, seed 1, 60 s\n")
    for word in (
        "requests",
        "rate",
        "failures",
        "reads, p50",
        "writes, p50",
        "no success for",
        "acknowledged",
        "verified",
    ):
        assert f"\n{word}" in f"\n{text}"
    for finding in (Finding.LOST, Finding.WRONG, Finding.DOUBLED):
        assert f"\n{finding}" in text
    assert max(map(len, text.splitlines())) <= 110
