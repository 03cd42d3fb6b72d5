"""Bad weather and hostile hands, on real PostgreSQL: what cannot be is refused by name, and what was begun can be ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.replication.databases import PairOfDatabases
from tests.replication.weather.proxy import wire
from tests.steps.real import RealBench
from tracseq_migrate.errors import StepFailed
from tracseq_migrate.ports import SYNC, ServiceState, Unreachable
from tracseq_migrate.replication.catalog.keeping import kept, restored
from tracseq_migrate.replication.catalog.reading import read

STEP = {"replicate": {"from": "a", "to": "b", "mapping": "things"}}
TABLE = "CREATE TABLE things (id integer PRIMARY KEY, name text, n integer);"
MAPPING = """\
version: 1
tables:
  - from: things
    to: things
    columns: {id: id, name: name, n: n}
"""
TRACES = """
SELECT relkind::text, oid::regclass::text FROM pg_class WHERE relnamespace::regnamespace::text NOT IN
    ('pg_catalog', 'information_schema', 'pg_toast')
UNION ALL SELECT tgenabled::text, tgname::text FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'schema', nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
UNION ALL SELECT 'function', proname::text FROM pg_proc WHERE pronamespace::regnamespace::text NOT IN
    ('pg_catalog', 'information_schema')
ORDER BY 1, 2
"""


def made(databases: PairOfDatabases, rows: int = 50, **dsns: str) -> RealBench:
    databases.run("a", TABLE)
    databases.run(
        "a", f"INSERT INTO things SELECT g, repeat('n', 200) || g, g FROM generate_series(1, {rows}) g"
    )
    databases.run("b", TABLE)
    bench = RealBench(STEP, {**databases.dsns, **dsns}, texts={"mappings/things.yaml": MAPPING})
    bench.world.services.states[SYNC] = ServiceState.EXTERNAL
    return bench


def _let_go(connections: Sequence[psycopg.Connection[Any]]) -> None:
    for each in connections:
        each.rollback()


def traces(databases: PairOfDatabases) -> dict[str, list[tuple[Any, ...]]]:
    return {side: databases.rows(side, TRACES) for side in "ab"}


@pytest.mark.parametrize(
    ("side", "statement"),
    [
        ("a", "ALTER TABLE things ADD COLUMN extra text"),
        ("a", "ALTER TABLE things DROP COLUMN n"),
        ("a", "ALTER TABLE things RENAME COLUMN n TO number"),
        ("a", "ALTER TABLE things ALTER COLUMN n TYPE text"),
        ("a", "DROP TABLE things"),
        ("b", "ALTER TABLE things ADD COLUMN extra text"),
        ("b", "ALTER TABLE things ALTER COLUMN n TYPE smallint"),
    ],
)
def test_a_table_that_somebody_altered_is_named_and_can_still_be_taken_back(
    pair_of_databases: PairOfDatabases, side: str, statement: str
) -> None:
    bench = made(pair_of_databases)
    bench.there()
    pair_of_databases.run(side, statement)
    altered = {
        each: pair_of_databases.rows(each, "SELECT 1 FROM pg_class WHERE relname = 'things'") for each in "ab"
    }
    with pytest.raises(StepFailed, match="the mapping does not fit the databases"):
        bench.verify()
    evidence = [each.text for each in bench.back()]
    assert any(
        "somebody altered the tables meanwhile, and that was left as it is" in each for each in evidence
    )
    assert pair_of_databases.rows("b", "SELECT count(*) FROM things") == [(0,)]
    for each in "ab":
        assert (
            pair_of_databases.rows(each, "SELECT 1 FROM pg_namespace WHERE nspname = 'tracseq_migrate'") == []
        )
        assert pair_of_databases.rows(each, "SELECT 1 FROM pg_trigger WHERE tgname LIKE 'tracseq%'") == []
        assert (
            pair_of_databases.rows(each, "SELECT 1 FROM pg_class WHERE relname = 'things'") == altered[each]
        )


def test_what_somebody_wrote_on_the_new_side_is_counted_though_a_column_came_to_the_old_one(
    pair_of_databases: PairOfDatabases,
) -> None:
    bench = made(pair_of_databases)
    bench.there()
    pair_of_databases.run("a", "ALTER TABLE things ADD COLUMN extra text")
    pair_of_databases.run("b", "UPDATE things SET name = 'theirs' WHERE id = 7")
    assert [each.key for each in bench.losses()] == ['{"id": "7"}']


def test_connections_that_are_cut_all_the_time_are_outlived_there_and_back(
    pair_of_databases: PairOfDatabases,
) -> None:
    with wire(pair_of_databases.dsns["a"]) as to_a, wire(pair_of_databases.dsns["b"]) as to_b:
        bench = made(pair_of_databases, 20_000, a=to_a.dsn, b=to_b.dsn)
        before = traces(pair_of_databases)
        bench.prepare()
        to_a.cut_every(2.1)
        to_b.cut_every(2.7)
        for _ in range(3):  # whoever gives up says so, and goes on where it was
            try:
                assert bench.apply() is None
                break
            except Unreachable:
                continue
        else:
            pytest.fail("it never came through")
        query = "SELECT count(*), sum(n), md5(string_agg(name, ',' ORDER BY id)) FROM things"
        assert pair_of_databases.rows("a", query) == pair_of_databases.rows("b", query)
        while to_a.cuts + to_b.cuts < 2:
            to_a.cut()
        bench.back()
    assert traces(pair_of_databases) == before
    assert pair_of_databases.rows("b", "SELECT count(*) FROM things") == [(0,)]


def test_one_database_under_two_names_is_refused(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", TABLE.replace("things", "others"))
    bench = made(pair_of_databases, b=pair_of_databases.dsns["a"])
    bench.texts["mappings/things.yaml"] = MAPPING.replace("to: things", "to: others")
    refused = [each for each in bench.concerns() if each.verdict == "fail"]
    assert [each.detail for each in refused] == [
        "the database: a and b are one and the same database, and rows move from one to another"
    ]
    assert refused[0].remedy == "let the environment file name another database for one of them"


def test_a_right_that_is_missing_is_named_though_no_row_can_be_read(
    pair_of_databases: PairOfDatabases,
) -> None:
    role = f"{pair_of_databases.role}_guest"
    with pair_of_databases.superuser("a") as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'guest'").format(sql.Identifier(role)))
    try:
        dsn = psycopg.conninfo.make_conninfo(pair_of_databases.dsns["a"], user=role, password="guest")
        bench = made(pair_of_databases, a=dsn)
        failed = {each.detail: each.remedy for each in bench.concerns() if each.verdict == "fail"}
        lacking = [remedy for remedy in failed.values() if remedy.startswith("GRANT") and "SELECT" in remedy]
        assert lacking, failed
        assert all(each.verdict != "unknown" for each in bench.concerns())
    finally:
        with pair_of_databases.superuser("a") as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_table_that_others_have_locked_is_waited_for(pair_of_databases: PairOfDatabases) -> None:
    bench = made(pair_of_databases)
    before = traces(pair_of_databases)
    for verb in (bench.there, bench.back):
        with (
            pair_of_databases.writer("a", autocommit=False) as a,
            pair_of_databases.writer("b", autocommit=False) as b,
        ):
            free = threading.Timer(4.0, _let_go, [(a, b)])
            a.execute("UPDATE things SET n = n WHERE id = 1")
            b.execute("LOCK TABLE things IN EXCLUSIVE MODE")
            free.start()
            assert verb()
            free.join()
    assert traces(pair_of_databases) == before


def test_a_catalog_that_was_kept_is_the_same_again(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN small AS varchar(9) CHECK (value <> ''); "
        "CREATE TABLE parts (id bigint GENERATED ALWAYS AS IDENTITY, day date NOT NULL, moods mood[], short small, "
        "PRIMARY KEY (id, day)) PARTITION BY RANGE (day); CREATE TABLE early PARTITION OF parts DEFAULT; "
        "CREATE TABLE children (id serial PRIMARY KEY, part bigint, day date, "
        "FOREIGN KEY (part, day) REFERENCES parts ON DELETE CASCADE, CHECK (id > 0))",
    )
    with pair_of_databases.open("a") as session:
        catalog = read(session)
    assert restored(kept(catalog, list(catalog.tables))) == catalog
    assert set(restored(kept(catalog, ["parts"])).tables) == {"parts", "early"}
