"""The owner changes, and changes back, while people write: nothing that was acknowledged is lost, wherever it is broken off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import psycopg
import pytest

from tests.replication.cutover.lab import Door, moved, opened, writing, wrong
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.errors import Residue
from tracseq_migrate.replication.cutover import cut_over, recover
from tracseq_migrate.replication.following import Follower, Who

BOTH_WAYS = pytest.mark.parametrize(
    "pair_of_databases", ["system->embedded", "embedded->system"], indirect=True
)
Direction = Literal["forward", "back"]


def _over(
    databases: PairOfDatabases, door: Door, direction: Direction, at: Callable[[str], None] = lambda _: None
) -> None:
    door.over = "b" if direction == "forward" else "a"
    cut_over(databases.sessions, [opened(databases.sessions)], direction, door, by="the test", at=at)


@BOTH_WAYS
def test_there_and_back_and_there_again_while_people_write(pair_of_databases: PairOfDatabases) -> None:
    moved(pair_of_databases)
    door = Door()
    with writing(pair_of_databases, door) as writers:
        ways: list[tuple[Direction, str]] = [("forward", "b"), ("back", "a"), ("forward", "b")]
        for direction, side in ways:
            _over(pair_of_databases, door, direction)
            writers.until(100)
            assert door.side == side
    assert writers.refused == []
    assert wrong(pair_of_databases, writers, "b") == []
    # The triggers of the owner are at work, those of the other side are not, and nothing is left of the moment.
    assert pair_of_databases.rows("b", "SELECT tgenabled FROM pg_trigger WHERE tgname = 'touching'") == [
        ("O",)
    ]
    assert pair_of_databases.rows("a", "SELECT tgenabled FROM pg_trigger WHERE tgname = 'touching'") == [
        ("D",)
    ]
    assert pair_of_databases.rows("b", "SELECT reloptions FROM pg_class WHERE relname = 'members'") == [
        (None,)
    ]


@BOTH_WAYS
def test_the_side_that_owns_no_more_refuses(pair_of_databases: PairOfDatabases) -> None:
    moved(pair_of_databases)
    _over(pair_of_databases, Door(), "forward")
    with pair_of_databases.writer("a") as writer:
        with pytest.raises(psycopg.errors.SerializationFailure, match="has moved"):
            writer.execute("UPDATE accounts SET balance = 0")
        writer.rollback()
        with pytest.raises(psycopg.errors.SerializationFailure, match="has moved"):
            writer.execute("TRUNCATE accounts")
    pair_of_databases.run("b", "INSERT INTO members (full_name, cents) VALUES ('new', 1)")
    _over(pair_of_databases, Door(side="b"), "back")
    with pair_of_databases.writer("b") as writer, pytest.raises(psycopg.errors.SerializationFailure):
        writer.execute("DELETE FROM members")
    assert pair_of_databases.rows("a", "SELECT balance FROM accounts WHERE name = 'new'") == [(1,)]
    # Numbers that B gave out are given out by nobody again.
    pair_of_databases.run("a", "INSERT INTO accounts (name, balance) VALUES ('newer', 2)")


class _Broken(BaseException):
    """As if the process had been killed: every session is gone."""


POINTS = (
    "claimed", "armed", "prepared", "quiet", "predrained", "held", "destination locked", "origin locked", "filled", "ready",
    "fencing", "fenced lab", "opened lab", "open", "switched", "released", "told", "swept", "finished",
)  # fmt: skip
FORWARD_FROM = POINTS.index("fenced lab")


def _breaking(point: str) -> Callable[[str], None]:
    def at(name: str) -> None:
        if name == point:
            raise _Broken

    return at


@pytest.mark.parametrize("direction", ["forward", pytest.param("back", marks=pytest.mark.long)])
def test_broken_off_anywhere_it_is_ended_or_undone(
    pair_of_databases: PairOfDatabases, direction: Direction
) -> None:
    moved(pair_of_databases)
    door = Door()
    other: Direction = "back" if direction == "forward" else "forward"
    owner, new = ("a", "b") if direction == "forward" else ("b", "a")
    with writing(pair_of_databases, door) as writers:
        if direction == "back":
            _over(pair_of_databases, door, "forward")
        for number, point in enumerate(POINTS):
            with pytest.raises(_Broken):
                _over(pair_of_databases, door, direction, _breaking(point))
            replications = [opened(pair_of_databases.sessions)]
            recovered = recover(pair_of_databases.sessions, replications, direction, door, by="the next")
            assert recovered.outcome == ("done" if number >= FORWARD_FROM else "aborted"), point
            assert door.side == (new if number >= FORWARD_FROM else owner), point
            writers.until(20)
            if recovered.outcome == "done":
                _over(pair_of_databases, door, other)
    assert wrong(pair_of_databases, writers, owner) == []


RECOVERY = ("recovery: claimed", "recovery: opened lab", "recovery: switched", "told", "swept", "finished")


def test_a_recovery_that_is_broken_off_is_recovered(pair_of_databases: PairOfDatabases) -> None:
    moved(pair_of_databases)
    door = Door()
    with writing(pair_of_databases, door) as writers:
        for point in RECOVERY:
            with pytest.raises(_Broken):
                _over(pair_of_databases, door, "forward", _breaking("fenced lab"))
            replications = [opened(pair_of_databases.sessions)]
            with pytest.raises(_Broken):
                recover(
                    pair_of_databases.sessions,
                    replications,
                    "forward",
                    door,
                    by="the next",
                    at=_breaking(point),
                )
            found = recover(pair_of_databases.sessions, replications, "forward", door, by="the last")
            assert found.outcome == "done"
            assert door.side == "b"
            _over(pair_of_databases, door, "back")
    assert wrong(pair_of_databases, writers, "a") == []


def test_a_follower_goes_on_in_whichever_direction(pair_of_databases: PairOfDatabases) -> None:
    import threading

    replication = moved(pair_of_databases)
    over = threading.Event()
    turns: list[str] = []
    follower = Follower(
        pair_of_databases.sessions,
        replication,
        Who("the test", "here", 1),
        stopping=over.is_set,
        waited=over.wait,
        told=lambda turn: turns.append(turn.trouble or turn.state),
    )
    thread = threading.Thread(target=follower.follow)
    thread.start()
    door = Door()
    try:
        with writing(pair_of_databases, door) as writers:
            ways: tuple[Direction, Direction] = ("forward", "back")
            for direction in ways:
                _over(pair_of_databases, door, direction)
                other = "a" if door.side == "b" else "b"
                table, key, _ = writers.TABLES[other]
                own, own_key, column = writers.TABLES[door.side]
                pair_of_databases.run(
                    door.side, f"INSERT INTO {own} ({own_key}, {column}) VALUES ('{direction}', 1)"
                )
                while not pair_of_databases.rows(other, f"SELECT 1 FROM {table} WHERE {key} = '{direction}'"):
                    over.wait(0.05)
    finally:
        over.set()
        thread.join(30)
    assert wrong(pair_of_databases, writers, "a") == []
    assert not [turn for turn in turns if turn not in ("leads", "stands by", "stopped")]


def test_an_opening_that_its_server_lost_is_for_a_person(pair_of_databases: PairOfDatabases) -> None:
    moved(pair_of_databases)
    door = Door()
    _over(pair_of_databases, door, "forward")
    # As after a failover of B to a standby that had not seen its last transactions.
    pair_of_databases.run(
        "b",
        "UPDATE tracseq_migrate.ownership SET owner = 'a', direction = 'forward';"
        ' ALTER TABLE members ENABLE ALWAYS TRIGGER "tracseq_migrate_fence_lab$members";'
        ' ALTER TABLE members DISABLE TRIGGER "tracseq_migrate_capture_lab$members"',
    )
    with pytest.raises(Residue, match="does not know it any more"):
        recover(
            pair_of_databases.sessions, [opened(pair_of_databases.sessions)], "forward", door, by="the next"
        )
