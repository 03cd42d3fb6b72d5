"""The plans of weeks 3 and 4 as they ship, there and back, while people work."""

from __future__ import annotations

import pytest

from tests.e2e.driving import Tool, interrupt
from tests.e2e.test_data import rows
from tests.sandbox_fixture import Sandbox, until

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

SIGNED = {
    "week3": ["backup-restored=seen by ana", "sign-in-tried=on the copy of Monday"],
    "week4": ["backup-restored=counted by ana"],
}
LOAD = (
    *("sandbox", "load", "--dir", ".", "--rate", "40", "--for", "10m", "--json"),
    *("--mix", "reads=1,users=2,samples=2,sequencing=1"),
)
OWN = {"week3": {"auth"}, "week4": {"samples", "sequencing"}}


def owners(sandbox: Sandbox) -> dict[str, set[str]]:
    """Of each database that a week moves rows to: who owns them, by its own word and by the monolith's."""
    found: dict[str, set[str]] = {}
    for name in ("auth", "samples", "sequencing"):
        there = rows(sandbox, name, "SELECT to_regclass('tracseq_migrate.ownership') IS NOT NULL")
        if there[0][0]:
            found[name] = {
                str(row[0]) for row in rows(sandbox, name, "SELECT owner FROM tracseq_migrate.ownership")
            }
    return found


def signed(tool: Tool, week: str) -> None:
    """Two people say that it may begin."""
    for person in ("ana", "ben"):
        tool("approve", week, "go", TRACSEQ_MIGRATE_IDENTITY=person).expect(0)


def test_weeks_three_and_four_there_and_back(sandbox: Sandbox, tool: Tool) -> None:
    tool("run", "week1", "--yes").expect(0)
    tool("run", "week2", "--yes").expect(0)
    with tool.working(*LOAD) as call:
        number = rows(sandbox, "main", "SELECT count(*) FROM users")
        until(lambda: rows(sandbox, "main", "SELECT count(*) FROM users") > number, "somebody to write")
        tool("run", "week3", "--yes").expect(4, "2 different people", "backup-restored")
        for week in ("week3", "week4"):
            signed(tool, week)
            confirmed = [word for each in SIGNED[week] for word in ("--confirm", each)]
            tool("run", week, "--yes", *confirmed).expect(0, "changed owner at")
            assert {owners(sandbox)[name] == {"b"} for name in OWN[week]} == {True}
            tool("compare", week).expect(0)
        tool("verify", "week3").expect(0)
        # A status that changes at the service leaves a line in its history, and sometimes a place where the sample was: rows for
        # which the monolith has no home.
        for earlier in ("sample_status_history", "sample_storage_locations WHERE NOT is_current"):
            count = f"SELECT count(*) FROM {earlier}"
            until(lambda count=count: rows(sandbox, "samples", count) > [(0,)], earlier)  # type: ignore[misc]  # bound early
        both = ("sample_status_history", "sample_storage_locations", "rollback week4 --to samples")
        tool("rollback", "week4").expect(4, *both)
        tool("rollback", "week3").expect(4, "rollback week4")
        tool("rollback", "week4", "--to", "sequencing").expect(0, "changed owner at")
        assert owners(sandbox) == {"auth": {"b"}, "samples": {"a"}, "sequencing": {"a"}}
        tool("rollback", "week4", "--accept-loss").expect(0)
        tool("rollback", "week3").expect(0, "changed owner at")
        outcome = interrupt(call)
    assert outcome.document["findings"] == [], outcome
    assert outcome.document["failures"]["total"] == 0, outcome
    assert rows(sandbox, "main", "SELECT 1 FROM pg_namespace WHERE nspname = 'tracseq_migrate'") == []
    assert (
        rows(sandbox, "main", "SELECT 1 FROM pg_trigger WHERE tgname LIKE 'tracseq%' OR tgenabled = 'D'")
        == []
    )
