"""What changes on A is on B after the log was drained: every kind of change, on real servers."""

from __future__ import annotations

import pytest

from tests.replication.applying.pairs import Stage, Wanted, set_up
from tests.replication.databases import COMBINATIONS, PairOfDatabases

SCHEMA_A = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE people (
    id int PRIMARY KEY, name text, email varchar(60) UNIQUE, born timestamp, score numeric, weight float8, tags text[],
    data jsonb, raw bytea, span interval, feeling mood, note varchar(20)
);
"""
SCHEMA_B = """
CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE DOMAIN short AS varchar(20);
CREATE TABLE persons (
    id bigint PRIMARY KEY, full_name text NOT NULL, email varchar(60) UNIQUE, born_at timestamptz, score numeric,
    weight float8, tags text[], data jsonb, raw bytea, span interval, feeling mood, note short,
    made_here timestamptz DEFAULT now(), doubled numeric GENERATED ALWAYS AS (score * 2) STORED
);
"""
PEOPLE = Wanted(
    "people",
    "persons",
    {
        "id": "id",
        "full_name": "coalesce(a.name, '')",
        "email": "email",
        "born_at": "a.born AT TIME ZONE 'UTC'",
        "score": "score",
        "weight": "weight",
        "tags": "tags",
        "data": "data",
        "raw": "raw",
        "span": "span",
        "feeling": "feeling",
        "note": "note",
    },
)


@pytest.fixture
def people(pair_of_databases: PairOfDatabases) -> Stage:
    return set_up(pair_of_databases, SCHEMA_A, SCHEMA_B, [PEOPLE])


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS, indirect=True)
def test_every_type_comes_over_in_each_direction_of_versions(pair_of_databases: PairOfDatabases) -> None:
    stage = set_up(pair_of_databases, SCHEMA_A, SCHEMA_B, [PEOPLE])
    pair_of_databases.run(
        "a",
        r"""
        INSERT INTO people VALUES
            (1, 'Ada', 'ada@x', '1815-12-10 01:02:03.456789', 1.00, 'NaN', '{a,NULL,"b,c"}', '{"a": [1.0, 1.00]}',
             '\x00ff', '1 mon -3 days 00:00:00.000001', 'good', 'short'),
            (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
            (3, '', '', 'infinity', 'NaN', '-0', '{}', 'null', '', '0', 'bad', ''),
            (4, E'line\nbreak\t\\ " '' , ü', 'q@x', '0044-03-15 BC', 1e-40, 1e-300, '{{1,2},{3,4}}', '"x"', '\x5c',
             '-178000000 years', 'good', 'abcdefghijklmnopqrst');
        """,
    )
    assert stage.drain() == 4
    assert stage.differences() == []
    assert pair_of_databases.rows("b", "SELECT count(*) FROM persons") == [(4,)]


def test_insert_update_delete_and_key_change(people: Stage) -> None:
    database = people.databases
    database.run(
        "a", "INSERT INTO people (id, name, score) SELECT i, 'n' || i, i FROM generate_series(1, 50) i"
    )
    people.drain()
    assert people.differences() == []
    database.run(
        "a",
        """
        UPDATE people SET name = name || '!' WHERE id % 3 = 0;
        DELETE FROM people WHERE id % 7 = 0;
        UPDATE people SET id = id + 1000 WHERE id % 5 = 0;
        INSERT INTO people (id, name) VALUES (5, 'again'), (77, 'new');
        UPDATE people SET score = 1.50 WHERE id = 1; UPDATE people SET score = 1.5 WHERE id = 1;
        """,
    )
    people.drain()
    assert people.differences() == []
    assert people.log_rows() == 0


def test_an_equal_number_of_another_scale_is_carried_over(people: Stage) -> None:
    people.databases.run("a", "INSERT INTO people (id, score) VALUES (1, 1.5)")
    people.drain()
    people.databases.run("a", "UPDATE people SET score = 1.500 WHERE id = 1")
    people.drain()
    assert people.databases.rows("b", "SELECT score::text FROM persons") == [("1.500",)]


def test_a_second_time_changes_nothing(people: Stage) -> None:
    people.databases.run("a", "INSERT INTO people (id, name) SELECT i, 'n' FROM generate_series(1, 20) i")
    people.drain()
    before = people.databases.rows("b", "SELECT id, xmin::text, ctid::text FROM persons ORDER BY id")
    people.databases.run("a", "UPDATE people SET name = name")
    with people.applier() as applier:
        batch = applier.batch()
    assert (batch.read, batch.upserted, batch.deleted, batch.remaining) == (20, 0, 0, 0)
    assert batch.oldest_seconds > 0
    assert people.databases.rows("b", "SELECT id, xmin::text, ctid::text FROM persons ORDER BY id") == before


def test_small_batches_add_up(people: Stage) -> None:
    people.databases.run(
        "a", "INSERT INTO people (id, name) SELECT i, 'n' || i FROM generate_series(1, 95) i"
    )
    with people.applier() as applier:
        sizes = [applier.batch(limit=10).read for _ in range(11)]
    assert sizes == [10] * 9 + [5, 0]
    assert people.differences() == []


def test_a_hundred_thousand_rows_in_one_statement(people: Stage) -> None:
    people.databases.run(
        "a", "INSERT INTO people (id, name, score) SELECT i, 'n' || i, i FROM generate_series(1, 100000) i"
    )
    people.drain(limit=20_000)
    people.databases.run(
        "a", "UPDATE people SET score = score + 1 WHERE id % 2 = 0; DELETE FROM people WHERE id % 10 = 1"
    )
    people.drain(limit=20_000)
    assert people.databases.rows("b", "SELECT count(*), sum(score) FROM persons") == people.databases.rows(
        "a", "SELECT count(*), sum(score) FROM people"
    )


def test_a_late_commit_with_a_lower_number_is_not_skipped(people: Stage) -> None:
    with people.databases.writer("a", autocommit=False) as late:
        late.execute("INSERT INTO people (id, name) VALUES (1, 'late')")
        people.databases.run("a", "INSERT INTO people (id, name) VALUES (2, 'early')")
        assert people.drain() == 1
        late.commit()
    assert people.drain() == 1
    assert people.differences() == []
    assert people.databases.rows("b", "SELECT id FROM persons ORDER BY id") == [(1,), (2,)]


def test_what_was_rolled_back_never_arrives(people: Stage) -> None:
    with people.databases.writer("a", autocommit=False) as writer:
        writer.execute("INSERT INTO people (id) VALUES (1)")
        writer.execute("SAVEPOINT here")
        writer.execute("INSERT INTO people (id) VALUES (2)")
        writer.execute("ROLLBACK TO SAVEPOINT here")
        writer.execute("INSERT INTO people (id) VALUES (3)")
        writer.commit()
        writer.execute("INSERT INTO people (id) VALUES (4)")
        writer.rollback()
    people.drain()
    assert people.databases.rows("b", "SELECT id FROM persons ORDER BY id") == [(1,), (3,)]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_strict_writers_are_captured(people: Stage, level: str) -> None:
    with people.databases.writer("a", autocommit=False) as writer:
        writer.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
        writer.execute("INSERT INTO people (id, name) SELECT i, 'x' FROM generate_series(1, 5) i")
        people.databases.run("a", "INSERT INTO people (id) VALUES (99)")
        people.drain()
        writer.execute("UPDATE people SET name = 'y' WHERE id < 3")
        writer.commit()
    people.drain()
    assert people.differences() == []


def test_a_replica_role_is_captured_too(people: Stage) -> None:
    with people.databases.superuser("a") as writer:
        writer.execute("SET session_replication_role = replica")
        writer.execute("INSERT INTO people (id, name) VALUES (1, 'by a replica')")
    assert people.drain() == 1
    assert people.differences() == []


def test_truncate(people: Stage) -> None:
    people.databases.run(
        "a", "INSERT INTO people (id, name) SELECT i, 'n' || i FROM generate_series(1, 30) i"
    )
    people.drain()
    people.databases.run(
        "a", "TRUNCATE people; INSERT INTO people (id, name) VALUES (3, 'after'), (400, 'new')"
    )
    people.drain()
    assert people.differences() == []
    assert people.databases.rows("b", "SELECT id FROM persons ORDER BY id") == [(3,), (400,)]


def test_truncate_with_a_small_batch_and_rows_before_it(people: Stage) -> None:
    people.databases.run(
        "a",
        """
        INSERT INTO people (id, name) SELECT i, 'n' || i FROM generate_series(1, 30) i; TRUNCATE people;
        INSERT INTO people (id, name) SELECT i, 'm' || i FROM generate_series(20, 50) i
        """,
    )
    people.drain(limit=7)
    assert people.differences() == []


def test_a_unique_swap_a_chain_and_a_ring(people: Stage) -> None:
    database = people.databases
    database.run(
        "a", "INSERT INTO people (id, email, note) SELECT i, 'e' || i, 'here' FROM generate_series(1, 9) i"
    )
    people.drain()
    database.run("b", "UPDATE persons SET made_here = '2001-01-01' WHERE id = 1")
    swap = "UPDATE people SET email = 'tmp' WHERE id = 1; UPDATE people SET email = 'e1' WHERE id = 2;"
    database.run("a", swap + "UPDATE people SET email = 'e2' WHERE id = 1")
    database.run(
        "a",
        """
        UPDATE people SET email = 'ring' WHERE id = 3; UPDATE people SET email = 'e3' WHERE id = 4;
        UPDATE people SET email = 'e4' WHERE id = 5; UPDATE people SET email = 'e5' WHERE id = 3;
        UPDATE people SET email = 'free' WHERE id = 9; UPDATE people SET email = 'e9' WHERE id = 8;
        UPDATE people SET email = 'e8' WHERE id = 7; DELETE FROM people WHERE id = 6;
        INSERT INTO people (id, email) VALUES (10, 'e6'), (11, 'e7')
        """,
    )
    people.drain()
    assert people.differences() == []
    # What the mapping knows nothing of is as it was.
    assert database.rows("b", "SELECT made_here::date::text FROM persons WHERE id = 1") == [("2001-01-01",)]


def test_a_swap_at_the_edge_of_a_batch_makes_the_batch_larger(people: Stage) -> None:
    database = people.databases
    database.run("a", "INSERT INTO people (id, email) SELECT i, 'e' || i FROM generate_series(1, 40) i")
    people.drain()
    database.run("a", "UPDATE people SET email = 'tmp' || id; UPDATE people SET email = 'e' || (41 - id)")
    people.drain(limit=3)
    assert people.differences() == []


def test_rows_enter_and_leave_by_the_filter(pair_of_databases: PairOfDatabases) -> None:
    stage = set_up(
        pair_of_databases,
        "CREATE TABLE t (id int PRIMARY KEY, v text, gone timestamptz)",
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        [Wanted("t", "t", where_a="a.gone IS NULL")],
    )
    pair_of_databases.run("a", "INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', now()), (3, 'c', NULL)")
    stage.drain()
    assert stage.differences() == []
    pair_of_databases.run(
        "a", "UPDATE t SET gone = now() WHERE id = 1; UPDATE t SET gone = NULL WHERE id = 2"
    )
    stage.drain()
    assert pair_of_databases.rows("b", "SELECT id FROM t ORDER BY id") == [(2,), (3,)]
