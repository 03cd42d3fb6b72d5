"""Users come to life in the service's database, follow every change while people work, and go without a trace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.e2e.driving import Call, Tool, eventually, interrupt, write_week
from tests.sandbox_fixture import Sandbox, until

pytestmark = pytest.mark.sandbox

USERS = """\
week: try
title: Users follow
risk: low
steps:
  - id: users
    replicate: {from: main, to: auth, mapping: users}
"""


@contextlib.contextmanager
def load(tool: Tool) -> Iterator[Call]:
    argv = ("sandbox", "load", "--dir", ".", "--rate", "40", "--for", "10m", "--mix", "users=1", "--json")
    with tool.working(*argv) as call:
        yield call


def rows(sandbox: Sandbox, database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(sandbox.document["databases"][database], autocommit=True) as connection:
        cursor = connection.execute(query)
        return list(cursor.fetchall()) if cursor.description else []


def everything(sandbox: Sandbox) -> dict[str, Any]:
    """All that a replication could leave behind: objects of both databases, and every row of the new side."""
    objects = (
        "SELECT relkind::text, oid::regclass::text FROM pg_class WHERE relnamespace::regnamespace::text NOT LIKE 'pg_%'"
        " AND relnamespace::regnamespace::text <> 'information_schema' ORDER BY 1, 2"
    )
    triggers = (
        "SELECT tgrelid::regclass::text, tgname::text, tgenabled::text FROM pg_trigger"
        " WHERE NOT tgisinternal ORDER BY 1, 2"
    )
    functions = (
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace::regnamespace::text NOT LIKE 'pg_%'"
        " AND pronamespace::regnamespace::text <> 'information_schema' ORDER BY 1"
    )
    found: dict[str, Any] = {
        f"{database} {name}": rows(sandbox, database, query)
        for database in ("main", "auth")
        for name, query in (("objects", objects), ("triggers", triggers), ("functions", functions))
    }
    found["users"] = rows(sandbox, "auth", "SELECT u::text FROM users u ORDER BY id")
    return found


def replication(tool: Tool) -> dict[str, Any]:
    (line,) = tool("status", "--json").document["replications"]
    return dict(line)


def carried(tool: Tool) -> bool:
    line = replication(tool)
    return bool(line["leader"]) and line["behind_rows"] == 0


@pytest.mark.long
def test_there_and_back_and_there_again_while_people_work(sandbox: Sandbox, tool: Tool) -> None:
    before = everything(sandbox)
    write_week(sandbox, USERS)
    for _ in range(2):
        with load(tool) as call:
            number = rows(sandbox, "main", "SELECT count(*) FROM users")
            until(lambda: rows(sandbox, "main", "SELECT count(*) FROM users") > number, "somebody to write")  # noqa: B023
            tool("run", "try").expect(0)
            tool("verify", "try").expect(0)
            outcome = interrupt(call)
        assert outcome.document["findings"] == [], outcome
        eventually(lambda: carried(tool), wanted=True)
        (old,), (new,) = (
            rows(sandbox, name, "SELECT count(*) FROM users WHERE email <> 'nobody'")
            for name in ("main", "auth")
        )
        assert old == new
        tool("verify", "try").expect(0, "rows are equal on both sides")
        tool("rollback", "try").expect(0)
        assert everything(sandbox) == before
        assert tool("status", "--json").document["replications"] == []


def test_what_somebody_wrote_on_the_new_side_is_drift_and_is_not_thrown_away(
    sandbox: Sandbox, tool: Tool
) -> None:
    write_week(sandbox, USERS)
    tool("run", "try").expect(0)
    rows(
        sandbox,
        "auth",
        "UPDATE users SET first_name = 'Mallory' WHERE email = 'p.investigator@lab.example.org'",
    )
    tool("verify", "try").expect(11, "1 differ")
    tool("rollback", "try").expect(4, "--accept-loss")
    assert tool.state("try") == "proven"
    tool("rollback", "try", "--accept-loss").expect(0)
    assert rows(sandbox, "auth", "SELECT count(*) FROM users") == [(1,)]


@pytest.mark.long
def test_sync_that_was_stopped_is_an_alarm_and_nothing_is_lost(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, USERS)
    tool("run", "try").expect(0)
    eventually(lambda: carried(tool), wanted=True)
    tool("complete", "try", "--confirm", "try").expect(4, "a cutover hands the tables over first")
    tool("sync", "stop").expect(0)
    rows(
        sandbox,
        "main",
        "UPDATE users SET first_name = 'Petronella' WHERE email = 'p.investigator@lab.example.org'",
    )
    tool("sync", "status").expect(11, "nobody carries changes over")
    assert replication(tool)["behind_rows"] == 1
    with tool.working("sync", "run") as call:
        eventually(lambda: carried(tool), wanted=True)
        assert interrupt(call).code == 0
    name = "SELECT first_name FROM users WHERE email = 'p.investigator@lab.example.org'"
    assert rows(sandbox, "auth", name) == [("Petronella",)]
    tool("rollback", "try").expect(0)
    rows(
        sandbox,
        "main",
        "UPDATE users SET first_name = 'Petra' WHERE email = 'p.investigator@lab.example.org'",
    )


def test_a_row_that_does_not_fit_is_refused_before_anything_changes(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, USERS)
    rows(
        sandbox,
        "main",
        "INSERT INTO users (unc_pid, email, role) VALUES ('misfit', 'no address at all', 'guest')",
    )
    before = everything(sandbox)
    try:
        tool("run", "try").expect(4, "email")
        assert everything(sandbox) == before
    finally:
        rows(sandbox, "main", "DELETE FROM users WHERE unc_pid = 'misfit'")
