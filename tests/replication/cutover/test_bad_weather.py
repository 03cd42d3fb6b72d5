"""After a change of owner: nobody carried changes back for long, tables were altered, somebody never stops trying."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.replication.cutover.lab import Door, moved, opened
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.errors import InvalidInput
from tracseq_migrate.replication.cutover import cut_over

_A = "SELECT name, balance, nick FROM accounts ORDER BY name"
_B = "SELECT full_name, cents FROM members ORDER BY full_name"


def back(pair: PairOfDatabases) -> int:
    """Hands the tables back; how many changes were carried while nobody waited."""
    done = cut_over(pair.sessions, [opened(pair.sessions)], "back", Door(side="b", over="a"), by="the test")
    assert done.rows < 200  # what people had to wait for
    return done.predrained


def test_what_nobody_carried_for_days_comes_back_before_anybody_waits(
    pair_of_databases: PairOfDatabases,
) -> None:
    pair = pair_of_databases
    cut_over(pair.sessions, [moved(pair)], "forward", Door(), by="the test")
    # One statement with more rows than are noted one by one, and then all sorts of them.
    pair.run(
        "b",
        "INSERT INTO members (full_name, cents) SELECT 'many ' || i, i FROM generate_series(1, 7000) AS i",
    )
    pair.run("b", "UPDATE members SET cents = cents + 1 WHERE full_name LIKE 'many %'")
    pair.run("b", "DELETE FROM members WHERE cents % 3 = 0")
    pair.run(
        "b", "UPDATE members SET full_name = 'renamed ' || id WHERE full_name LIKE 'first %' AND cents < 20"
    )
    assert back(pair) > 0
    kept = pair.rows("b", _B)
    assert [(name, balance) for name, balance, _ in pair.rows("a", _A)] == kept
    assert len(kept) > 4000


def test_a_table_that_was_emptied_at_once_is_emptied_over_there(pair_of_databases: PairOfDatabases) -> None:
    pair = pair_of_databases
    cut_over(pair.sessions, [moved(pair)], "forward", Door(), by="the test")
    pair.run("b", "TRUNCATE members")
    pair.run("b", "INSERT INTO members (full_name, cents) VALUES ('only one', 1)")
    back(pair)
    assert pair.rows("a", _A) == [("only one", 1, "none")]


def test_a_column_that_was_added_behind_the_mapping_is_named_and_nothing_is_lost(
    pair_of_databases: PairOfDatabases,
) -> None:
    pair = pair_of_databases
    cut_over(pair.sessions, [moved(pair)], "forward", Door(), by="the test")
    pair.run("b", "ALTER TABLE members ADD COLUMN phone text")
    pair.run("b", "INSERT INTO members (full_name, cents, phone) VALUES ('new', 5, '112')")
    with pytest.raises(InvalidInput, match="phone"):
        opened(pair.sessions)
    # Whoever added it takes it away, or the mapping says what becomes of it: then it goes back as always.
    pair.run("b", "ALTER TABLE members DROP COLUMN phone")
    back(pair)
    assert ("new", 5, "none") in pair.rows("a", _A)


def test_a_column_that_grew_wider_goes_back_where_it_fits(pair_of_databases: PairOfDatabases) -> None:
    pair = pair_of_databases
    cut_over(pair.sessions, [moved(pair)], "forward", Door(), by="the test")
    pair.run("b", "ALTER TABLE members ALTER COLUMN full_name TYPE varchar(200)")
    pair.run("b", "UPDATE members SET full_name = 'first, altered' WHERE full_name = 'first 1'")
    try:
        back(pair)
    except InvalidInput as refused:
        # A longer name would have no way back, and the mapping does not say what becomes of one.
        assert "full_name" in str(refused) or "name" in str(refused)
        pair.run("b", "ALTER TABLE members ALTER COLUMN full_name TYPE varchar(80)")
        back(pair)
    assert ("first, altered", 1, "none") in pair.rows("a", _A)


def test_somebody_who_ignores_every_error_is_let_in_only_where_it_counts(
    pair_of_databases: PairOfDatabases,
) -> None:
    pair = pair_of_databases
    one, over = moved(pair), threading.Event()
    acknowledged: list[int] = []
    refused: list[int] = []

    def stubborn() -> None:
        number = 0
        with psycopg.connect(pair.dsns["a"], autocommit=True) as connection:
            while not over.wait(0.002):
                number += 1
                try:
                    connection.execute(
                        "INSERT INTO accounts (name, balance) VALUES (%s, 0)", [f"stubborn {number}"]
                    )
                    acknowledged.append(number)
                except psycopg.errors.SerializationFailure:
                    refused.append(number)

    # It writes past the door, so nobody can wait for it: like an order without a hold.
    thread = threading.Thread(target=stubborn)
    thread.start()
    try:
        cut_over(pair.sessions, [one], "forward", _Open(), by="the test")
        before = len(acknowledged)
        while len(refused) < 50:
            over.wait(0.01)
        assert len(acknowledged) == before  # not one of them got past the fence
        cut_over(pair.sessions, [opened(pair.sessions)], "back", _Open(side="b", over="a"), by="the test")
        while len(acknowledged) < before + 20:
            over.wait(0.01)
    finally:
        over.set()
        thread.join(30)
    there = {name for (name,) in pair.rows("a", "SELECT name FROM accounts WHERE name LIKE 'stubborn %'")}
    assert there == {f"stubborn {number}" for number in acknowledged}


class _Open(Door):
    """Cannot tell what is under way."""

    def settle(self, seconds: float) -> int | None:
        return None
