"""The catalog reader against real servers: everything that a column, a key or a sequence can be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.ports.sql import Session, SqlFailed, Unreachable
from tracseq_migrate.replication.catalog.model import Catalog
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.replication.catalog.shape import differences

_SCHEMA = """
CREATE SCHEMA "Odd ""x";
CREATE TYPE user_role AS ENUM ('b', 'a');
CREATE DOMAIN positive AS int NOT NULL CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(7);
CREATE TYPE two AS (a int, b text);
CREATE TYPE stretch AS RANGE (subtype = float8);
CREATE TABLE "Odd ""x"."T a" (id int PRIMARY KEY);
CREATE TABLE things (
    id serial PRIMARY KEY, big bigint GENERATED ALWAYS AS IDENTITY, r user_role NOT NULL DEFAULT 'a', rs user_role[],
    p positive, s short, c char(5), cc bpchar, b bit(3), v varchar(10)[], n numeric(10, 2) CHECK (n > 0), ts timestamptz(3),
    comp two, fr stretch, mr int4multirange, g int GENERATED ALWAYS AS (1 + 1) STORED, "we""ird" text DEFAULT 'x''y',
    iv interval hour to minute, other int REFERENCES "Odd ""x"."T a" ON DELETE CASCADE, UNIQUE (r, s));
CREATE UNIQUE INDEX clever ON things (lower("we""ird"), id) INCLUDE (n) WHERE id > 3;
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tt BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION noop();
ALTER TABLE things DISABLE TRIGGER tt;
"""


@pytest.fixture
def catalog(pair_of_databases: PairOfDatabases) -> Iterator[Catalog]:
    pair_of_databases.run("a", _SCHEMA)
    with pair_of_databases.open("a") as session:
        yield read(session)


@pytest.mark.parametrize("pair_of_databases", ["system->embedded", "embedded->system"], indirect=True)
def test_types_as_columns_have_them(catalog: Catalog) -> None:
    types = {each.name: each.type for each in catalog.tables["things"].columns}
    assert {name: each.full for name, each in types.items()} == {
        "id": "integer",
        "big": "bigint",
        "r": '"public"."user_role"',
        "rs": '"public"."user_role"[]',
        "p": '"public"."positive"',
        "s": '"public"."short"',
        "c": "character(5)",
        "cc": "bpchar",
        "b": "bit(3)",
        "v": "character varying(10)[]",
        "n": "numeric(10,2)",
        "ts": "timestamp(3) with time zone",
        "comp": '"public"."two"',
        "fr": '"public"."stretch"',
        "mr": "int4multirange",
        "g": "integer",
        'we"ird': "text",
        "iv": "interval hour to minute",
        "other": "integer",
    }
    assert types["r"].labels == ("b", "a")
    assert types["rs"].kind == "array"
    assert types["rs"].element == types["r"]
    assert types["p"].checks == ("CHECK ((VALUE > 0))", "NOT NULL")
    assert types["s"].base is not None
    assert (types["s"].base.full, types["s"].base.modifier) == ("character varying(7)", 11)
    assert types["c"].name == "bpchar"
    assert types["b"].name == '"bit"'
    assert types["v"].element is not None
    assert types["v"].element.full == "character varying(10)"
    assert types["fr"].element is not None
    assert (types["fr"].kind, types["fr"].element.name) == ("range", "double precision")
    assert types["mr"].element is not None
    assert (types["mr"].kind, types["mr"].element.name) == ("multirange", "int4range")
    assert {name for name, each in types.items() if not each.builtin} == {"r", "rs", "p", "s", "comp", "fr"}


@pytest.mark.parametrize("pair_of_databases", ["system->embedded", "embedded->system"], indirect=True)
def test_columns_keys_constraints_triggers_and_sequences(catalog: Catalog) -> None:
    table = catalog.tables["things"]
    columns = {each.name: each for each in table.columns}
    assert table.relation == '"public"."things"'
    assert columns["id"].sequence == '"public"."things_id_seq"'
    assert columns["id"].default == "nextval('public.things_id_seq'::regclass)"
    assert (columns["big"].identity, columns["big"].sequence) == ("always", '"public"."things_big_seq"')
    assert (columns["g"].generated, columns["g"].default) == (True, "(1 + 1)")
    assert columns["p"].not_null
    assert columns['we"ird'].default == "'x''y'::text"
    assert columns['we"ird'].collation == '"pg_catalog"."default"'
    assert table.key == ("id",)
    clever = next(each for each in table.indexes if each.name == "clever")
    assert (clever.columns, clever.predicate, clever.unique) == (("", "id"), "(id > 3)", True)
    foreign = next(each for each in table.constraints if each.kind == "f")
    assert (foreign.references, foreign.referenced, foreign.on_delete) == ('"Odd ""x"."T a"', ("id",), "c")
    other = catalog.tables['Odd "x.T a']
    assert [(each.table, each.columns) for each in other.incoming] == [('"public"."things"', ("other",))]
    assert [(each.name, each.enabled, each.function) for each in table.triggers] == [
        ("tt", "disabled", '"public"."noop"')
    ]
    assert not catalog.superuser
    assert catalog.may_create_schema
    assert catalog.encoding == "UTF8"
    assert table.owned
    assert not catalog.ours


def test_a_sequence_that_nobody_drew_from_yet(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE SEQUENCE lone CACHE 5 INCREMENT 2 MAXVALUE 99; SELECT setval('lone', 42, false);"
        "CREATE TABLE draws (id bigint DEFAULT nextval('lone'))",
    )
    with pair_of_databases.open("a") as session:
        found = read(session, ["draws"])
    sequence = found.sequences['"public"."lone"']
    assert (sequence.last, sequence.called, sequence.cache, sequence.increment, sequence.most) == (
        42,
        False,
        5,
        2,
        99,
    )
    assert found.tables["draws"].columns[0].sequence == sequence.name


def test_partitions_inheritance_views_and_rules(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        """
        CREATE TABLE p (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY RANGE (id);
        CREATE TABLE p2a PARTITION OF p2 DEFAULT;
        CREATE TABLE points (id int, k int, FOREIGN KEY (id, k) REFERENCES p);
        CREATE TABLE parent (id int); CREATE TABLE child (x int) INHERITS (parent);
        CREATE RULE quiet AS ON INSERT TO parent DO ALSO NOTHING;
        CREATE VIEW seen AS SELECT 1 AS one; CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
        CREATE UNLOGGED TABLE fast (id int);
        """,
    )
    with pair_of_databases.open("a") as session:
        everything = read(session)
        alone = read(session, ["public.p", "nowhere"])
    tables = everything.tables
    assert tables["p"].kind == "partitioned"
    assert tables["p"].partitions == ('"public"."p1"', '"public"."p2a"')
    assert set(alone.tables) == {"p", "p1", "p2", "p2a"}
    assert [each.name for each in tables["points"].constraints if each.kind == "f"] == ["points_id_k_fkey"]
    assert [each.constraint for each in tables["p"].incoming] == ["points_id_k_fkey"]
    assert (tables["parent"].inherits, tables["child"].inherits) == (
        ('"public"."child"',),
        ('"public"."parent"',),
    )
    assert not tables["p1"].inherits
    assert [each.split(" AS")[0] for each in tables["parent"].rules] == ["CREATE RULE quiet"]
    assert (tables["seen"].kind, tables["kept"].kind) == ("view", "materialized view")
    assert tables["fast"].persistence == "unlogged"


def test_rights_and_row_security_of_a_foreign_owner(pair_of_databases: PairOfDatabases) -> None:
    role = pair_of_databases.role
    with pair_of_databases.superuser("a") as superuser:
        superuser.execute(
            f"""CREATE TABLE theirs (id serial PRIMARY KEY); GRANT SELECT, UPDATE ON theirs TO {role};
                ALTER TABLE theirs ENABLE ROW LEVEL SECURITY;
                CREATE SCHEMA closed; CREATE TABLE closed.hidden (id int)""".encode()
        )
    with pair_of_databases.open("a") as session:
        found = read(session)
    theirs, hidden = found.tables["theirs"], found.tables["closed.hidden"]
    assert (theirs.owned, theirs.hidden, theirs.row_security) == (False, True, True)
    assert theirs.rights == {"SELECT", "UPDATE"}
    assert (hidden.reachable, hidden.rights) == (False, frozenset())
    assert not found.sequences['"public"."theirs_id_seq"'].readable


def test_a_table_that_somebody_rewrites_is_waited_for_within_the_sessions_patience(
    pair_of_databases: PairOfDatabases,
) -> None:
    pair_of_databases.run("a", "CREATE TABLE held (id int PRIMARY KEY, t text)")
    with pair_of_databases.writer("a", autocommit=False) as writer:
        writer.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        with (
            pair_of_databases.sessions.open("a", purpose="test", timeout=30, patience=1) as session,
            pytest.raises(Unreachable, match="not answered within 1 s"),
        ):
            read(session)
        writer.rollback()
    with pair_of_databases.open("a") as session:
        assert read(session).tables["held"].key == ("id",)


class _Counting:
    """A session that counts the queries of its owner."""

    def __init__(self, inner: Session) -> None:
        self._inner = inner
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def rows(
        self, sql: str, parameters: Sequence[object] = (), *, timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        self.asked += 1
        return self._inner.rows(sql, parameters, timeout=timeout)


def _many(number: int) -> str:
    return (
        "DO $$BEGIN FOR i IN 1.."
        + str(number)
        + " LOOP EXECUTE format('CREATE TABLE many_%s (id serial PRIMARY KEY,"
        " name varchar(20) UNIQUE, price numeric(10, 2) CHECK (price > 0))', i); END LOOP; END$$"
    )


def test_the_number_of_queries_does_not_grow_with_the_tables(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", _many(3))
    pair_of_databases.run("b", _many(150))
    asked = {}
    for side, tables in (("a", 3), ("b", 150)):
        with pair_of_databases.open(side) as session:
            counting = _Counting(session)
            found = read(counting)
        assert len(found.tables) == tables
        asked[side] = counting.asked
    assert asked["a"] == asked["b"]


def test_within_an_open_transaction_it_reads_that_snapshot(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", "CREATE TABLE early (id int PRIMARY KEY)")
    with pair_of_databases.open("a") as session:
        session.begin("REPEATABLE READ", read_only=True)
        assert session.rows("SELECT 1") == [(1,)]
        pair_of_databases.run("a", "CREATE TABLE late (id int PRIMARY KEY)")
        assert set(read(session).tables) == {"early"}
        assert session.in_transaction
        session.rollback()
        assert set(read(session).tables) == {"early", "late"}
        assert not session.in_transaction


def test_the_shape_is_what_ddl_changes(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", _SCHEMA)
    with pair_of_databases.open("a") as session:
        before = read(session).shape()
        pair_of_databases.run(
            "a", """INSERT INTO "Odd ""x"."T a" VALUES (7); SELECT nextval('things_id_seq'); ANALYZE"""
        )
        assert read(session).shape() == before
        pair_of_databases.run(
            "a",
            "ALTER TABLE things ALTER COLUMN s TYPE text; ALTER TABLE things ENABLE TRIGGER tt; DROP INDEX clever;"
            " ALTER TABLE things ADD COLUMN fresh int; ALTER TYPE user_role ADD VALUE 'c'",
        )
        after = read(session).shape()
    assert json.loads(json.dumps(after)) == after
    told = [str(each) for each in differences(before, after)]
    assert "tables things columns fresh is new" in told
    assert "tables things indexes clever is gone" in told
    assert "tables things triggers tt enabled was 'disabled' and is 'origin'" in told
    assert "tables things columns s type full was '\"public\".\"short\"' and is 'text'" in told
    assert "tables things columns r type labels was ['b', 'a'] and is ['b', 'a', 'c']" in told


def test_what_the_tool_made_is_listed_and_no_part_of_the_shape(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", "CREATE TABLE plain (id int PRIMARY KEY)")
    with pair_of_databases.open("a") as session:
        before = read(session)
        pair_of_databases.run(
            "a",
            """CREATE SCHEMA tracseq_migrate; CREATE TABLE tracseq_migrate.log_x (seq bigint);
               CREATE FUNCTION tracseq_migrate.capture_x() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
               CREATE TRIGGER tracseq_migrate_capture_x AFTER INSERT ON plain FOR EACH ROW
               EXECUTE FUNCTION tracseq_migrate.capture_x()""",
        )
        after = read(session)
    assert before.ours == ()
    assert after.ours == (
        "function capture_x",
        "schema tracseq_migrate",
        "table log_x",
        "trigger tracseq_migrate_capture_x on public.plain",
    )
    assert after.shape() == before.shape()


def test_a_lost_right_is_the_servers_refusal(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", "CREATE TABLE plain (id int PRIMARY KEY)")
    with pair_of_databases.superuser("a") as superuser:
        superuser.execute("REVOKE SELECT ON pg_catalog.pg_constraint FROM PUBLIC")
    with pair_of_databases.open("a") as session:
        with pytest.raises(SqlFailed) as caught:
            read(session)
        assert not session.in_transaction
    assert caught.value.sqlstate == "42501"
