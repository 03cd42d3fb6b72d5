"""What went wrong with other tools that move tables between owners, a test each; each was seen to fail without its guard.

Not here, because they are bugs of a copy: going on after a table failed, and ending with success after part of the rows
(`tests/replication/copying/test_trouble.py`, `tests/replication/applying/test_stuck.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.replication.cutover.lab import SCHEMA_A, SCHEMA_B, Door, moved, opened
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import Unreachable
from tracseq_migrate.replication.cutover import cut_over, recover


def _over(
    databases: PairOfDatabases, door: Door, over: str, at: Callable[[str], None] = lambda _: None
) -> None:
    door.over = over
    replications = [opened(databases.sessions)]
    cut_over(
        databases.sessions, replications, "forward" if over == "b" else "back", door, by="the test", at=at
    )


def _when(point: str, act: Callable[[], object]) -> Callable[[str], None]:
    """Do it once, when the protocol comes to a point."""
    done: list[str] = []

    def at(name: str) -> None:
        if name == point and not done:
            done.append(name)
            act()

    return at


def _takes_writes(databases: PairOfDatabases) -> dict[str, bool]:
    found = {}
    for side, table in (("a", "accounts"), ("b", "members")):
        with psycopg.connect(databases.dsns[side], autocommit=True) as connection:
            try:
                connection.execute(f"UPDATE {table} SET id = id WHERE false".encode())
                found[side] = True
            except psycopg.errors.SerializationFailure:
                found[side] = False
    return found


def _named(databases: PairOfDatabases, name: str) -> list[tuple[object, ...]]:
    return databases.rows("b", f"SELECT full_name FROM members WHERE full_name = '{name}'")


@pytest.mark.parametrize("point", ["predrained", "held"])
def test_what_is_written_after_the_last_drain_is_not_left_behind(
    pair_of_databases: PairOfDatabases, point: str
) -> None:
    """The target of the drain was read before the locks; the last rows were lost."""
    moved(pair_of_databases)
    late = _when(
        point, lambda: pair_of_databases.run("a", "INSERT INTO accounts (name, balance) VALUES ('late', 1)")
    )
    _over(pair_of_databases, Door(), "b", late)
    assert _named(pair_of_databases, "late") == [("late",)]


@pytest.mark.parametrize("seconds", [0.08, 0.4])
def test_a_transaction_that_is_open_at_the_switch_is_waited_for(
    pair_of_databases: PairOfDatabases, seconds: float
) -> None:
    """It committed on the old side after everybody had gone to the new one."""
    moved(pair_of_databases)
    writer = psycopg.connect(pair_of_databases.dsns["a"])
    ending: list[threading.Thread] = []

    def begin() -> None:
        writer.execute("INSERT INTO accounts (name, balance) VALUES ('open', 1)")

        def end() -> None:
            time.sleep(seconds)
            writer.commit()

        ending.append(threading.Thread(target=end))
        ending[0].start()

    try:
        _over(pair_of_databases, Door(), "b", _when("held", begin))
    finally:
        ending[0].join()
        writer.close()
    assert _named(pair_of_databases, "open") == [("open",)]


class _Deaf(Door):
    """A proxy that nobody can tell to let go."""

    def release(self) -> None:
        raise Unreachable("the proxy", "its socket is gone")


def test_a_way_out_that_fails_itself_leaves_the_old_owner(pair_of_databases: PairOfDatabases) -> None:
    """The cancelling failed as well, and nobody could write any more."""
    moved(pair_of_databases)

    def fail() -> None:
        raise StepFailed("no more")

    with pytest.raises((StepFailed, Unreachable)):
        _over(pair_of_databases, _Deaf(), "b", _when("fencing", fail))
    assert _takes_writes(pair_of_databases) == {"a": True, "b": False}
    _over(pair_of_databases, Door(), "b")
    assert _takes_writes(pair_of_databases) == {"a": False, "b": True}


def test_both_sides_refuse_for_a_moment_and_one_command_ends_it(pair_of_databases: PairOfDatabases) -> None:
    """Both were denied, and it stayed so."""
    moved(pair_of_databases)

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    door = Door()
    with pytest.raises(Killed):
        _over(pair_of_databases, door, "b", _when("fenced lab", die))
    assert _takes_writes(pair_of_databases) == {"a": False, "b": False}
    recover(pair_of_databases.sessions, [opened(pair_of_databases.sessions)], "forward", door, by="the next")
    assert _takes_writes(pair_of_databases) == {"a": False, "b": True}


def test_nothing_is_switched_to_tables_that_never_followed(pair_of_databases: PairOfDatabases) -> None:
    """It switched before anything was copied."""
    pair_of_databases.run("a", SCHEMA_A)
    pair_of_databases.run("b", SCHEMA_B)
    door = Door()
    with pytest.raises(StepFailed, match="does not follow yet"):
        _over(pair_of_databases, door, "b")
    assert (door.side, door.held_until) == ("a", 0.0)
    assert _takes_writes(pair_of_databases) == {"a": True, "b": True}


@pytest.mark.parametrize("point", ["opened lab", "switched", "told"])
def test_the_first_write_on_the_new_side_has_its_way_back(
    pair_of_databases: PairOfDatabases, point: str
) -> None:
    """The position of the way back was taken after the switch, and what came between was never carried back."""
    moved(pair_of_databases)
    door = Door()
    first = _when(
        point,
        lambda: pair_of_databases.run("b", "INSERT INTO members (full_name, cents) VALUES ('first', 1)"),
    )
    _over(pair_of_databases, door, "b", first)
    _over(pair_of_databases, door, "a")
    assert pair_of_databases.rows("a", "SELECT balance FROM accounts WHERE name = 'first'") == [(1,)]


def test_numbers_given_out_at_the_last_moment_are_not_given_out_again(
    pair_of_databases: PairOfDatabases,
) -> None:
    """Sequences were set from values that had been read before the locks."""
    moved(pair_of_databases)

    def take() -> None:
        pair_of_databases.run("a", "SELECT nextval('accounts_id_seq') FROM generate_series(1, 500)")

    _over(pair_of_databases, Door(), "b", _when("held", take))
    ((there,),) = pair_of_databases.rows("b", "SELECT nextval('members_id_seq')")
    ((taken,),) = pair_of_databases.rows("a", "SELECT last_value FROM accounts_id_seq")
    assert int(str(there)) > int(str(taken)) >= 550
