"""PostgresDatabases on a real PostgreSQL: awkward tables, what may not be read, what does not answer, and secrets."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.real_parts import Postgres, free_ports, postgres, wait_until
from tracseq_migrate.adapters.postgres.databases import PostgresDatabases
from tracseq_migrate.ports import Manifest, TableManifest, Unreachable

LONG = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def name(server: Postgres) -> str:
    return server.create()


def ask(server: Postgres, name: str, **options: int) -> Manifest:
    return PostgresDatabases({"db": server.dsn(name)}, **options).manifest("db", timeout=LONG)


def table(server: Postgres, name: str, *statements: str, called: str = "public.t") -> TableManifest:
    server.sql(name, *statements)
    return ask(server, name).tables[called]


def test_an_empty_database_has_an_empty_manifest(server: Postgres, name: str) -> None:
    assert ask(server, name).tables == {}


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ("a int, b int, PRIMARY KEY (b, a)", ("b", "a")),
        ("a int NOT NULL UNIQUE, b int", ("a",)),
        ("a int NOT NULL, b int NOT NULL, c int NOT NULL UNIQUE, UNIQUE (a, b)", ("c",)),
        ("a int UNIQUE, b int", ()),
        ("a int NOT NULL, b int", ()),
        ('"Odd ""Name" int PRIMARY KEY, b int', ('Odd "Name',)),
        ("a int, b int, PRIMARY KEY (a) INCLUDE (b)", ("a",)),
    ],
)
def test_the_key_of_a_table(server: Postgres, name: str, columns: str, key: tuple[str, ...]) -> None:
    assert table(server, name, f"CREATE TABLE t ({columns})").key == key


@pytest.mark.parametrize(
    "index",
    ["(a) WHERE a > 0", "((a + 1))", "(a, (b * 2))"],
)
def test_an_index_that_tells_not_all_rows_apart_is_no_key(server: Postgres, name: str, index: str) -> None:
    made = table(
        server, name, "CREATE TABLE t (a int NOT NULL, b int NOT NULL)", f"CREATE UNIQUE INDEX ON t {index}"
    )
    assert made.key == ()


def test_keys_are_json_in_the_order_of_the_keys_columns(server: Postgres, name: str) -> None:
    made = table(
        server,
        name,
        "CREATE TABLE t (n numeric, s text, d timestamptz, u uuid, PRIMARY KEY (s, n, d, u))",
        "INSERT INTO t VALUES (1.50, 'a\"b', '2025-01-01 12:00+02', '00000000-0000-0000-0000-000000000001')",
    )
    expected = '["a\\"b", 1.50, "2025-01-01T10:00:00+00:00", "00000000-0000-0000-0000-000000000001"]'
    assert list(made.rows) == [expected]


def test_equal_rows_without_a_key_are_counted(server: Postgres, name: str) -> None:
    made = table(
        server,
        name,
        "CREATE TABLE t (a int, b json)",
        """INSERT INTO t VALUES (1, '{"x":1}'), (1, '{"x":1}'), (1, '{"x": 1}'), (NULL, NULL), (NULL, NULL)""",
    )
    assert len(made.rows) == 5
    assert len(set(made.rows.values())) == 3


def test_a_column_named_like_anything_hides_no_row(server: Postgres, name: str) -> None:
    statements = (
        "CREATE TABLE t (id int PRIMARY KEY, t text, key text, digest text, whole text, tracseq_migrate_row text)",
        "INSERT INTO t VALUES (1, 'a', 'b', 'c', 'd', 'e')",
    )
    before = table(server, name, *statements).rows
    for column in ("t", "key", "digest", "whole", "tracseq_migrate_row"):
        after = table(server, name, f"UPDATE t SET {column} = {column} || '!'").rows
        assert after["[1]"] != before["[1]"], column
        before = after
    rows = PostgresDatabases({"db": server.dsn(name)}).rows("db", "public.t", ["[1]"], timeout=LONG)
    assert rows == [
        {"id": 1, "t": "a!", "key": "b!", "digest": "c!", "whole": "d!", "tracseq_migrate_row": "e!"}
    ]


def test_null_and_empty_text_are_different_rows(server: Postgres, name: str) -> None:
    before = table(
        server, name, "CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (1, NULL)"
    )
    after = table(server, name, "UPDATE t SET a = ''")
    assert before.rows["[1]"] != after.rows["[1]"]


def test_names_that_need_quotes(server: Postgres, name: str) -> None:
    made = table(
        server,
        name,
        'CREATE SCHEMA "My; Schema"',
        'CREATE TABLE "My; Schema"."T""able" ("select" int PRIMARY KEY)',
        'INSERT INTO "My; Schema"."T""able" VALUES (7)',
        called='"My; Schema"."T""able"',
    )
    assert list(made.rows) == ["[7]"]
    databases = PostgresDatabases({"db": server.dsn(name)})
    assert databases.rows("db", '"My; Schema"."T""able"', ["[7]"], timeout=LONG) == [{"select": 7}]


def test_which_tables_are_listed(server: Postgres, name: str) -> None:
    server.sql(
        name,
        "CREATE SCHEMA tracseq_migrate",
        "CREATE TABLE tracseq_migrate.own (id int PRIMARY KEY)",
        "CREATE TABLE whole (id int PRIMARY KEY, at date) PARTITION BY RANGE (id)",
        "ALTER TABLE whole DROP CONSTRAINT whole_pkey, ADD PRIMARY KEY (id)",
        "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id)",
        "CREATE TABLE subpart PARTITION OF part FOR VALUES FROM (0) TO (5)",
        "INSERT INTO whole VALUES (1), (2)",
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent)",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (1)",
        "CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY)",
        "CREATE VIEW looking AS SELECT * FROM parent",
        "CREATE MATERIALIZED VIEW looked AS SELECT * FROM parent",
    )
    tables = ask(server, name).tables
    listed = {table: sorted(made.rows) for table, made in tables.items()}
    assert listed == {
        "public.child": ["[1]"],
        "public.fleeting": [],
        "public.parent": ["[1]"],
        "public.whole": ["[1]", "[2]"],
    }


def test_digests_do_not_depend_on_who_asks(server: Postgres, name: str) -> None:
    server.sql(
        name,
        "CREATE TABLE t (id timestamptz PRIMARY KEY, i interval, b bytea, f float8, d date, m money)",
        "INSERT INTO t VALUES (now(), '1 mon 2 days 03:00', '\\xff', 0.1, '2025-02-03', 1.5)",
    )
    plain = ask(server, name)
    server.sql(
        name,
        f"ALTER ROLE postgres IN DATABASE {name} SET timezone = 'Asia/Tokyo'",
        f"ALTER ROLE postgres IN DATABASE {name} SET datestyle = 'SQL, DMY'",
        f"ALTER ROLE postgres IN DATABASE {name} SET intervalstyle = 'iso_8601'",
        f"ALTER ROLE postgres IN DATABASE {name} SET bytea_output = 'escape'",
        f"ALTER ROLE postgres IN DATABASE {name} SET extra_float_digits = -15",
        f"ALTER ROLE postgres IN DATABASE {name} SET search_path = nowhere",
        f"ALTER ROLE postgres IN DATABASE {name} SET default_transaction_isolation = 'read committed'",
    )
    assert ask(server, name) == plain


def test_a_role_cannot_bend_the_question_by_functions_of_its_own(server: Postgres, name: str) -> None:
    server.sql(
        name,
        "CREATE TABLE t (id int PRIMARY KEY)",
        "INSERT INTO t VALUES (1)",
        "CREATE VIEW public.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE false",
        "CREATE FUNCTION public.md5(text) RETURNS text LANGUAGE sql AS $$ SELECT 'bent' $$",
        f"ALTER DATABASE {name} SET search_path = public, pg_catalog",
    )
    assert ask(server, name).tables["public.t"].rows["[1]"] != "bent"


def test_numbers_keep_their_digits(server: Postgres, name: str) -> None:
    server.sql(
        name,
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, f float8, big bigint)",
        "INSERT INTO t VALUES (1, 0.1234567890123456789, 0.1, 9007199254740993)",
        "INSERT INTO t VALUES (2, 'NaN', 'Infinity', NULL)",
    )
    rows = PostgresDatabases({"db": server.dsn(name)}).rows("db", "public.t", ["[1]", "[2]"], timeout=LONG)
    assert rows == [
        {"id": 1, "n": "0.1234567890123456789", "f": 0.1, "big": 9007199254740993},
        {"id": 2, "n": "NaN", "f": "Infinity", "big": None},
    ]


def test_all_tables_are_of_one_moment(server: Postgres, name: str) -> None:
    """Two tables that a writer always changes together are never seen apart."""
    server.sql(
        name, *(f"CREATE TABLE {each} (id serial PRIMARY KEY, n int)" for each in ("a", "b")),
        *(f"INSERT INTO {each} (n) SELECT 0 FROM generate_series(1, 3000)" for each in ("a", "b")),
    )  # fmt: skip
    ending = threading.Event()

    def write() -> None:
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            while not ending.is_set():
                with connection.transaction():
                    connection.execute("INSERT INTO a (n) VALUES (1)")
                    connection.execute("INSERT INTO b (n) VALUES (1)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for _ in range(5):
            tables = ask(server, name).tables
            counts.append((len(tables["public.a"].rows), len(tables["public.b"].rows)))
    finally:
        ending.set()
        writer.join()
    assert all(a == b for a, b in counts), counts
    assert counts[-1] > counts[0]


def test_a_truncate_waits_for_the_manifest_and_the_manifest_for_a_truncate(
    server: Postgres, name: str
) -> None:
    server.sql(name, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with psycopg.connect(server.dsn(name)) as other:
        other.execute("TRUNCATE t")
        with pytest.raises(Unreachable, match="not answered in time"):
            PostgresDatabases({"db": server.dsn(name)}).manifest("db", timeout=0.5)
        other.rollback()
    assert list(ask(server, name).tables["public.t"].rows) == ["[1]"]


def test_more_rows_than_can_be_listed(server: Postgres, name: str) -> None:
    server.sql(
        name, *(f"CREATE TABLE {each} (id int PRIMARY KEY)" for each in ("a", "b")),
        *(f"INSERT INTO {each} SELECT generate_series(1, 50)" for each in ("a", "b")),
    )  # fmt: skip
    assert len(ask(server, name, max_rows=100).tables) == 2
    with pytest.raises(Unreachable, match="too many rows to list: more than 99 over all tables"):
        ask(server, name, max_rows=99)


@pytest.fixture
def limited(server: Postgres, name: str) -> Iterator[PostgresDatabases]:
    """A user of its own who may read what a test grants."""
    server.sql(name, f"CREATE ROLE reader_{name} LOGIN PASSWORD 'reading'")
    yield PostgresDatabases({"db": server.dsn(name, f"reader_{name}", "reading")})
    server.sql(name, f"DROP OWNED BY reader_{name}", f"DROP ROLE reader_{name}")


def test_what_may_not_be_read_is_named(server: Postgres, name: str, limited: PostgresDatabases) -> None:
    server.sql(
        name,
        "CREATE TABLE open (id int PRIMARY KEY, secret text)",
        "CREATE TABLE closed (id int PRIMARY KEY)",
        f"GRANT SELECT ON open TO reader_{name}",
        f"GRANT SELECT (id) ON closed TO reader_{name}",
    )
    with pytest.raises(Unreachable, match=r"may not read public\.closed: SELECT is not granted"):
        limited.manifest("db", timeout=LONG)
    server.sql(name, f"GRANT SELECT ON closed TO reader_{name}")
    assert set(limited.manifest("db", timeout=LONG).tables) == {"public.open", "public.closed"}


def test_row_security_is_not_read_past(server: Postgres, name: str, limited: PostgresDatabases) -> None:
    server.sql(
        name,
        "CREATE TABLE t (id int PRIMARY KEY)",
        "INSERT INTO t VALUES (1), (2)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY some_rows ON t USING (id = 1)",
        f"GRANT SELECT ON t TO reader_{name}",
    )
    with pytest.raises(Unreachable, match=r"row security hides rows of public\.t"):
        limited.manifest("db", timeout=LONG)
    assert len(ask(server, name).tables["public.t"].rows) == 2


def test_it_is_read_only(server: Postgres, name: str) -> None:
    """A view's or type's function that writes is refused: nothing that is read here can change anything."""
    server.sql(
        name,
        "CREATE TABLE log (id serial PRIMARY KEY)",
        "CREATE TYPE loud AS ENUM ('a')",
        "CREATE FUNCTION shout(loud) RETURNS json LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.log DEFAULT VALUES; RETURN '1'; END $$",
        "CREATE CAST (loud AS json) WITH FUNCTION shout(loud)",
        "CREATE TABLE t (id int PRIMARY KEY, l loud)",
        "INSERT INTO t VALUES (1, 'a')",
    )
    databases = PostgresDatabases({"db": server.dsn(name)})
    with pytest.raises(Unreachable, match="SQLSTATE 25006"):
        databases.rows("db", "public.t", ["[1]"], timeout=LONG)
    assert databases.manifest("db", timeout=LONG).tables["public.log"].rows == {}


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:hush-hush@127.0.0.1:{port}/db",
        "host=127.0.0.1 port={port} user=me password=hush-hush dbname=db",
        "postgresql://postgres:hush-hush@127.0.0.1:{real}/postgres",
        "postgresql://postgres:hush%2Dhush@127.0.0.1:{real}/postgres",
        "postgresql://me:hush-hush@127.0.0.1:{port}/db?nonsense=hush-hush",
        "host=127.0.0.1 hush-hush",
        "postgresql://me:hush-hush@[::1/db",
        "hush-hush",
    ],
)
def test_no_secret_is_in_a_message(server: Postgres, dsn: str) -> None:
    [nobody] = free_ports(1)
    databases = PostgresDatabases({"db": dsn.format(port=nobody, real=server.port)})
    with pytest.raises(Unreachable) as caught:
        databases.manifest("db", timeout=5)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hush" not in str(error)
        error = error.__cause__
    assert str(caught.value).startswith("database db")
    assert caught.value.__suppress_context__


def test_why_there_is_no_connection(server: Postgres) -> None:
    [nobody] = free_ports(1)
    with pytest.raises(Unreachable, match=r"\(app on 127\.0\.0\.1\).*refused"):
        PostgresDatabases({"db": f"postgresql://u:p@127.0.0.1:{nobody}/app"}).manifest("db", timeout=5)
    with pytest.raises(Unreachable, match=r"database .*missing_one.* does not exist"):
        PostgresDatabases({"db": server.dsn("missing_one")}).manifest("db", timeout=5)


def test_a_server_that_stands_still_ends_at_the_timeout(server: Postgres, name: str) -> None:
    server.sql(name, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 200000)")
    databases = PostgresDatabases({"db": server.dsn(name)})
    stopped: list[int] = []
    answers: list[str] = []

    def read() -> None:
        try:
            databases.manifest("db", timeout=1.0)
            answers.append("a manifest")
        except Unreachable as error:
            answers.append(error.why)

    with psycopg.connect(server.dsn("postgres"), autocommit=True) as other:
        reader = threading.Thread(target=read)
        reader.start()
        try:

            def backend() -> int:
                row = other.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'tracseq-migrate'"
                ).fetchone()
                return int(row[0]) if row else 0

            wait_until(lambda: backend() != 0, "the reader is connected")
            stopped.append(backend())
            os.kill(stopped[0], signal.SIGSTOP)
            reader.join(30)
            assert not reader.is_alive()
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            reader.join()
    assert answers == ["it was not answered within 1 s"]


def test_asking_leaves_no_connection_behind(server: Postgres, name: str) -> None:
    ask(server, name)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as other:

        def left() -> int:
            row = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)
            ).fetchone()
            assert row is not None
            return int(row[0])

        until = time.monotonic() + 10
        while left() and time.monotonic() < until:
            time.sleep(0.05)
        assert left() == 0
