"""Foreign keys within the set, unique values with children, and partitions: whatever order changes come in."""

from __future__ import annotations

import pytest

from tests.replication.applying.pairs import Stage, Wanted, set_up
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.applying import Stuck

TREE = """
CREATE TABLE parent (id int PRIMARY KEY, code text UNIQUE, boss int REFERENCES parent);
CREATE TABLE child (id int PRIMARY KEY, parent_id int {child}, note text);
"""
BOTH = [Wanted("parent", "parent"), Wanted("child", "child")]


def family(databases: PairOfDatabases, action: str = "") -> Stage:
    reference = f"NOT NULL REFERENCES parent {action}"
    stage = set_up(
        databases, TREE.format(child="NOT NULL REFERENCES parent"), TREE.format(child=reference), BOTH
    )
    databases.run(
        "a",
        """
        INSERT INTO parent SELECT i, 'c' || i, nullif(i / 2, 0) FROM generate_series(1, 40) i;
        INSERT INTO child SELECT i, 1 + i % 40, 'n' || i FROM generate_series(1, 200) i
        """,
    )
    return stage


ACTIONS = ["", "ON DELETE CASCADE", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED"]


@pytest.mark.parametrize("action", ACTIONS)
def test_children_move_and_their_old_parents_go(pair_of_databases: PairOfDatabases, action: str) -> None:
    stage = family(pair_of_databases, action)
    stage.drain(limit=10)
    assert stage.differences() == []
    pair_of_databases.run(
        "a",
        """
        UPDATE child SET parent_id = 40 - parent_id % 20 WHERE parent_id <= 20;
        UPDATE parent SET boss = 30 WHERE boss <= 20;
        DELETE FROM parent WHERE id <= 20;
        INSERT INTO parent VALUES (100, 'c3', 101), (101, 'c4', NULL);
        UPDATE parent SET boss = 100 WHERE id = 101;
        INSERT INTO child VALUES (1000, 100, 'x')
        """,
    )
    stage.drain(limit=7)
    assert stage.differences() == []


@pytest.mark.parametrize("action", ACTIONS)
def test_codes_change_places_while_children_refer_to_the_rows(
    pair_of_databases: PairOfDatabases, action: str
) -> None:
    stage = family(pair_of_databases, action)
    stage.drain()
    pair_of_databases.run(
        "a", "UPDATE parent SET code = 'tmp' || id; UPDATE parent SET code = 'c' || (41 - id)"
    )
    stage.drain()
    assert stage.differences() == []
    assert pair_of_databases.rows("b", "SELECT count(*) FROM child") == [(200,)]


def test_a_ring_of_checked_values_over_a_cascade_keeps_to_the_check(
    pair_of_databases: PairOfDatabases,
) -> None:
    schema = """
    CREATE TABLE people (id int PRIMARY KEY, email varchar(12) NOT NULL UNIQUE
        CHECK (email ~ '^[a-z0-9._%+-]+@[a-z0-9.-]+[.][a-z]{2,}$'));
    CREATE TABLE tokens (id int PRIMARY KEY, person int NOT NULL REFERENCES people ON DELETE CASCADE);
    """
    stage = set_up(pair_of_databases, schema, schema, [Wanted("people", "people")])
    pair_of_databases.run(
        "a", "INSERT INTO people VALUES (1, 'ada@lab.org'), (2, 'bob@lab.org'), (3, 'eve@lab.org')"
    )
    stage.drain()
    pair_of_databases.run("b", "INSERT INTO tokens VALUES (1, 1), (2, 2)")
    pair_of_databases.run(
        "a",
        """
        UPDATE people SET email = 'tmp@lab.org' WHERE id = 1; UPDATE people SET email = 'ada@lab.org' WHERE id = 2;
        UPDATE people SET email = 'bob@lab.org' WHERE id = 3; UPDATE people SET email = 'eve@lab.org' WHERE id = 1
        """,
    )
    stage.drain()
    assert stage.differences() == []
    assert pair_of_databases.rows("b", "SELECT count(*) FROM tokens") == [(2,)]


def test_a_circle_of_foreign_keys(pair_of_databases: PairOfDatabases) -> None:
    schema = """
    CREATE TABLE one (id int PRIMARY KEY, two int);
    CREATE TABLE two (id int PRIMARY KEY, one int REFERENCES one);
    ALTER TABLE one ADD FOREIGN KEY (two) REFERENCES two DEFERRABLE;
    """
    stage = set_up(pair_of_databases, schema, schema, [Wanted("one", "one"), Wanted("two", "two")])
    pair_of_databases.run(
        "a",
        """
        BEGIN; SET CONSTRAINTS ALL DEFERRED;
        INSERT INTO one SELECT i, i FROM generate_series(1, 20) i; INSERT INTO two SELECT i, i FROM generate_series(1, 20) i;
        COMMIT; UPDATE one SET two = NULL WHERE id > 10; DELETE FROM two WHERE id > 15
        """,
    )
    stage.drain(limit=3)
    assert stage.differences() == []
    pair_of_databases.run(
        "a", "BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM two; DELETE FROM one; COMMIT"
    )
    stage.drain(limit=3)
    assert pair_of_databases.rows("b", "SELECT (SELECT count(*) FROM one) + (SELECT count(*) FROM two)") == [
        (0,)
    ]


def test_truncate_cascades_to_the_set(pair_of_databases: PairOfDatabases) -> None:
    stage = family(pair_of_databases)
    stage.drain()
    pair_of_databases.run("a", "TRUNCATE parent CASCADE; INSERT INTO parent VALUES (2, 'two', NULL)")
    stage.drain(limit=1)
    assert stage.differences() == []
    assert pair_of_databases.rows("b", "SELECT count(*) FROM child") == [(0,)]


def test_exclusions_change_places(pair_of_databases: PairOfDatabases) -> None:
    schema = "CREATE TABLE slots (id int PRIMARY KEY, at int4range, EXCLUDE USING gist (at WITH &&))"
    stage = set_up(pair_of_databases, schema, schema, [Wanted("slots", "slots")])
    pair_of_databases.run(
        "a", "INSERT INTO slots SELECT i, int4range(i * 10, i * 10 + 10) FROM generate_series(1, 6) i"
    )
    stage.drain()
    pair_of_databases.run(
        "a",
        "UPDATE slots SET at = int4range(id * 10 + 1000, id * 10 + 1001);"
        "UPDATE slots SET at = int4range((7 - id) * 10, (7 - id) * 10 + 10)",
    )
    stage.drain()
    assert stage.differences() == []


def test_a_unique_value_that_another_owner_has_is_named_and_loses_nothing(
    pair_of_databases: PairOfDatabases,
) -> None:
    stage = set_up(
        pair_of_databases,
        "CREATE TABLE t (id int PRIMARY KEY, code text)",
        "CREATE TABLE t (id int PRIMARY KEY, code text CONSTRAINT one_code UNIQUE)",
        [Wanted("t", "t")],
    )
    pair_of_databases.run("a", "INSERT INTO t VALUES (1, 'same'), (2, 'same'), (3, 'other')")
    with stage.applier() as applier, pytest.raises(Stuck) as stuck:
        applier.drain(limit=1)
    assert stuck.value.constraint == "one_code"
    pair_of_databases.run("a", "UPDATE t SET code = 'mended' WHERE id = 2")
    stage.drain()
    assert stage.differences() == []


def test_partitions_on_either_side(pair_of_databases: PairOfDatabases) -> None:
    parts = """
    CREATE TABLE log (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
    CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
    """
    stage = set_up(pair_of_databases, parts, parts, [Wanted("log", "log")])
    pair_of_databases.run(
        "a",
        """
        INSERT INTO log SELECT i, date '2020-06-01' + i * 10, 'v' FROM generate_series(1, 40) i;
        INSERT INTO log_1 VALUES (500, '2020-03-03', 'direct');
        UPDATE log SET day = day + 200 WHERE id < 5
        """,
    )
    stage.drain()
    assert stage.differences() == []
    pair_of_databases.run("a", "TRUNCATE log_2; UPDATE log SET day = day - 100 WHERE id BETWEEN 5 AND 9")
    stage.drain()
    assert stage.differences() == []
