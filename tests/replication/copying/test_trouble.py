"""What can be wrong while rows are copied: each is refused by name or outlived, and what was copied stays."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.replication.copying import people
from tests.replication.copying.people import catalogs, pair, replication
from tests.replication.copying.test_copy import SMALL, assert_equal, install, made, texts
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports.sql import SqlFailed, Unreachable
from tracseq_migrate.replication.building import build
from tracseq_migrate.replication.control import ownership
from tracseq_migrate.replication.control.naming import lock_number
from tracseq_migrate.replication.copying import copy, preparing
from tracseq_migrate.replication.copying.throttling import ACTIVE, STANDBY_LAG, throttled
from tracseq_migrate.replication.crew import HANDS
from tracseq_migrate.replication.pair import Pair, Replication, Seeded
from tracseq_migrate.replication.reverting import revert


def altered(moved: Replication, name: str, change: Callable[[Pair], Pair]) -> Replication:
    return Replication(
        moved.name,
        moved.database_a,
        moved.database_b,
        tuple(change(each) if each.name == name else each for each in moved.pairs),
        moved.digest,
        moved.texts,
    )


def with_fields(one: Pair, **fields: object) -> Pair:
    return replace(one, **fields)  # type: ignore[arg-type]


def test_rows_of_b_that_nothing_explains_are_refused_and_nothing_is_touched(
    pair_of_databases: PairOfDatabases,
) -> None:
    moved, epoch = made(pair_of_databases)
    pair_of_databases.run("b", "INSERT INTO people (email, created_at) VALUES ('stray@lab.local', now())")
    before = catalogs(pair_of_databases)[1].shape()

    with pytest.raises(StepFailed, match=r"people is not empty: 1 rows that the mapping does not explain"):
        copy(pair_of_databases.sessions, moved, epoch)

    assert catalogs(pair_of_databases)[1].shape() == before
    assert pair_of_databases.rows("b", "SELECT count(*) FROM people") == [(2,)]
    assert pair_of_databases.rows("b", "SELECT count(*) FROM tracseq_migrate.put_away") == [(0,)]


def test_a_seeded_row_that_is_kept_survives_there_and_back(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    databases.run("b", "UPDATE people SET email = 'robot@lab.local'")
    kept = databases.rows("b", "SELECT people::text FROM people")
    robot = (Seeded("b.email = 'robot@lab.local'", "keep", "the service's own"),)
    moved = altered(moved, "people", lambda one: with_fields(one, seeded=robot))

    copied = copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)
    build(databases.sessions, moved, epoch)

    assert_equal(databases, moved)
    assert databases.rows("b", "SELECT count(*) FROM people") == [(302,)]
    assert revert(databases.sessions, moved, epoch).rows == copied.rows
    assert databases.rows("b", "SELECT people::text FROM people") == kept


def test_a_seeded_row_that_others_refer_to_is_not_replaced(pair_of_databases: PairOfDatabases) -> None:
    moved, epoch = made(pair_of_databases)
    pair_of_databases.run("b", "INSERT INTO sessions (person) SELECT id FROM people")

    with pytest.raises(
        StepFailed, match=r"1 rows of public.sessions refer to rows of people that were seeded"
    ):
        copy(pair_of_databases.sessions, moved, epoch)

    assert pair_of_databases.rows("b", "SELECT count(*) FROM sessions") == [(1,)]


def test_copied_rows_that_others_refer_to_are_not_taken_away(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    copy(databases.sessions, moved, epoch)
    build(databases.sessions, moved, epoch)
    databases.run("b", "INSERT INTO sessions (person) SELECT id FROM people LIMIT 3")

    with pytest.raises(
        StepFailed, match=r"3 rows of public.sessions refer to copied rows of people"
    ) as failed:
        revert(databases.sessions, moved, epoch)

    assert "public.sessions" in failed.value.hint
    assert databases.rows("b", "SELECT count(*) FROM sessions") == [(3,)]
    databases.run("b", "DELETE FROM sessions")
    assert revert(databases.sessions, moved, epoch).rows == 901
    assert databases.rows("b", "SELECT email FROM people") == [("admin@lab.local",)]


def test_b_is_not_emptied_once_it_owns_the_rows(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    copy(databases.sessions, moved, epoch)
    databases.run("b", "UPDATE tracseq_migrate.ownership SET owner = 'b', direction = 'back'")

    with pytest.raises(StepFailed, match="owns the rows of move"):
        revert(databases.sessions, moved, epoch)

    assert databases.rows("b", "SELECT count(*) FROM people") == [(301,)]


def test_a_row_that_does_not_fit_is_named_and_what_is_copied_stays(
    pair_of_databases: PairOfDatabases,
) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    databases.run("a", "UPDATE people SET role = 'emperor' WHERE email = 'p200@lab.local'")

    with pytest.raises(StepFailed, match=r'people -> people: a row does not fit.*"emperor"'):
        copy(databases.sessions, moved, epoch, workers=1, chunk_bytes=SMALL)

    done = databases.rows("b", "SELECT pair, number, at FROM tracseq_migrate.chunk WHERE at IS NOT NULL")
    databases.run("a", "UPDATE people SET role = 'boss' WHERE email = 'p200@lab.local'")
    copied = copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)
    still = databases.rows("b", "SELECT pair, number, at FROM tracseq_migrate.chunk")
    assert set(done) <= set(still)
    assert copied.rows == 901
    assert_equal(databases, moved)


def test_a_column_that_was_dropped_in_the_middle_is_named(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    databases.run("a", "ALTER TABLE people DROP COLUMN balance")

    with pytest.raises(StepFailed, match=r"people -> people: .*balance.*42703") as failed:
        copy(databases.sessions, moved, epoch)

    assert "altered" in failed.value.hint


class Enough(Exception):
    """Somebody wants it to stop."""


def test_whoever_watches_can_stop_it_and_it_goes_on_from_there(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    asked = 0

    def some() -> float:
        nonlocal asked
        asked += 1
        # After some chunks the copy is held up, until the one who watches loses patience.
        return 0.0 if asked <= 8 else 60.0

    def check() -> None:
        if asked > 8:
            raise Enough

    with pytest.raises(Enough):
        copy(databases.sessions, moved, epoch, workers=1, chunk_bytes=SMALL, throttle=some, check=check)

    ((done, rows),) = databases.rows(
        "b", "SELECT count(at), coalesce(sum(rows), 0)::bigint FROM tracseq_migrate.chunk"
    )
    assert done == 8
    copied = copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)
    assert (copied.rows, copied.resumed_rows) == (901, rows)
    assert_equal(databases, moved)


def test_an_older_claim_copies_nothing_more(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    with databases.open("a") as a, databases.open("b") as b:
        newer = ownership.claim(a, b, moved.name, by="somebody else").epoch

    with pytest.raises(ownership.Displaced, match="somebody else"):
        copy(databases.sessions, moved, epoch)
    with pytest.raises(ownership.Displaced):
        build(databases.sessions, moved, epoch)

    assert databases.rows("b", "SELECT email FROM people") == [("admin@lab.local",)]
    assert copy(databases.sessions, moved, newer).rows == 901


def test_a_table_that_is_locked_for_a_while_is_waited_for(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    with databases.writer("b", autocommit=False) as connection:
        connection.execute("LOCK TABLE things IN SHARE MODE")
        threading.Timer(1.5, connection.commit).start()
        copied = copy(databases.sessions, moved, epoch)
    assert copied.rows == 901


def test_who_holds_a_lock_for_too_long_is_named(
    pair_of_databases: PairOfDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    monkeypatch.setattr(preparing, "_LOCK_PATIENCE", 0.5)
    with psycopg.connect(databases.dsns["b"], application_name="a report") as connection:
        connection.execute("SELECT * FROM things")
        with pytest.raises(StepFailed, match="a table is locked by others") as failed:
            copy(databases.sessions, moved, epoch)
    assert "a report" in failed.value.hint
    assert databases.rows("b", "SELECT count(*) FROM tracseq_migrate.chunk") == [(0,)]


def test_rows_that_a_unique_index_of_b_forbids_are_named_when_it_is_built(
    pair_of_databases: PairOfDatabases,
) -> None:
    databases = pair_of_databases
    databases.run("a", people.OLD)
    databases.run("b", people.NEW + "CREATE UNIQUE INDEX one_label ON things (upper(label));")
    people.fill(databases, 300)
    databases.run("a", "UPDATE things SET label = 'Thing 8' WHERE id = 7")
    moved = replication(databases)
    epoch = install(databases, moved)
    copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)

    with pytest.raises(StepFailed, match=r"the rows do not fit index one_label \(things\).*THING 8"):
        build(databases.sessions, moved, epoch)

    databases.run("b", "UPDATE things SET label = 'Thing 8 too' WHERE label = 'Thing 8'")
    build(databases.sessions, moved, epoch)
    assert databases.rows(
        "b", "SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_label'::regclass"
    ) == [(True,)]


def test_what_a_stopped_process_still_holds_is_taken_from_it(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)
    databases.run("b", "TRUNCATE marks; UPDATE tracseq_migrate.chunk SET at = NULL WHERE pair = 'marks'")
    with databases.open("b") as stopped:
        stopped.rows("SELECT pg_advisory_lock_shared($1::int, $2::int)", [HANDS, lock_number(moved.name)])
        stopped.begin()
        stopped.rows("SELECT 1 FROM tracseq_migrate.chunk WHERE pair = 'marks' FOR UPDATE")

        copied = copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)

        with pytest.raises(Unreachable):
            stopped.rows("SELECT 1")
    assert copied.rows == 901
    assert_equal(databases, moved)


def test_connections_that_are_cut_all_the_time_only_cost_time(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases, count=3_000)
    ended = threading.Event()
    cut = 0

    def cutting() -> None:
        nonlocal cut
        with databases.superuser("a") as a, databases.superuser("b") as b:
            while not ended.wait(0.25):
                for connection in (a, b):
                    cut += connection.execute(
                        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l"
                        " WHERE l.locktype = 'advisory' AND l.classid = %s",
                        [HANDS],
                    ).rowcount

    thread = threading.Thread(target=cutting)
    thread.start()
    try:
        copied = copy(databases.sessions, moved, epoch, chunk_bytes=SMALL, throttle=_now_and_then(0.02))
    finally:
        ended.set()
        thread.join()
    assert cut
    assert copied.rows == 9_001
    assert_equal(databases, moved)


def _now_and_then(seconds: float) -> Callable[[], float]:
    turns = threading.local()

    def throttle() -> float:
        turns.waited = not getattr(turns, "waited", False)
        return seconds if turns.waited else 0.0

    return throttle


def test_a_pair_that_cannot_travel_in_binary_travels_as_text(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    moved = altered(moved, "people", lambda one: with_fields(one, binary=False))

    copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)

    assert_equal(databases, moved)


PARTED = """
CREATE TABLE notes (at date NOT NULL, number int NOT NULL, body text, PRIMARY KEY (at, number)) PARTITION BY RANGE (at);
CREATE TABLE notes_old PARTITION OF notes FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE notes_new PARTITION OF notes FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
CREATE INDEX notes_body ON notes (body);
CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.body := 'loud'; RETURN NEW; END$$;
CREATE TRIGGER loud BEFORE INSERT ON notes_new FOR EACH ROW EXECUTE FUNCTION loud();
"""


def test_partitioned_tables_are_copied_whole_and_only_where_the_filter_says(
    pair_of_databases: PairOfDatabases,
) -> None:
    databases = pair_of_databases
    for side in ("a", "b"):
        databases.run(side, PARTED)
    databases.run(
        "a",
        "ALTER TABLE notes_new DISABLE TRIGGER loud;"
        "INSERT INTO notes SELECT date '2023-01-01' + n, n, repeat('x', 50) || n FROM generate_series(1, 3000) AS n; ANALYZE",
    )
    before = catalogs(databases)[1].shape()
    a, b = catalogs(databases)
    columns = {"at": ("a.at", "date"), "number": ('a."number"', "integer"), "body": ("a.body", "text")}
    keys = ("at", "number")
    notes = pair(a, b, "notes", keys, keys, columns, where_a="a.number % 3 > 0")
    moved = Replication("move", "a", "b", (notes,), "", {})
    epoch = install(databases, moved)

    copied = copy(databases.sessions, moved, epoch, chunk_bytes=SMALL)

    assert copied.chunks > 4
    assert copied.rows == 2_000
    there, here = texts(databases, notes)
    assert [row for row in there if int(row[1]) % 3] == here
    build(databases.sessions, moved, epoch)
    revert(databases.sessions, moved, epoch)
    assert catalogs(databases)[1].shape() == before
    assert databases.rows("b", "SELECT count(*) FROM notes") == [(0,)]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    folder.mkdir()
    made_one = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made_one.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_and_when_there_is_room_again_it_goes_on(
    pair_of_databases: PairOfDatabases, tmp_path: Path
) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases, count=10_000)
    with small_disk(tmp_path / "small"):
        with databases.superuser("b") as connection:
            name = f"small_{os.getpid()}_{time.monotonic_ns()}"
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{tmp_path / 'small'}'".encode())
            connection.execute(f"ALTER TABLE people SET TABLESPACE {name}".encode())
        try:
            with pytest.raises(StepFailed, match="No space left on device") as failed:
                copy(databases.sessions, moved, epoch, workers=1, chunk_bytes=256 << 10)
        finally:
            with databases.superuser("b") as connection:
                connection.execute("ALTER TABLE people SET TABLESPACE pg_default")
                connection.execute(f"DROP TABLESPACE {name}".encode())
    assert "Make room" in failed.value.hint
    ((before,),) = databases.rows("b", "SELECT coalesce(sum(rows), 0)::bigint FROM tracseq_migrate.chunk")
    assert before > 0
    copied = copy(databases.sessions, moved, epoch)
    assert (copied.rows, copied.resumed_rows) == (30_001, before)
    assert_equal(databases, moved)


def test_a_copy_waits_while_a_query_says_so(pair_of_databases: PairOfDatabases) -> None:
    databases = pair_of_databases
    moved, epoch = made(databases)
    databases.run("a", "CREATE TABLE load (number numeric); INSERT INTO load VALUES (9)")
    waited = threading.Event()

    def check() -> None:
        if not waited.is_set():
            # The hands have asked by now, and were told to wait; nothing may have been begun.
            waited.set()
            assert databases.rows("b", "SELECT count(at) FROM tracseq_migrate.chunk") == [(0,)]
            databases.run("a", "UPDATE load SET number = 2")

    with throttled(databases.sessions, "a", "SELECT number FROM public.load", 5, every=0.0) as throttle:
        assert throttle() > 0
        copied = copy(databases.sessions, moved, epoch, throttle=throttle, check=check)
        assert throttle() == 0
        databases.run("a", "DELETE FROM load")
        assert throttle() > 0, "no answer is not a good one"

    assert waited.is_set()
    assert copied.rows == 901


@pytest.mark.parametrize("query", [ACTIVE, STANDBY_LAG])
def test_the_ready_made_questions_are_answered(pair_of_databases: PairOfDatabases, query: str) -> None:
    with throttled(pair_of_databases.sessions, "a", query, 1_000) as throttle:
        assert throttle() == 0


def test_a_question_that_is_none_is_refused_at_once(pair_of_databases: PairOfDatabases) -> None:
    with (
        pytest.raises(SqlFailed, match="one number"),
        throttled(pair_of_databases.sessions, "a", "SELECT 1, 2", 1),
    ):
        raise AssertionError("it was taken")
