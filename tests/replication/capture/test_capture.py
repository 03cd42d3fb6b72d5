"""Capture and fence as things: made, switched, found out about, taken off without a trace; and open to nobody."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.replication.applying.pairs import Stage, Wanted, set_up
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.capture import naming
from tracseq_migrate.replication.catalog.reading import read

SCHEMA = """
CREATE TABLE parts (id int, "Odd ""key" text COLLATE "C", v text, PRIMARY KEY (id, "Odd ""key")) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
CREATE TABLE parts_21 PARTITION OF parts_2 FOR VALUES FROM (100) TO (150);
"""


@pytest.fixture
def parts(pair_of_databases: PairOfDatabases) -> Stage:
    return set_up(pair_of_databases, SCHEMA, SCHEMA, [Wanted("parts", "parts")])


def test_made_twice_switched_and_taken_off_without_a_trace(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.open("a") as session:
        pair_of_databases.run("a", SCHEMA)
        before = read(session).shape()
        stage = set_up(pair_of_databases, "", SCHEMA, [Wanted("parts", "parts")])
        replication, pair = stage.replication, stage.replication.pairs[0]
        assert capture.state(session, replication, pair, "a") == "enabled"
        capture.create(session, replication, pair, "a")
        capture.disable(session, replication, pair, "a")
        assert capture.state(session, replication, pair, "a") == "disabled"
        pair_of_databases.run("a", "INSERT INTO parts VALUES (1, 'x')")
        assert stage.log_rows() == 0
        capture.enable(session, replication, pair, "a")
        pair_of_databases.run("a", "INSERT INTO parts VALUES (2, 'x'), (120, 'y'); TRUNCATE parts_21")
        assert stage.log_rows() == 3
        pair_of_databases.run("a", "ALTER TABLE parts_1 DISABLE TRIGGER ALL")
        assert capture.state(session, replication, pair, "a") == "mixed"
        capture.create_fence(session, replication, pair, "a")
        for _ in range(2):
            capture.drop_fence(session, replication, pair, "a")
            capture.drop(session, replication, pair, "a")
        assert capture.state(session, replication, pair, "a") == "absent"
        assert read(session).shape() == before
        assert (
            pair_of_databases.rows(
                "a",
                "SELECT relname FROM pg_class WHERE relnamespace = 'tracseq_migrate'::regnamespace AND relname ~ 'log'",
            )
            == []
        )


def test_a_partition_that_comes_later_is_captured(parts: Stage) -> None:
    parts.databases.run(
        "a",
        "CREATE TABLE parts_22 PARTITION OF parts_2 FOR VALUES FROM (150) TO (200); INSERT INTO parts VALUES (160, 'z', 'v')",
    )
    assert parts.log_rows() == 1


def test_who_writes_needs_no_right_and_gets_none(parts: Stage) -> None:
    databases, log = parts.databases, capture.log_table(parts.replication, parts.replication.pairs[0])
    name = f"clerk_{databases.names['a']}"
    with databases.superuser("a") as root:
        root.execute(f"CREATE ROLE {name}".encode())
        try:
            root.execute(f"GRANT USAGE ON SCHEMA public TO {name}; GRANT ALL ON parts TO {name}".encode())
            root.execute(f"SET ROLE {name}".encode())
            # Functions and operators of the writer's own are no part of what the trigger runs.
            root.execute("CREATE TEMPORARY TABLE n (id int)")
            root.execute("SET search_path = pg_temp, public")
            root.execute("INSERT INTO public.parts VALUES (1, 'x', 'v')")
            root.execute("UPDATE public.parts SET id = 3")
            for statement in (
                f"SELECT * FROM {log}",
                f"DELETE FROM {log}",
                f"INSERT INTO {log} (key_1) VALUES (1)",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    root.execute(statement.encode())
            root.execute("RESET ROLE")
        finally:
            root.execute(f"RESET ROLE; DROP OWNED BY {name}; DROP ROLE {name}".encode())
    assert databases.rows("a", f"SELECT key_1, key_2 FROM {log} ORDER BY seq") == [
        (1, "x"),
        (1, "x"),
        (3, "x"),
    ]
    functions = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'tracseq_migrate'::regnamespace"
    assert databases.rows("a", f"{functions} AND has_function_privilege('public', oid, 'EXECUTE')") == [(0,)]
    assert databases.rows(
        "a", f"{functions} AND prosecdef AND proconfig = '{{\"search_path=pg_catalog, pg_temp\"}}'"
    ) == [(2,)]


def test_who_holds_the_table_is_named(parts: Stage) -> None:
    pair = parts.replication.pairs[0]
    with parts.databases.writer("a", autocommit=False) as writer, parts.databases.open("a") as session:
        writer.execute("SET application_name = 'a slow report'")
        writer.execute("INSERT INTO parts VALUES (1, 'x', 'v')")
        with pytest.raises(StepFailed, match="a slow report"):
            capture.create(session, parts.replication, pair, "a", patience=0)
        assert not session.in_transaction
        done = threading.Timer(0.5, writer.commit)
        done.start()
        capture.create_fence(session, parts.replication, pair, "a")
        done.join()
        assert capture.fence_state(session, parts.replication, pair, "a") == "disabled"


def test_the_fence_stops_every_kind_of_write_on_every_partition(parts: Stage) -> None:
    databases, pair = parts.databases, parts.replication.pairs[0]
    databases.run("a", "INSERT INTO parts VALUES (1, 'x', 'v'), (120, 'y', 'v')")
    with databases.writer("a", autocommit=False) as early, databases.open("a") as session:
        early.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        early.execute("SELECT count(*) FROM parts")
        capture.create_fence(session, parts.replication, pair, "a", enabled=True)
        with pytest.raises(psycopg.errors.SerializationFailure) as refused:
            early.execute("UPDATE parts SET v = 'late'")
        assert refused.value.diag.table_name == "parts"
    for statement in (
        "INSERT INTO parts_21 VALUES (121, 'q')",
        "UPDATE parts_2 SET v = 'x'",
        "DELETE FROM parts_1",
        "TRUNCATE parts_21",
        "INSERT INTO parts VALUES (1, 'x') ON CONFLICT DO NOTHING",
        "PREPARE p AS DELETE FROM parts; EXECUTE p",
        "SET session_replication_role = origin; DELETE FROM parts",
    ):
        with pytest.raises((psycopg.errors.SerializationFailure, psycopg.errors.InsufficientPrivilege)):
            databases.run("a", statement)
    with (
        databases.writer("a") as writer,
        pytest.raises(psycopg.errors.SerializationFailure),
        writer.cursor().copy("COPY parts FROM STDIN") as copy,
    ):
        copy.write_row((5, "c", "v"))
    assert databases.rows("a", "SELECT count(*) FROM parts") == [(2,)]


def test_names_are_apart_and_never_cut() -> None:
    made = {
        naming.bounded(prefix, replication, pair)
        for prefix in ("log", "capture", "capture_whole", "fence", naming.TRIGGER)
        for replication, pair in (
            ("a", "b_c"),
            ("a_b", "c"),
            ("x" * 40, "y" * 40),
            ("x" * 40, "y" * 39 + "z"),
        )
    }
    assert len(made) == 20
    assert max(map(len, made)) <= 63
