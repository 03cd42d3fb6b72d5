"""Users sign in at their own service, and at the monolith again, while people work: nothing that was acknowledged is lost."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.e2e.driving import Call, Tool, interrupt, write_week
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


def watcher_of(call: Call) -> psutil.Process:
    """The guardian of a run that is at its cutover, once it watches."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [
            child
            for child in psutil.Process(call.process.pid).children()
            if "tracseq_migrate.cli.guard" in child.cmdline() and watches(child)
        ]
        return bool(found)

    until(there, "the guardian to watch", seconds=60)
    return found[0]


def watches(process: psutil.Process) -> bool:
    """Whether it has come up: from then on it speaks to its log."""
    return Path(f"/proc/{process.pid}/fd/1").readlink().name == "guardian.log"


def killed(call: Call) -> None:
    call.process.send_signal(signal.SIGKILL)
    call.process.wait(30)


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_tool_that_is_killed_leaves_one_owner(sandbox: Sandbox, tool: Tool) -> None:
    """There, its guardian goes on by itself. Back, the guardian is killed as well, and somebody types `resume`."""
    write_week(sandbox, AUTH)
    with load(tool) as call:
        begun(sandbox)
        with tool.working("run", "try") as run:
            guardian = watcher_of(run)
            time.sleep(0.3)
            killed(run)
        until(lambda: ended(guardian), "the guardian to be done", seconds=120)
        assert (owner(sandbox), tool.state("try")) == ("b", "proven")
        # The monolith has no deleted users: this change has no way back.
        somebody = "(SELECT min(email) FROM users WHERE email NOT LIKE '%load.example')"
        rows(sandbox, "auth", f"UPDATE users SET status = 'deleted' WHERE email = {somebody}")
        tool("rollback", "try").expect(4, "deleted users", "--accept-loss")
        with tool.working("rollback", "try", "--accept-loss") as back:
            guardian = watcher_of(back)
            time.sleep(0.3)
            guardian.kill()
            killed(back)
        tool("status").expect(0, "try")
        tool("resume", "try").expect(0)
        (lost,) = sandbox.state.layout.journal.rglob("try-*.jsonl")
        assert "the monolith has no deleted users" in lost.read_text()
        outcome = interrupt(call)
    assert outcome.document["findings"] == [], outcome


def test_a_week_is_completed_and_nothing_is_left_of_the_way_back(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, AUTH)
    rows(sandbox, "auth", "CREATE SCHEMA kept; CREATE TABLE kept.users AS TABLE users")
    tool("plan", "try").expect(0, "order hold", "none is refused")
    tool("complete", "try").expect(4, "never-run")
    tool("run", "try", "--until", "users").expect(9)
    tool("complete", "try").expect(4, "only a week that is proven")
    for name in ("nightly-job", "another"):
        with psycopg.connect(sandbox.document["databases"]["main"], application_name=name) as connection:
            connection.execute("UPDATE users SET last_name = last_name WHERE email = 'nobody'")
    tool("run", "try").expect(9, "nightly-job (role", "another (role", "`writers:`")
    assert owner(sandbox) == "a"
    tool("plan", "try", "--deep").expect(0, "nightly-job", "the way back of users", "deleted users")
    tool("run", "try", "--yes").expect(9)
    tool("approve", "try", "cutover", "--evidence", "both were stopped yesterday").expect(0)
    tool("run", "try").expect(0)
    tool("complete", "try").expect(4, "the way back of cutover", "carried over", "complete try --confirm try")
    tool("complete", "try", "--confirm", "week1").expect(2, "another week")
    assert owner(sandbox) == "b"
    completed = tool("--json", "complete", "try", "--confirm", "try").expect(0).document
    assert completed["state"] == "completed"
    assert any(
        "the old tables in main can be read, and refuse writes" in text for text in completed["evidence"]
    )

    ours = "SELECT 1 FROM pg_namespace WHERE nspname = 'tracseq_migrate'"
    assert rows(sandbox, "auth", ours) == []
    assert (
        rows(sandbox, "auth", "SELECT 1 FROM pg_trigger WHERE tgname LIKE 'tracseq%' OR tgenabled = 'D'")
        == []
    )
    rows(sandbox, "auth", "UPDATE users SET last_name = 'Final' WHERE email = (SELECT min(email) FROM users)")
    with pytest.raises(psycopg.errors.SerializationFailure):
        rows(sandbox, "main", "UPDATE users SET last_name = 'Late'")

    tool("complete", "try", "--confirm", "try").expect(0)
    tool("rollback", "try").expect(4, "given up, for ever")
    tool("resume", "try").expect(0)
    tool("run", "try").expect(0)
    tool("verify", "try").expect(0, "for good")
    tool("status").expect(0, "completed")
    tool("log").expect(0, "complete")
    assert "complete try" in (sandbox.folder / "MIGRATION_LOG.md").read_text()
    # Rows and fence stay for good: the next test's databases are to be as they were.
    rows(sandbox, "main", "DROP SCHEMA tracseq_migrate CASCADE")
    back = "TRUNCATE users CASCADE; INSERT INTO users SELECT * FROM kept.users; DROP SCHEMA kept CASCADE"
    rows(sandbox, "auth", back)


@pytest.mark.long
def test_a_flag_that_is_turned_back_by_hand_loses_nothing_and_is_told(sandbox: Sandbox, tool: Tool) -> None:
    """Nobody carries changes either: the worst of both, and `rollback` still brings every row back."""
    write_week(sandbox, AUTH)
    tool("run", "try").expect(0)
    sandbox.stop("sync")
    rows(sandbox, "auth", "UPDATE users SET first_name = 'Changed since'")
    text = sandbox.flag_file.read_text()
    sandbox.flag_file.write_text(text.replace("USE_AUTH_SERVICE=true", "USE_AUTH_SERVICE=false"))
    sandbox.restart(*sandbox.instances)

    # Writes of people reach the old tables, which refuse them: nobody is told that one was kept.
    with pytest.raises(psycopg.errors.SerializationFailure):
        rows(sandbox, "main", "UPDATE users SET first_name = 'Nobody owns this'")
    tool("verify", "try").expect(11, "USE_AUTH_SERVICE")
    told = tool("--json", "status").document
    assert any(each["alarm"] for each in told["replications"]), told["replications"]

    tool("rollback", "try", "--to", "users").expect(0)
    assert owner(sandbox) == "a"
    ((count, changed),) = rows(
        sandbox, "main", "SELECT count(*), count(*) FILTER (WHERE first_name = 'Changed since') FROM users"
    )
    assert count == changed > 0
    tool("rollback", "try").expect(0)
