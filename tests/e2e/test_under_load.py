"""Weeks there and back while clients read and write: no request fails for it, and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.e2e.driving import Call, Tool, interrupt, tool_of, world, write_week
from tests.sandbox_fixture import Sandbox, until

pytestmark = pytest.mark.sandbox

UNMOVED = "users=1,samples=1"
MOVED = "notifications=1,locations=1"

TEMPLATES = """\
week: try
title: Templates
risk: low
steps:
  - id: start
    services: {up: [templates]}
  - id: flags
    flags: {set: {USE_TEMPLATE_SERVICE: true}, writes: stranded}
  - id: proof
    route: {prefix: /api/templates, answered_by: templates}
"""

STORAGE = """\
week: first
title: Storage
risk: low
steps:
  - id: start
    services: {up: [storage, notifications]}
  - id: flags
    flags: {set: {USE_STORAGE_SERVICE: true, USE_NOTIFICATION_SERVICE: true}, writes: stranded}
"""


@contextlib.contextmanager
def load(tool: Tool, rate: int, mix: str) -> Iterator[Call]:
    """The load generator at work; it is ended by `interrupt`."""
    argv = ("sandbox", "load", "--dir", ".", "--rate", str(rate), "--for", "10m", "--mix", mix, "--json")
    with tool.working(*argv) as call:
        yield call


def report_of(call: Call) -> dict[str, Any]:
    """End the load; what it saw. A load that was interrupted says so by its code, and by a worse one if it saw worse."""
    outcome = interrupt(call, signal.SIGINT).expect(130)
    report = outcome.document
    assert isinstance(report, dict)
    assert report["acknowledged"] > 0
    assert report["verified"]["both"] > 0
    assert (report["lost"], report["wrong"], report["doubled"], report["unverified"]) == (0, 0, 0, 0), outcome
    return report


@dataclass
class Fresh:
    """A client that opens a connection for each request to a prefix, about 30 a second; its answers and its failures."""

    url: str
    path: str
    answers: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def asking(self) -> Iterator[Fresh]:
        stop = threading.Event()
        thread = threading.Thread(target=self._ask, args=(stop,))
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def _ask(self, stop: threading.Event) -> None:
        parts = urllib.parse.urlsplit(self.url)
        while not stop.wait(0.03):
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
            try:
                connection.request("GET", self.path)
                answer = connection.getresponse()
                answer.read()
                self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            finally:
                connection.close()


def test_behind_haproxy_no_request_fails_for_a_week_there_and_back(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, STORAGE, "first.yaml")
    write_week(sandbox, TEMPLATES)
    tool("run", "first").expect(0)
    between = world(sandbox)
    templates = Fresh(sandbox.gateway_url, "/api/templates?limit=1")
    with load(tool, 50, f"reads=4,pages=1,{UNMOVED},{MOVED}") as clients, templates.asking():
        until(lambda: sum(templates.answers.values()) > 10, "the first answers")
        tool("run", "try", "-v").expect(0, "none failed")
        tool("rollback", "try", "-v").expect(0, "none failed")
        report = report_of(clients)
    assert world(sandbox) == between
    assert report["failures"]["total"] == 0, report["failures"]
    assert report["on_the_other_side"] == 0
    assert templates.failures == []
    assert set(templates.answers) == {200}, templates.answers
    assert set(report["owners"].items()) >= {
        ("/api/samples", "main"),
        ("/api/storage", "storage"),
        ("/api/notifications", "notifications"),
    }


def test_behind_caddy_none_fails_that_any_process_had_begun(caddy: Sandbox) -> None:
    tool = tool_of(caddy)
    write_week(caddy, TEMPLATES)
    before = world(caddy)
    templates = Fresh(caddy.gateway_url, "/api/templates?limit=1")
    with load(tool, 50, f"reads=4,pages=1,{UNMOVED},{MOVED}") as clients, templates.asking():
        until(lambda: sum(templates.answers.values()) > 10, "the first answers")
        tool("run", "try", "-v").expect(0, "flipped by proxy")
        tool("rollback", "try", "-v").expect(0, "flipped by proxy")
        report = report_of(clients)
    assert world(caddy) == before
    failures = report["failures"]
    assert failures["total"] == failures["before_any_process_began"], failures
    assert templates.failures == []
    assert set(templates.answers) == {200}, templates.answers


def rows_of(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """The templates that the service's database has, by id."""
    with psycopg.connect(sandbox.document["databases"]["templates"], row_factory=dict_row) as connection:
        rows = connection.execute("SELECT * FROM templates").fetchall()
    return {str(row["id"]): row for row in rows}


def send(sandbox: Sandbox, method: str, path: str, body: object = None) -> int:
    parts = urllib.parse.urlsplit(sandbox.gateway_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_what_users_wrote_is_not_left_behind_unless_that_is_accepted(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, TEMPLATES)
    before = world(sandbox)
    earlier = rows_of(sandbox)
    old = next(iter(earlier))
    # Clients write templates while the flag flips: those of before stay with the monolith, and none is lost.
    with load(tool, 20, "reads=1,templates=2") as clients:
        tool("run", "try", "-v").expect(0, "none failed")
        until(lambda: len(rows_of(sandbox)) > len(earlier) + 3, "templates on the new side")
        report = report_of(clients)
    assert report["owners"]["/api/templates"] == "templates"
    assert report["failures"]["total"] == 0, report["failures"]
    assert send(sandbox, "PATCH", f"/api/templates/{old}", {"description": "changed on the new side"}) == 200
    written, during = rows_of(sandbox), world(sandbox)

    refused = tool("rollback", "try").expect(4)
    assert "templates.public.templates: " in refused.message
    assert "1 updated" in refused.message
    assert "`tracseq-migrate rollback try --accept-loss`" in refused.err
    dry = tool("rollback", "try", "--dry-run", "--json").expect(0).document
    assert len([loss for loss in dry["losses"] if loss["where"].endswith(".templates")]) == len(written)
    assert world(sandbox) == during
    assert tool.state("try") == "proven"

    tool("rollback", "try", "--accept-loss").expect(0, "try is rolled-back")
    assert world(sandbox) == before
    assert rows_of(sandbox) == written
    (listed,) = (sandbox.folder / ".tracseq-migrate" / "sandbox" / "losses").iterdir()
    assert listed.stat().st_mode & 0o077 == 0
    lines = [json.loads(line) for line in listed.read_text("utf-8").splitlines()]
    mine = [line for line in lines if line["where"] == "templates.public.templates"]
    assert {line["row"]["id"]: line["row"]["name"] for line in mine} == {
        id_: row["name"] for id_, row in written.items() if id_ == old or id_ not in earlier
    }
    assert [line["row"]["id"] for line in mine if line["what"] == "updated"] == [old]
    assert str(listed) in (sandbox.folder / "MIGRATION_LOG.md").read_text("utf-8")
    assert Path(listed).is_file()
