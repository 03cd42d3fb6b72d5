"""Exact while people write: snapshots that the applier aligns, on a side that never stands still."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests.real_parts import wait_until
from tests.replication.applying.pairs import Stage, Wanted, set_up, turned
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.ports.sql import SqlFailed, Unreachable
from tracseq_migrate.replication.applying import Applier
from tracseq_migrate.replication.comparing import Comparison, Snapshots, aligned, apart, compare
from tracseq_migrate.replication.pair import Direction

SCHEMA_A = """
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, score numeric);
CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people (id) ON DELETE CASCADE, said varchar(200));
"""
SCHEMA_B = """
CREATE TABLE persons (id bigint PRIMARY KEY, full_name varchar(300) NOT NULL, score numeric);
CREATE TABLE notes (id bigint PRIMARY KEY, person bigint REFERENCES persons (id), said text);
"""
MAPPINGS = [
    Wanted("people", "persons", {"id": "id", "full_name": "name", "score": "score"}),
    Wanted("notes", "notes"),
]


@pytest.fixture
def stage(pair_of_databases: PairOfDatabases) -> Stage:
    made = set_up(pair_of_databases, SCHEMA_A, SCHEMA_B, MAPPINGS)
    pair_of_databases.run(
        "a", "INSERT INTO people SELECT i, 'person ' || i, i FROM generate_series(1, 500) i"
    )
    pair_of_databases.run(
        "a", "INSERT INTO notes SELECT i, i % 500 + 1, 'said ' || i FROM generate_series(1, 1000) i"
    )
    made.drain()
    return made


def compared(stage: Stage, applier: Applier, direction: Direction = "forward", **given: Any) -> Comparison:
    sessions, replication = stage.databases.sessions, stage.replication
    return compare(replication, lambda: aligned(sessions, replication, direction, applier.align), **given)


@contextmanager
def writing(stage: Stage, side: str, seed: int) -> Iterator[Callable[[], int]]:
    """Two writers, who never rest; gives how many statements have come through."""
    stopping = threading.Event()
    done = [0, 0]
    table, name = ("people", "name") if side == "a" else ("persons", "full_name")

    def write(number: int) -> None:
        dice = random.Random(seed * 2 + number)
        with stage.databases.writer(side, autocommit=False) as connection:
            while not stopping.is_set():
                try:
                    for _ in range(dice.randint(1, 4)):
                        key, other = dice.randint(1, 700), dice.randint(1, 2000)
                        statement = dice.choice(
                            (
                                f"UPDATE {table} SET {name} = 'other {other}', score = {other} / 8.0 WHERE id = {key}",
                                f"INSERT INTO {table} VALUES ({key}, 'new', NULL) ON CONFLICT (id) DO NOTHING",
                                f"DELETE FROM notes WHERE id = {other}",
                                f"INSERT INTO notes SELECT {other}, id FROM {table} WHERE id = {key} ON CONFLICT DO NOTHING",
                            )
                        )
                        connection.execute(statement.encode())
                    (connection.rollback if dice.random() < 0.1 else connection.commit)()
                    done[number] += 1
                except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                    connection.rollback()

    threads = [threading.Thread(target=write, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(done)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS, indirect=True)
def test_it_is_equal_at_every_moment_while_two_write(stage: Stage) -> None:
    with writing(stage, "a", 1) as written, stage.applier() as applier:
        for _ in range(8):
            before = written()
            comparison = compared(stage, applier)
            assert comparison.verdict == "equal"
            assert comparison.exact
            assert all(table.looks == 1 for table in comparison.tables)
            until = time.monotonic() + 10
            while written() < before + 20 and time.monotonic() < until:
                time.sleep(0.01)
            assert written() >= before + 20


def test_a_planted_difference_is_found_while_two_write(stage: Stage) -> None:
    stage.databases.run("a", "INSERT INTO people VALUES (9001, 'planted', 1)")
    with stage.applier() as applier:
        applier.drain()
        stage.databases.run(
            "b", "UPDATE persons SET score = 2 WHERE id = 9001; DELETE FROM notes WHERE id = 77"
        )
        stage.databases.run("b", "INSERT INTO persons VALUES (9002, 'nobody', NULL)")
        stage.databases.run(
            "a", "UPDATE notes SET id = 3077 WHERE id = 78"
        )  # a change that is applied in between
        with writing(stage, "a", 2):
            comparison = compared(stage, applier)
    assert comparison.verdict == "different"
    persons, notes = comparison.tables
    assert [(each.kind, each.key["id"]) for each in persons.differences] == [
        ("different", "9001"),
        ("extra", "9002"),
    ]
    assert [each.name for each in persons.differences[0].columns] == ["score"]
    # Its row may have been written anew since, or be deleted on A: nothing else may differ.
    assert [(each.kind, each.key["id"]) for each in notes.differences] in ([("missing", "77")], [])


def test_on_the_way_back_it_is_the_same(stage: Stage) -> None:
    turned(stage, "back")
    with writing(stage, "b", 3), stage.applier("back") as applier:
        for _ in range(3):
            comparison = compared(stage, applier, "back")
            assert comparison.verdict == "equal"
    stage.drain("back")
    stage.databases.run("a", "UPDATE people SET name = 'stray' WHERE id = 1")
    with stage.applier("back") as applier:
        comparison = compared(stage, applier, "back")
    assert comparison.tables[0].different == 1


def test_a_difference_that_is_gone_at_the_second_look_is_told_and_is_none(stage: Stage) -> None:
    """As a foreign writer makes one on B, and takes it back."""
    stage.databases.run("b", "UPDATE persons SET score = -1 WHERE id IN (5, 6)")

    def mended(table: object) -> None:
        stage.databases.run("b", "UPDATE persons SET score = id WHERE id = 5")

    with stage.applier() as applier:
        comparison = compared(stage, applier, told=mended)
        assert comparison.tables[0].settled == 1
        assert [each.key["id"] for each in comparison.tables[0].differences] == ["6"]
        assert comparison.tables[0].looks == 2
        stage.databases.run(
            "b", "UPDATE persons SET score = id WHERE id = 6; UPDATE persons SET score = -1 WHERE id = 5"
        )
        comparison = compared(stage, applier, told=mended)
    assert comparison.equal
    assert comparison.tables[0].settled == 1
    assert comparison.tables[0].digest_a == comparison.tables[0].digest_b


def test_a_difference_that_is_new_at_the_second_look_is_looked_at_a_third_time(stage: Stage) -> None:
    stage.databases.run("b", "UPDATE persons SET score = -1 WHERE id = 5")
    looks = []

    def more(table: object) -> None:
        looks.append(table)
        stage.databases.run("b", f"UPDATE persons SET score = -1 WHERE id = {5 + len(looks)}")

    with stage.applier() as applier:
        comparison = compared(stage, applier, tables=["persons"], told=more)
    [table] = comparison.tables
    assert table.looks == 3
    assert [each.key["id"] for each in table.differences] == ["5", "6", "7"]


def test_a_foreign_writer_is_named(stage: Stage) -> None:
    with (
        psycopg.connect(stage.databases.dsns["b"], application_name="nightly-job") as stray,
        stage.applier() as applier,
    ):
        stray.execute("UPDATE persons SET score = -1 WHERE id = 5")
        stray.commit()
        stray.execute("UPDATE persons SET score = -1 WHERE id = 6")
        comparison = compared(stage, applier)
        stray.rollback()
    [writer] = comparison.writers
    assert "nightly-job" in writer
    assert stage.databases.role in writer
    assert comparison.document()["writers"] == [writer]


def test_snapshots_that_nothing_aligns_prove_no_difference(stage: Stage) -> None:
    sessions, replication = stage.databases.sessions, stage.replication
    comparison = compare(replication, lambda: apart(sessions, replication))
    assert (comparison.verdict, comparison.exact) == ("equal", False)
    stage.databases.run("a", "UPDATE people SET name = 'later' WHERE id = 1")
    comparison = compare(replication, lambda: apart(sessions, replication))
    assert comparison.verdict == "unknown"
    assert comparison.tables[0].different == 1


def test_one_who_waits_to_empty_the_table_is_let_through(stage: Stage) -> None:
    """He waits for the applier's snapshot; a lock that waited behind him while the applier waits for us would wait for ever."""
    with stage.applier() as applier:
        emptied = threading.Event()

        def empty() -> None:
            with psycopg.connect(
                stage.databases.dsns["a"], autocommit=True, application_name="emptier"
            ) as connection:
                connection.execute("TRUNCATE notes")
            emptied.set()

        thread = threading.Thread(target=empty)

        @contextmanager
        def moment() -> Iterator[Any]:
            with applier.align() as ids:
                if not thread.is_alive() and not emptied.is_set():
                    thread.start()
                    until = time.monotonic() + 10
                    waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'emptier' AND wait_event_type = 'Lock'"
                    while not stage.databases.rows("a", waiting) and time.monotonic() < until:
                        time.sleep(0.02)
                yield ids

        sessions, replication = stage.databases.sessions, stage.replication
        comparison = compare(replication, lambda: aligned(sessions, replication, "forward", moment))
        thread.join()
    assert emptied.is_set()
    assert comparison.equal
    assert comparison.tables[1].rows_a == 0


def test_it_can_be_called_off_in_the_middle_of_a_scan(stage: Stage) -> None:
    """The scan would take hours."""

    class Enough(Exception):
        pass

    slow = "CREATE FUNCTION slow(text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT $1 FROM pg_sleep(5)'"
    stage.databases.run("a", slow)
    pair = stage.replication.pairs[0]
    columns = tuple(
        type(each)(each.column, each.up, each.wire, f"public.slow({each.text_a})", each.text_b, each.reads)
        for each in pair.columns
    )
    replication = replace(stage.replication, pairs=(replace(pair, columns=columns),))
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Enough

    with pytest.raises(Enough):
        compare(replication, lambda: apart(stage.databases.sessions, replication), check=check)
    assert not stage.databases.rows(
        "a",
        "SELECT FROM pg_stat_activity WHERE application_name LIKE 'tracseq-migrate%' AND state = 'active'",
    )


def test_a_side_that_ends_the_session_is_no_answer(stage: Stage) -> None:
    sessions, replication = stage.databases.sessions, stage.replication

    @contextmanager
    def cut() -> Iterator[Snapshots]:
        with apart(sessions, replication) as snapshots:
            with stage.databases.superuser("b") as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s)", [snapshots.b.backend_pid])
            yield snapshots

    with pytest.raises((Unreachable, SqlFailed)):
        compare(replication, cut)


def test_a_table_that_somebody_keeps_for_himself_is_no_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracseq_migrate.replication.comparing.snapshots._LOCKED_OUT", "200ms")
    sessions, replication = stage.databases.sessions, stage.replication
    with stage.databases.writer("a", autocommit=False) as connection:
        connection.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SqlFailed) as raised:
            compare(replication, lambda: apart(sessions, replication))
        connection.rollback()
    assert raised.value.sqlstate == "55P03"


def test_a_table_of_an_unknown_name_is_refused(stage: Stage) -> None:
    with pytest.raises(KeyError):
        compare(
            stage.replication, lambda: apart(stage.databases.sessions, stage.replication), tables=["nobody"]
        )


def test_a_scan_ends_soon_after_the_tool_was_killed(stage: Stage) -> None:
    """The server looks after a client that says nothing, and lets its snapshot go."""
    slow = "CREATE FUNCTION slow(text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT $1 FROM pg_sleep(0.2)'"
    stage.databases.run("a", slow)
    asking = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tracseq-migrate: compare%'"
    child = subprocess.Popen([sys.executable, "-c", _SCAN, json.dumps(dict(stage.databases.dsns))])
    try:
        wait_until(
            lambda: stage.databases.rows("a", f"{asking} AND state = 'active'") == [(1,)], "the scan to begin"
        )
    finally:
        child.kill()
        child.wait()
    wait_until(lambda: stage.databases.rows("a", asking) == [(0,)], "the scan, of 100 s, to end")


_SCAN = """
import json, sys
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.replication.comparing import apart
from tracseq_migrate.replication.pair import Replication

with apart(PostgresSessions(json.loads(sys.argv[1])), Replication("r", "a", "b", (), "", {})) as snapshots:
    snapshots.a.rows("SELECT public.slow(name) FROM public.people")
"""
