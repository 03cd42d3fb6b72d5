"""Users sign in at their own service, and at the monolith again, while people work: nothing that was acknowledged is lost."""

from __future__ import annotations

import signal
import time

import pytest

from tests.e2e.driving import Tool, interrupt, write_week
from tests.e2e.test_data import load, rows
from tests.sandbox_fixture import Sandbox, until

pytestmark = pytest.mark.sandbox

AUTH = """\
week: try
title: Users sign in at their own service
risk: high
steps:
  - id: start
    services: {up: [auth]}
  - id: users
    replicate: {from: main, to: auth, mapping: users}
  - id: cutover
    cutover:
      replications: [{from: main, to: auth, mapping: users}]
      flags: {USE_AUTH_SERVICE: true}
"""


def begun(sandbox: Sandbox) -> None:
    """Somebody writes."""
    number = rows(sandbox, "main", "SELECT count(*) FROM users")
    until(lambda: rows(sandbox, "main", "SELECT count(*) FROM users") > number, "somebody to write")


def owner(sandbox: Sandbox) -> str:
    """Who owns the users, by the rows that both databases have."""
    found = {
        row
        for name in ("main", "auth")
        for row in rows(sandbox, name, "SELECT owner, direction FROM tracseq_migrate.ownership")
    }
    assert len(found) == 1, found
    return str(found.pop()[0])


def test_there_and_back_while_people_work(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, AUTH)
    tool("plan", "try").expect(0, "order hold", "none is refused")
    with load(tool) as call:
        begun(sandbox)
        tool("run", "try").expect(0, "changed owner at")
        assert owner(sandbox) == "b"
        tool("verify", "try").expect(0)
        tool("compare", "try").expect(0)
        tool("rollback", "try", "--to", "users").expect(0, "changed owner")
        assert owner(sandbox) == "a"
        outcome = interrupt(call)
    assert outcome.document["findings"] == [], outcome
    assert outcome.document["failures"]["total"] == 0, outcome
    tool("rollback", "try").expect(0)
    assert rows(sandbox, "main", "SELECT 1 FROM pg_namespace WHERE nspname = 'tracseq_migrate'") == []
    assert (
        rows(sandbox, "main", "SELECT 1 FROM pg_trigger WHERE tgname LIKE 'tracseq%' OR tgenabled = 'D'")
        == []
    )


def test_a_tool_that_is_killed_leaves_one_owner_after_resume(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, AUTH)
    with load(tool) as call:
        begun(sandbox)
        with tool.working("run", "try") as run:
            until(lambda: any("cutover begins" in line for line in run.out), "the cutover to begin")
            time.sleep(1.5)
            run.process.send_signal(signal.SIGKILL)
            run.process.wait(30)
        tool("status").expect(0, "try")
        tool("resume", "try").expect(0)
        assert owner(sandbox) == "b"
        tool("rollback", "try").expect(0)
        outcome = interrupt(call)
    assert outcome.document["findings"] == [], outcome
