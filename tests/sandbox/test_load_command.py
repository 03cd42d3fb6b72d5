"""``sandbox load`` as a user types it, against a sandbox, while things are done to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.sandbox_fixture import Sandbox, until
from tracseq_migrate.errors import Exit

pytestmark = pytest.mark.sandbox


def load(
    sandbox: Sandbox, *options: str, meanwhile: Callable[[], None] = lambda: None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, and something beside it."""
    thread = threading.Thread(target=meanwhile)
    command = [
        sys.executable,
        "-m",
        "tracseq_migrate",
        "sandbox",
        "load",
        "--dir",
        str(sandbox.folder),
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    thread.start()
    try:
        out, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        thread.join()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_json_is_one_document_and_progress_is_elsewhere(sandbox: Sandbox) -> None:
    done = load(sandbox, "--rate", "60", "--for", "6s", "--seed", "7", "--clients", "5", "--json")
    report = document(done)
    assert done.returncode == Exit.DONE == report["exit"], done.stderr
    assert (report["type"], report["format"]) == ("load", "1.0")
    assert report["asked"] == {"rate": 60.0, "seconds": 6.0, "mix": None, "clients": 5, "seed": 7}
    assert report["failures"]["total"] == 0, report["failures"]["samples"]
    assert (report["lost"], report["wrong"], report["doubled"], report["on_the_other_side"]) == (0, 0, 0, 0)
    assert report["verified"]["both"] == report["rows"] > 0
    assert set(report["owners"].values()) == {"main"}
    assert report["connections"]["opened"] == 5, "one connection a client, kept alive"
    assert "requests, 0 failed" in done.stderr
    assert "looking up" in done.stderr


def test_a_stolen_write_is_told_to_people(sandbox: Sandbox, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    stolen: list[str] = []

    def steal() -> None:
        until(lambda: ledger.exists() and '"movements"' in ledger.read_text(), "the first movement")
        first = next(line for line in ledger.read_text().splitlines() if '"movements"' in line)
        stolen.append(json.loads(first)["key"])
        with psycopg.connect(sandbox.document["databases"]["main"], autocommit=True) as connection:
            connection.execute("DELETE FROM storage_movement_history WHERE notes = %s", stolen)

    options = ["--rate", "40", "--for", "3s", "--mix", "reads=1,storage=1", "--ledger", str(ledger)]
    done = load(sandbox, *options, meanwhile=steal)
    assert done.returncode == Exit.DIFFERENT, done.stderr
    assert f"lost: movements '{stolen[0]}', on neither side" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("lost  ")]
    assert line.split() == ["lost", "1"]


def test_instances_that_take_turns_behind_haproxy_fail_no_request(sandbox: Sandbox) -> None:
    if sandbox.document["proxy"]["kind"] != "haproxy":
        pytest.skip("no haproxy here: other proxies close connections when they are told of a change")

    def take_turns() -> None:
        time.sleep(1)
        for name in sandbox.instances:
            sandbox.haproxy(f"set server gateway/{name} state drain")
            until(lambda name=name: _in_flight(sandbox, name) == 0, f"{name} to be drained")  # type: ignore[misc]  # bound early
            sandbox.restart(name)
            sandbox.haproxy(f"set server gateway/{name} state ready; set server gateway/{name} health up")

    report = document(load(sandbox, "--rate", "100", "--for", "9s", "--json", meanwhile=take_turns))
    assert report["failures"]["total"] == 0, report["failures"]["samples"]
    assert report["exit"] == Exit.DONE
    assert report["connections"]["opened"] == 16, "no client lost its connection"


def _in_flight(sandbox: Sandbox, instance: str) -> int:
    rows = [line.split(",") for line in sandbox.haproxy("show stat").splitlines()]
    return next(int(row[4]) for row in rows if row[:2] == ["gateway", instance])


def test_an_instance_that_is_killed_loses_nothing_that_was_acknowledged(sandbox: Sandbox) -> None:
    def kill() -> None:
        time.sleep(1.5)
        pid = sandbox.supervisor.processes()["gateway-1"].pid
        assert pid
        os.kill(pid, signal.SIGKILL)

    report = document(load(sandbox, "--rate", "100", "--for", "6s", "--json", meanwhile=kill))
    assert report["exit"] == Exit.DONE, report["findings"]
    assert (report["lost"], report["wrong"], report["doubled"], report["unverified"]) == (0, 0, 0, 0)
    kinds = {kind for kind, count in report["failures"]["by_kind"].items() if count}
    # haproxy answers 502 where its own connection was new, and hangs up where that had been used before.
    assert kinds <= {"502", "503", "reset", "reset-reused-connection"}, report["failures"]["samples"]
    sandbox.start("gateway-1")


def test_a_monolith_that_is_killed_loses_nothing_that_was_acknowledged(sandbox: Sandbox) -> None:
    def kill() -> None:
        time.sleep(1.5)
        pid = sandbox.supervisor.processes()["monolith"].pid
        assert pid
        os.kill(pid, signal.SIGKILL)

    report = document(load(sandbox, "--rate", "100", "--for", "7s", "--json", meanwhile=kill))
    assert report["failures"]["total"] > 0
    assert max(report["unavailable"].values()) > 0
    assert (report["lost"], report["wrong"], report["doubled"], report["unverified"]) == (0, 0, 0, 0)
    assert report["exit"] == Exit.DONE, report["findings"]
    sandbox.start("monolith")


def test_a_mix_that_makes_no_sense_is_a_usage_error(sandbox: Sandbox) -> None:
    done = load(sandbox, "--rate", "10", "--for", "1s", "--mix", "sample=1")
    assert done.returncode == Exit.USAGE
    assert "'sample' is not one of reads" in done.stderr
    assert done.stdout == ""
