"""Who writes the tables that move is known by name, and whoever writes past the gateway keeps a cutover from being."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.replication.cutover.lab import Door, moved, opened, writing, wrong
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.replication.cutover import cut_over
from tracseq_migrate.replication.cutover.census import outlook, writers
from tracseq_migrate.replication.cutover.protocol import Limits


def _over(
    databases: PairOfDatabases,
    door: Door,
    over: str,
    at: Callable[[str], None] = lambda _: None,
    *,
    tries: int = 12,
) -> None:
    door.over = over
    replications = [opened(databases.sessions)]
    cut_over(
        databases.sessions,
        replications,
        "forward" if over == "b" else "back",
        door,
        by="the test",
        limits=Limits(tries=tries, pause=0.01),
        at=at,
    )


def _found(databases: PairOfDatabases) -> list[str]:
    with databases.sessions.open("a", purpose="test", timeout=10.0) as session:
        return [each.application for each in writers(session, opened(databases.sessions))]


def test_everybody_who_writes_is_noted_and_who_reads_is_not(pair_of_databases: PairOfDatabases) -> None:
    moved(pair_of_databases)
    for name, statement in (
        ("reader", "SELECT count(*) FROM accounts"),
        ("nightly", "UPDATE accounts SET balance = 0 WHERE id = 1"),
        ("nobody-hit", "DELETE FROM accounts WHERE id = -1"),
    ):
        with psycopg.connect(pair_of_databases.dsns["a"], application_name=name) as connection:
            connection.execute(statement.encode())
    assert _found(pair_of_databases) == ["nightly", "nobody-hit"]
    with psycopg.connect(pair_of_databases.dsns["a"], application_name="undone") as connection:
        connection.execute("UPDATE accounts SET balance = 1")
        connection.rollback()
    assert _found(pair_of_databases) == ["nightly", "nobody-hit"]
    said = [
        line.text
        for line in outlook(pair_of_databases.sessions, opened(pair_of_databases.sessions), patience=10.0)
    ]
    assert any("nightly (role" in text and "writes accounts, last on" in text for text in said), said
    assert any("the way back of members" in text and "two thousand million" in text for text in said), said


def test_who_writes_while_every_request_is_held_keeps_it_from_being(
    pair_of_databases: PairOfDatabases,
) -> None:
    moved(pair_of_databases)
    door = Door()

    def past(point: str) -> None:
        if point == "destination locked":
            pair_of_databases.run("a", "UPDATE accounts SET balance = balance + 1 WHERE id = 2")

    with writing(pair_of_databases, door) as people:
        with pytest.raises(StepFailed, match="while every request was held: 1 in accounts") as refused:
            _over(pair_of_databases, door, "b", past, tries=2)
        assert "past the gateway's prefix" in (refused.value.hint or "")
        assert door.side == "a"
        people.until(50)
        _over(pair_of_databases, door, "b")
    assert wrong(pair_of_databases, people, "b") == []


def test_what_has_no_column_over_there_follows_again_after_a_way_back(
    pair_of_databases: PairOfDatabases,
) -> None:
    moved(pair_of_databases)
    door = Door()
    _over(pair_of_databases, door, "b")
    pair_of_databases.run("b", "INSERT INTO members (full_name, cents) VALUES ('new', 1), ('newer', 2)")
    pair_of_databases.run("b", "UPDATE members SET cents = 7 WHERE full_name IN ('new', 'first 3')")
    pair_of_databases.run("b", "DELETE FROM members WHERE full_name = 'first 4'")
    _over(pair_of_databases, door, "a")
    pair_of_databases.run("a", "UPDATE accounts SET nick = 'else' WHERE name = 'first 5'")
    _over(pair_of_databases, door, "b")
    side = opened(pair_of_databases.sessions).pairs[0].side
    kept = pair_of_databases.rows("b", f"SELECT id, value FROM {side} ORDER BY 1")
    assert kept == pair_of_databases.rows("a", "SELECT id, nick FROM accounts ORDER BY 1")
    assert len(kept) == 51
