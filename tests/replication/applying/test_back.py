"""The way back: B's changes reach A by the lens, through A's fence; and there, back, and there again."""

from __future__ import annotations

import psycopg
import pytest

from tests.replication.applying.pairs import Stage, Wanted, set_up, turned, without
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.applying import Stuck, advance
from tracseq_migrate.replication.control.ownership import pass_fence
from tracseq_migrate.replication.pair import Seeded

SCHEMA_A = """
CREATE TYPE role AS ENUM ('admin', 'manager', 'viewer');
CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE, role role NOT NULL DEFAULT 'viewer', dept varchar(200),
    pid text NOT NULL DEFAULT 'none', office text, gone boolean NOT NULL DEFAULT false);
"""
SCHEMA_B = """
CREATE TYPE kind AS ENUM ('chief', 'guest', 'robot');
CREATE TABLE accounts (id int PRIMARY KEY, email varchar(100) UNIQUE, kind kind NOT NULL, department varchar(5),
    source text NOT NULL DEFAULT 'app', visits int NOT NULL DEFAULT 0);
INSERT INTO accounts (id, email, kind, source) VALUES (9000, 'seed@x', 'chief', 'seed');
"""
USERS = Wanted(
    "users",
    "accounts",
    {
        "id": "id",
        "email": "email",
        "kind": "CASE a.role WHEN 'viewer' THEN 'guest' ELSE 'chief' END",
        "department": "left(a.dept, 5)",
    },
    back={
        "role": (
            "CASE b.kind WHEN 'guest' THEN 'viewer'::public.role ELSE 'manager'::public.role END",
            ["kind"],
        ),
        "dept": ("b.department", ["department"]),
    },
    refused={"role": ("b.kind = 'robot'", "a robot is no user of the monolith's")},
    where_a="NOT a.gone",
    kept=("office", "dept"),
    seeded=(Seeded("b.source = 'seed'", "keep", "of the service's own"),),
)


@pytest.fixture
def users(pair_of_databases: PairOfDatabases) -> Stage:
    return begin(pair_of_databases)


def begin(databases: PairOfDatabases) -> Stage:
    stage = set_up(databases, SCHEMA_A, SCHEMA_B, [USERS])
    databases.run(
        "a",
        """
        INSERT INTO users VALUES (1, 'a@x', 'admin', 'Genomics and more', 'p1', 'r1', false),
            (2, 'b@x', 'manager', NULL, 'p2', NULL, false), (3, 'c@x', 'viewer', 'Bio', 'p3', '', false),
            (4, 'd@x', 'viewer', 'Chemistry', 'p4', 'r4', true)
        """,
    )
    stage.drain()
    return stage


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS, indirect=True)
def test_there_back_and_there_again(pair_of_databases: PairOfDatabases) -> None:
    stage = begin(pair_of_databases)
    databases = pair_of_databases
    assert stage.differences() == []
    turned(stage, "back")
    databases.run(
        "b",
        """
        UPDATE accounts SET visits = visits + 1;
        UPDATE accounts SET kind = 'guest' WHERE id = 2;
        UPDATE accounts SET department = 'Chem' WHERE id = 3;
        INSERT INTO accounts (id, email, kind) VALUES (10, 'new@x', 'chief');
        INSERT INTO accounts (id, email, kind, source) VALUES (9001, 'seed2@x', 'chief', 'seed')
        """,
    )
    stage.drain("back")
    assert databases.rows(
        "a", "SELECT id, email, role::text, dept, pid, office FROM users WHERE NOT gone ORDER BY id"
    ) == [
        (1, "a@x", "admin", "Genomics and more", "p1", "r1"),  # untouched: what the way forward cut is whole
        (2, "b@x", "viewer", None, "p2", None),
        (3, "c@x", "viewer", "Chem", "p3", ""),
        (10, "new@x", "manager", None, "none", None),
    ]
    assert databases.rows("a", "SELECT count(*) FROM users WHERE gone") == [(1,)]
    assert stage.differences() == []
    assert stage.log_rows("b") == 0
    databases.run("b", "DELETE FROM accounts WHERE id IN (1, 9001); UPDATE accounts SET id = 30 WHERE id = 3")
    stage.drain("back")
    assert stage.differences() == []
    turned(stage, "forward")
    databases.run(
        "a", "UPDATE users SET dept = 'Something long' WHERE id = 30; DELETE FROM users WHERE id = 2"
    )
    stage.drain()
    assert stage.differences() == []
    assert stage.side_rows(stage.replication.pairs[0])[0] == (30, "dept", "Something long")


def test_swaps_and_truncates_go_back_too(users: Stage) -> None:
    databases = users.databases
    turned(users, "back")
    databases.run(
        "b",
        """
        UPDATE accounts SET email = 'tmp' WHERE id = 1; UPDATE accounts SET email = 'a@x' WHERE id = 2;
        UPDATE accounts SET email = 'b@x' WHERE id = 1
        """,
    )
    users.drain("back")
    assert users.differences() == []
    # A's own columns came through the exchange.
    assert databases.rows("a", "SELECT pid FROM users ORDER BY id LIMIT 2") == [("p1",), ("p2",)]
    databases.run("b", "TRUNCATE accounts; INSERT INTO accounts VALUES (2, 'two@x', 'guest')")
    users.drain("back")
    assert users.differences() == []
    assert databases.rows("a", "SELECT id, gone, pid FROM users ORDER BY id") == [
        (2, False, "p2"),
        (4, True, "p4"),
    ]


def test_a_value_without_a_way_back_is_refused_by_name(users: Stage) -> None:
    databases = users.databases
    turned(users, "back")
    databases.run(
        "b",
        "UPDATE accounts SET kind = 'robot' WHERE id = 2; UPDATE accounts SET kind = 'guest' WHERE id = 1",
    )
    with users.applier("back") as applier, pytest.raises(Stuck, match="a robot is no user") as stuck:
        applier.batch()
    assert stuck.value.keys == ("2",)
    assert users.log_rows("b") == 2
    databases.run("b", "UPDATE accounts SET kind = 'guest' WHERE id = 2")
    users.drain("back")
    assert users.differences() == []


def test_it_passes_the_fence_and_nobody_else_does(users: Stage) -> None:
    databases = users.databases
    pair = users.replication.pairs[0]
    with databases.open("a") as session:
        capture.create_fence(session, users.replication, pair, "a")
        assert capture.fence_state(session, users.replication, pair, "a") == "disabled"
        databases.run("a", "UPDATE users SET office = 'still' WHERE id = 1")
        capture.enable_fence(session, users.replication, pair, "a")
        assert capture.fence_state(session, users.replication, pair, "a") == "enabled"
    users.drain()
    turned(users, "back")
    for statement in (
        "UPDATE users SET office = 'x'",
        "INSERT INTO users (id) VALUES (77)",
        "DELETE FROM users",
        "TRUNCATE users",
    ):
        with pytest.raises(psycopg.errors.SerializationFailure, match="users has moved: b owns its rows now"):
            databases.run("a", statement)
    databases.run("b", "UPDATE accounts SET department = 'New' WHERE id = 1")
    with users.applier("back") as applier:
        pass_fence(applier.destination, "r", 1)
        assert applier.batch().upserted == 1
    assert users.differences() == []
    with pytest.raises(psycopg.errors.SerializationFailure):
        databases.run("a", "UPDATE users SET office = 'x'")
    with databases.open("a") as session:
        capture.disable_fence(session, users.replication, pair, "a")
        databases.run("a", "UPDATE users SET office = 'y' WHERE id = 1")
        capture.drop_fence(session, users.replication, pair, "a")
        assert capture.fence_state(session, users.replication, pair, "a") == "absent"


def test_side_rows_follow_their_row(users: Stage) -> None:
    databases, pair = users.databases, users.replication.pairs[0]
    assert users.side_rows(pair) == [
        (1, "dept", "Genomics and more"),
        (1, "office", "r1"),
        (3, "dept", "Bio"),
        (3, "office", ""),
    ]
    databases.run(
        "a", "UPDATE users SET office = NULL WHERE id = 1; UPDATE users SET gone = true WHERE id = 3;"
    )
    databases.run("a", "UPDATE users SET office = 'attic', id = 20 WHERE id = 2")
    users.drain()
    assert users.side_rows(pair) == [(1, "dept", "Genomics and more"), (20, "office", "attic")]
    turned(users, "back")
    databases.run("b", "DELETE FROM accounts WHERE id = 1")
    users.drain("back")
    assert users.side_rows(pair) == [(20, "office", "attic")]
    turned(users, "forward")
    databases.run("a", "TRUNCATE users")
    users.drain()
    assert users.side_rows(pair) == []


PLACES_A = """
CREATE TABLE places (id serial PRIMARY KEY, name text, parent int REFERENCES places);
CREATE TABLE moves (id serial PRIMARY KEY, place int REFERENCES places, note text);
"""
PLACES_B = """
CREATE TABLE places (id uuid PRIMARY KEY, name text, parent uuid REFERENCES places);
CREATE TABLE moves (id serial PRIMARY KEY, place uuid REFERENCES places, note text);
"""
IDS = 'tracseq_migrate."ids_places"'


def _id(column: str) -> str:
    return (
        f"CASE WHEN a.{column} IS NOT NULL THEN coalesce((SELECT i.new FROM {IDS} i WHERE i.old = a.{column}),"
        f" md5('places' || a.{column})::uuid) END"
    )


def _old(column: str) -> tuple[str, list[str]]:
    return f"(SELECT i.old FROM {IDS} i WHERE i.new = b.{column})", [column]


PLACES = [
    Wanted(
        "places",
        "places",
        {"id": _id("id"), "name": "name", "parent": _id("parent")},
        back={"id": _old("id"), "parent": _old("parent")},
        ids=True,
    ),
    Wanted(
        "moves",
        "moves",
        {"id": "id", "place": _id("place"), "note": "note"},
        back={"place": _old("place")},
    ),
]


def test_numbers_become_uuids_and_uuids_numbers(pair_of_databases: PairOfDatabases) -> None:
    stage = set_up(pair_of_databases, PLACES_A, PLACES_B, PLACES)
    databases = pair_of_databases
    databases.run(
        "a",
        """
        INSERT INTO places (name, parent) SELECT 'p' || i, nullif(i / 2, 0) FROM generate_series(1, 30) i;
        INSERT INTO moves (place) SELECT 1 + i % 30 FROM generate_series(1, 60) i
        """,
    )
    stage.drain(limit=4)
    assert stage.differences() == []
    assert databases.rows("a", f"SELECT count(*) FROM {IDS}") == [(30,)]
    turned(stage, "back")
    with databases.open("a") as a, databases.open("b") as b:
        [moves] = advance(stage.replication, "forward", a, b)
        assert moves.last >= 1060
    databases.run(
        "b",
        """
        INSERT INTO places SELECT gen_random_uuid(), 'q' || i, (SELECT id FROM places WHERE name = 'p1') FROM
            generate_series(1, 9) i;
        UPDATE places SET parent = (SELECT id FROM places WHERE name = 'q9') WHERE name = 'p2';
        INSERT INTO moves (place, note) SELECT id, 'back' FROM places WHERE name ~ 'q';
        DELETE FROM moves WHERE place IN (SELECT id FROM places WHERE name = 'p30'); DELETE FROM places WHERE name = 'p30'
        """,
    )
    stage.drain("back", limit=2)
    assert stage.differences() == []
    assert databases.rows("a", "SELECT count(*), max(id) > 30 FROM places") == [(38, True)]
    turned(stage, "forward")
    databases.run(
        "a",
        "UPDATE places SET name = name || '!', parent = 5 WHERE name ~ 'q'; INSERT INTO places (name) VALUES ('z')",
    )
    stage.drain(limit=2)
    assert stage.differences() == []


def test_a_shared_pair_only_updates_on_the_way_back(pair_of_databases: PairOfDatabases) -> None:
    schema_b = """
    CREATE TABLE samples (id int PRIMARY KEY, name text);
    CREATE TABLE places (sample_id int PRIMARY KEY, place text);
    """
    stage = set_up(
        pair_of_databases,
        "CREATE TABLE samples (id int PRIMARY KEY, name text, location text, owner text DEFAULT 'x')",
        schema_b,
        [
            Wanted("samples", "samples", {"id": "id", "name": "name"}),
            Wanted(
                "samples",
                "places",
                {"sample_id": "id", "place": "location"},
                key={"sample_id": "id"},
                where_a="a.location IS NOT NULL",
                shared=True,
            ),
        ],
    )
    second = stage.replication.pairs[1]
    only = tuple(each for each in second.back if each.name in ("id", "location"))
    stage.replication = type(stage.replication)(
        "r",
        "a",
        "b",
        (
            without(stage.replication.pairs[0], back=stage.replication.pairs[0].back),
            without(second, back=only),
        ),
        "",
        {},
    )
    databases = pair_of_databases
    databases.run(
        "a", "INSERT INTO samples VALUES (1, 'one', 'shelf'), (2, 'two', NULL), (3, 'three', 'box')"
    )
    stage.drain()
    assert databases.rows("b", "SELECT * FROM places ORDER BY 1") == [(1, "shelf"), (3, "box")]
    turned(stage, "back")
    databases.run(
        "b", "UPDATE places SET place = 'fridge' WHERE sample_id = 1; DELETE FROM places WHERE sample_id = 3"
    )
    stage.drain("back")
    assert databases.rows("a", "SELECT id, name, location, owner FROM samples ORDER BY id") == [
        (1, "one", "fridge", "x"),
        (2, "two", None, "x"),
        (3, "three", "box", "x"),
    ]
