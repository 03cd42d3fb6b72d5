"""``rehearse``: a whole week on clones. The real databases and flags stay as they are, whatever becomes of the rehearsal."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.e2e.driving import Tool, eventually, interrupt, write_week
from tests.e2e.test_data import everything
from tests.sandbox_fixture import Sandbox

pytestmark = pytest.mark.sandbox

HURRIED = """\
week: try
title: Users move, faster than anybody can
risk: low
steps:
  - id: users
    replicate: {from: main, to: auth, mapping: users}
  - id: cutover
    cutover:
      replications: [{from: main, to: auth, mapping: users}]
      flags: {USE_AUTH_SERVICE: true}
      write_gap: 1ms
  - id: proof
    route: {prefix: /api/auth, answered_by: auth}
"""


def databases(sandbox: Sandbox) -> list[tuple[Any, ...]]:
    with psycopg.connect(sandbox.document["databases"]["main"], autocommit=True) as connection:
        return connection.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()


def test_a_rehearsal_finds_what_is_wrong_and_leaves_everything_as_it_was(
    sandbox: Sandbox, tool: Tool
) -> None:
    write_week(sandbox, HURRIED)
    before, names = everything(sandbox), databases(sandbox)
    flags = sandbox.flag_file.read_text()
    ended = tool("rehearse", "try", "--json")
    document = json.loads(ended.out)
    # What the plan allows is less than anybody can do: found, measured, and nothing else is wrong.
    assert (ended.code, document["verdict"]) == (4, "fail"), str(ended)
    assert len(document["found"]) == 3
    assert all("the plan allows 0.001 s" in each for each in document["found"])
    assert [each["direction"] for each in document["changes"]] == ["forward", "back", "forward"]
    assert document["acknowledged"] >= 1000
    assert document["refused"] == 0
    steps = {each["id"]: (len(each["seconds"]), bool(each["not_rehearsed"])) for each in document["steps"]}
    assert steps == {"users": (3, False), "cutover": (3, False), "proof": (0, True)}

    assert databases(sandbox) == names
    assert everything(sandbox) == before
    assert sandbox.flag_file.read_text() == flags


@pytest.mark.long
def test_a_rehearsal_that_is_stopped_or_killed_leaves_nothing(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, HURRIED)
    before, names = everything(sandbox), databases(sandbox)
    # A person who has seen enough: what was made is taken away.
    with tool.working("rehearse", "try") as call:
        eventually(lambda: len(databases(sandbox)), len(names) + 2)
        assert interrupt(call).code == 130
    assert databases(sandbox) == names

    # Nobody could take anything away: the next one does.
    with tool.working("rehearse", "try") as call:
        eventually(lambda: len(databases(sandbox)), len(names) + 2)
        call.process.kill()
        call.process.wait()
    assert len(databases(sandbox)) == len(names) + 2
    tool("rehearse", "--clean").expect(0, "is dropped")
    tool("rehearse", "--clean").expect(0, "no rehearsal has left")
    assert (everything(sandbox), databases(sandbox)) == (before, names)


@pytest.mark.long
def test_the_weeks_with_data_pass_their_rehearsal(sandbox: Sandbox, tool: Tool) -> None:
    names = databases(sandbox)
    for week in ("week3", "week4"):
        ended = tool("rehearse", week, "--json")
        document = json.loads(ended.out)
        assert (ended.code, document["verdict"], document["found"]) == (0, "pass", []), str(ended)
        assert len(document["changes"]) == 3
        assert document["left"] == []
    assert databases(sandbox) == names


@pytest.mark.long
def test_a_week_in_force_and_tables_without_a_row(sandbox: Sandbox, tool: Tool) -> None:
    write_week(sandbox, HURRIED.replace("      write_gap: 1ms\n", ""))
    with psycopg.connect(sandbox.document["databases"]["main"], autocommit=True) as connection:
        connection.execute("CREATE TABLE empty_ones (id serial PRIMARY KEY, name text NOT NULL)")
    with psycopg.connect(sandbox.document["databases"]["auth"], autocommit=True) as connection:
        connection.execute("CREATE TABLE empty_ones (id serial PRIMARY KEY, name text NOT NULL)")
    mapping = "version: 1\ntables:\n  - {from: empty_ones, to: empty_ones, columns: {id: id, name: name}}\n"
    (sandbox.folder / "weeks" / "mappings").mkdir(exist_ok=True)
    (sandbox.folder / "weeks" / "mappings" / "nothing.yaml").write_text(mapping)
    write_week(
        sandbox,
        HURRIED.replace("      write_gap: 1ms\n", "")
        .replace("mapping: users", "mapping: nothing")
        .replace("week: try", "week: none"),
        "none.yaml",
    )
    try:
        ended = tool("rehearse", "none", "--json")
        document = json.loads(ended.out)
        assert (ended.code, document["verdict"], len(document["notes"])) == (0, "pass", 1), str(ended)
        assert "0 writes acknowledged" in document["notes"][0]
    finally:
        for name in ("main", "auth"):
            with psycopg.connect(sandbox.document["databases"][name], autocommit=True) as connection:
                connection.execute("DROP TABLE empty_ones")
    assert tool("run", "try", "--until", "users", "--yes").code in (0, 9)
    refused = tool("rehearse", "try")
    assert refused.code == 4
    assert "has not begun" in refused.err
    tool("rollback", "try").expect(0)
