"""``compare``: what is equal, what is not and what cannot be known, while people work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.e2e.driving import Call, Tool, eventually, interrupt, write_week
from tests.sandbox_fixture import Sandbox

pytestmark = pytest.mark.sandbox

USERS = """\
week: try
title: Users follow
risk: low
steps:
  - id: users
    replicate: {from: main, to: auth, mapping: users}
"""
NOTHING = """\
week: none
title: Nothing moves
risk: low
steps:
  - id: users
    http: {target: gateway, path: /health, expect: {status: 200}}
"""
SOMEBODY = "p.investigator@lab.example.org"


@contextlib.contextmanager
def load(tool: Tool) -> Iterator[Call]:
    argv = ("sandbox", "load", "--dir", ".", "--rate", "40", "--for", "10m", "--mix", "users=1", "--json")
    with tool.working(*argv) as call:
        yield call


@pytest.fixture(autouse=True)
def nothing_left(tool: Tool) -> Iterator[None]:
    """What a test replicated is taken away: rows in the databases stay between tests."""
    yield
    tool("rollback", "try", "--accept-loss")


def rows(sandbox: Sandbox, database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(sandbox.document["databases"][database], autocommit=True) as connection:
        cursor = connection.execute(query)
        return list(cursor.fetchall()) if cursor.description else []


def test_equal_under_load_different_where_somebody_wrote_and_unknown_before(
    sandbox: Sandbox, tool: Tool
) -> None:
    write_week(sandbox, USERS)
    before = tool("compare", "try", "--json")
    before.expect(1)
    assert before.document.get("verdict") == "unknown", before
    assert before.document["replications"][0]["exact"] is False
    tool("compare", "try").expect(1, "nothing is carried over between the two yet")

    with load(tool) as call:
        tool("run", "try").expect(0)
        for _ in range(3):
            found = tool("compare", "try", "--json")
            found.expect(0)
            [replication] = found.document["replications"]
            assert (replication["verdict"], replication["exact"]) == ("equal", True)
            assert {each["name"] for each in replication["tables"]} == {"users", "unmapped_users"}
            assert all(each["rows_a"] == each["rows_b"] > 0 for each in replication["tables"])
        interrupt(call)
    tool("compare", "try").expect(0, "equal: ")

    rows(sandbox, "auth", f"UPDATE users SET first_name = 'Mallory' WHERE email = '{SOMEBODY}'")
    rows(sandbox, "auth", "DELETE FROM users WHERE email = 'nobody@lab.example.org'")
    found = tool("compare", "try", "--json")
    found.expect(11)
    tables = {each["name"]: each for each in found.document["replications"][0]["tables"]}
    [difference] = [each for each in tables["users"]["differences"] if each["kind"] == "different"]
    assert difference["columns"] == [{"name": "first_name"}]
    assert tables["unmapped_users"]["equal"]
    assert "Mallory" not in found.out + found.err
    tool("compare", "try", "--table", "users").expect(11, "differs in first_name")
    assert "Mallory" not in str(tool("compare", "try"))
    tool("compare", "try", "--values").expect(11, "'Mallory' in auth")
    tool("compare", "try", "--table", "nobody").expect(2, "There are: users")


def test_a_week_that_replicates_nothing_and_one_that_is_not_there(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, NOTHING, "none.yaml")
    tool("compare", "none").expect(4, "nothing to compare")
    tool("compare", "other").expect(2)


def test_a_side_that_does_not_answer_is_not_known(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, USERS)
    with contextlib.closing(psycopg.connect(sandbox.document["databases"]["main"])) as holder:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        call = tool("compare", "try", "--patience", "2s")
        holder.rollback()
    call.expect(1, "could not be compared", "pg_terminate_backend")


@pytest.mark.long
def test_one_that_is_killed_anywhere_leaves_nothing_behind_and_holds_nobody_up(
    sandbox: Sandbox, tool: Tool
) -> None:
    write_week(sandbox, USERS)
    tool("run", "try").expect(0)
    asking = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tracseq-migrate: compare%'"
    killed_asking = 0
    with load(tool) as call:
        for number in range(5):
            with tool.working("compare", "try") as comparing:
                while comparing.process.poll() is None and not rows(sandbox, "auth", asking):
                    time.sleep(0.01)
                time.sleep(number * 0.025)
                killed_asking += comparing.process.poll() is None
                comparing.process.kill()
        eventually(lambda: rows(sandbox, "auth", asking) + rows(sandbox, "main", asking), wanted=[])
        tool("compare", "try").expect(0, "equal: ")
        interrupt(call)
    assert killed_asking > 0
    status = tool("sync", "status", "--json").expect(0).document
    assert status["replications"][0]["alarm"] == ""
