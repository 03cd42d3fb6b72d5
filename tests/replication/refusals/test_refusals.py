"""Every reason against moving, made on a real server and found by name with its remedy; and the remedy typed where it is SQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.replication import plain
from tests.replication.databases import SYSTEM, PairOfDatabases, binaries
from tracseq_migrate.adapters.postgres.sessions import PostgresSessions
from tracseq_migrate.ports.sql import transaction
from tracseq_migrate.replication import put_away
from tracseq_migrate.replication.blockers import blockers
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.replication.names import ours
from tracseq_migrate.replication.pair import Edge, Pair, Replication, Seeded
from tracseq_migrate.replication.refusals import Refusal, in_the_way, refusals
from tracseq_migrate.sandbox import postgres

BOTH_WAYS = pytest.mark.parametrize(
    "pair_of_databases", ["system->embedded", "embedded->system"], indirect=True
)


def _compiled(databases: PairOfDatabases, name: str = "t", **more: Any) -> Replication:
    a, b = plain.catalogs(databases)
    return plain.replication(plain.pair(a.tables[name], b.tables[name], **more))


def _all(databases: PairOfDatabases, replication: Replication) -> list[Refusal]:
    with databases.open("a") as a, databases.open("b") as b:
        return refusals(replication, read(a), read(b), a, b)


def _refused(
    databases: PairOfDatabases, replication: Replication | None = None
) -> dict[tuple[str, str, str], Refusal]:
    """What is no note, by code, side and place."""
    found = _all(databases, replication or _compiled(databases))
    return {(each.code, each.side, each.where): each for each in found if each.grade != "note"}


def _notes(databases: PairOfDatabases, replication: Replication) -> dict[tuple[str, str, str], str]:
    found = _all(databases, replication)
    return {(each.code, each.side, each.where): each.what for each in found if each.grade == "note"}


def _both(databases: PairOfDatabases, statements: str) -> None:
    for side in "ab":
        databases.run(side, statements)


@BOTH_WAYS
def test_nothing_stands_against_plain_tables(pair_of_databases: PairOfDatabases) -> None:
    _both(pair_of_databases, "CREATE TABLE t (id serial PRIMARY KEY, s text)")
    found = _all(pair_of_databases, _compiled(pair_of_databases))
    assert [(each.code, each.grade, each.side) for each in found] == [("disk-space", "note", "b")]
    assert json.loads(json.dumps([each.document() for each in found]))[0]["code"] == "disk-space"


def _mended(databases: PairOfDatabases, side: str, refusal: Refusal) -> None:
    """Type the remedy, up to its last semicolon, as who may."""
    assert ";" in refusal.remedy
    with databases.superuser(side) as superuser:
        superuser.execute(refusal.remedy[: refusal.remedy.rindex(";") + 1].encode())


@pytest.mark.parametrize(
    ("side", "statements", "code", "where"),
    [
        ("a", "CREATE TABLE t (id int NOT NULL, s text)", "no-key", "t"),
        ("b", "CREATE TABLE t (id int UNIQUE, s text)", "no-key", "t.id"),
        ("b", "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, s text)", "deferrable-key", "t"),
        ("a", "CREATE UNLOGGED TABLE t (id int PRIMARY KEY, s text)", "not-durable", "t"),
        (
            "a",
            "CREATE TABLE t (id serial PRIMARY KEY, s text); ALTER SEQUENCE t_id_seq CACHE 20",
            "sequence-cache",
            "t.id",
        ),
        (
            "b",
            "CREATE TABLE t (id serial PRIMARY KEY, s text); ALTER SEQUENCE t_id_seq CYCLE",
            "sequence-order",
            "t.id",
        ),
        (
            "a",
            "CREATE TABLE t (id int PRIMARY KEY, s text); ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "row-security",
            "t",
        ),
        (
            "a",
            "CREATE TABLE t (id int PRIMARY KEY, s text); CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING",
            "rules",
            "t",
        ),
    ],
)
def test_what_a_table_is_and_that_the_remedy_mends_it(
    pair_of_databases: PairOfDatabases, side: str, statements: str, code: str, where: str
) -> None:
    other = "b" if side == "a" else "a"
    pair_of_databases.run(side, statements)
    pair_of_databases.run(other, "CREATE TABLE t (id int PRIMARY KEY, s text)")
    found = _refused(pair_of_databases)
    assert set(found) == {(code, side, where)}
    refusal = found[code, side, where]
    if code == "rules":
        assert "CREATE" not in refusal.what
    _mended(pair_of_databases, side, refusal)
    assert _refused(pair_of_databases) == {}


def test_views_foreign_tables_and_materialized_views(pair_of_databases: PairOfDatabases) -> None:
    with pair_of_databases.superuser("a") as superuser:
        superuser.execute("CREATE EXTENSION postgres_fdw")
        superuser.execute(
            "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE t (id int, s text) SERVER far"
        )
    pair_of_databases.run("b", "CREATE VIEW t AS SELECT 1 AS id, 'x' AS s")
    found = _refused(pair_of_databases)
    assert "foreign table" in found["no-table", "a", "t"].what
    assert "view" in found["no-table", "b", "t"].what


def test_partitions_that_are_not_like_the_others(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE t (id int PRIMARY KEY, s text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t DEFAULT;"
        " CREATE UNLOGGED TABLE t2 PARTITION OF t FOR VALUES FROM (0) TO (9)",
    )
    pair_of_databases.run("b", "CREATE TABLE t (id int PRIMARY KEY, s text)")
    assert set(_refused(pair_of_databases)) == {("not-durable", "a", "t2")}


def test_inheritance(pair_of_databases: PairOfDatabases) -> None:
    _both(pair_of_databases, "CREATE TABLE t (id int PRIMARY KEY, s text)")
    pair_of_databases.run("b", "CREATE TABLE more (x int) INHERITS (t)")
    found = _refused(pair_of_databases)
    assert '"public"."more"' in found["inheritance", "b", "t"].what


@pytest.mark.parametrize("pair_of_databases", ["system->system"], indirect=True)
def test_a_collation_that_calls_different_texts_equal(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        " CREATE TABLE t (id text COLLATE folding PRIMARY KEY, s text)",
    )
    pair_of_databases.run("b", "CREATE TABLE t (id text PRIMARY KEY, s text)")
    found = _refused(pair_of_databases)
    assert set(found) == {("collation", "a", "t.id")}
    _mended(pair_of_databases, "a", found["collation", "a", "t.id"])
    assert _refused(pair_of_databases) == {}


def test_large_objects_where_a_column_that_moves_names_them(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE DOMAIN lo AS oid; CREATE TABLE t (id int PRIMARY KEY, s text, content oid, other lo, back lo);"
        " SELECT lo_from_bytea(0, 'x')",
    )
    pair_of_databases.run("b", "CREATE TABLE t (id int PRIMARY KEY, s text, content oid, other oid)")
    assert set(_refused(pair_of_databases)) == {
        ("large-objects", "a", "t.content"),
        ("large-objects", "a", "t.other"),
    }
    pair_of_databases.run("a", "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    assert _refused(pair_of_databases) == {}


@BOTH_WAYS
def test_rights_are_asked_for_by_the_grant_that_gives_them(pair_of_databases: PairOfDatabases) -> None:
    role = pair_of_databases.role
    with pair_of_databases.superuser("a") as superuser:
        superuser.execute(
            f"""DROP ROLE IF EXISTS "other owner"; CREATE ROLE "other owner"; CREATE SCHEMA closed AUTHORIZATION "other owner";
                CREATE TABLE closed.t (id serial PRIMARY KEY, s text); ALTER TABLE closed.t OWNER TO "other owner";
                REVOKE CREATE ON DATABASE {pair_of_databases.names["a"]} FROM PUBLIC;
                ALTER DATABASE {pair_of_databases.names["a"]} OWNER TO postgres""".encode()
        )
    try:
        pair_of_databases.run(
            "b", "CREATE SCHEMA closed; CREATE TABLE closed.t (id serial PRIMARY KEY, s text)"
        )
        replication = _compiled(pair_of_databases, "closed.t")
        mended = set()
        for _ in range(8):
            found = _refused(pair_of_databases, replication)
            if not found:
                break
            assert {each.code for each in found.values()} <= {"rights", "not-owner", "no-create"}
            for refusal in found.values():
                mended.add((refusal.code, refusal.where))
                remedy = refusal.remedy.replace("…", pair_of_databases.names["a"])
                with pair_of_databases.superuser("a") as superuser:
                    superuser.execute(remedy[: remedy.rindex(";") + 1].encode())
        assert _refused(pair_of_databases, replication) == {}
        # Being the owner brings the rest with it, so it depends on the order which of the others are asked for.
        assert {("rights", "closed.t"), ("not-owner", "closed.t"), ("no-create", "the database")} <= mended
    finally:
        with pair_of_databases.superuser("a") as superuser:
            superuser.execute(
                f'DROP SCHEMA closed CASCADE; REVOKE "other owner" FROM {role}; DROP ROLE "other owner"'.encode()
            )


def test_a_sequence_that_may_be_read_and_not_set(pair_of_databases: PairOfDatabases) -> None:
    _both(pair_of_databases, "CREATE TABLE t (id int PRIMARY KEY, s text)")
    with pair_of_databases.superuser("a") as superuser:
        superuser.execute(
            f"CREATE SEQUENCE apart; GRANT SELECT, USAGE ON SEQUENCE apart TO {pair_of_databases.role}".encode()
        )
    pair_of_databases.run("a", "ALTER TABLE t ALTER COLUMN id SET DEFAULT nextval('apart')")
    found = _refused(pair_of_databases)
    assert set(found) == {("rights", "a", '"public"."apart"')}
    _mended(pair_of_databases, "a", found["rights", "a", '"public"."apart"'])
    assert _refused(pair_of_databases) == {}


def test_a_schema_of_the_tools_name_that_is_somebody_elses(pair_of_databases: PairOfDatabases) -> None:
    _both(pair_of_databases, "CREATE TABLE t (id int PRIMARY KEY, s text)")
    with pair_of_databases.superuser("b") as superuser:
        superuser.execute("CREATE SCHEMA tracseq_migrate")
    assert set(_refused(pair_of_databases)) == {("rights", "b", "the database")}


def test_encodings_that_differ(pair_of_databases: PairOfDatabases) -> None:
    _both(pair_of_databases, "CREATE TABLE t (id int PRIMARY KEY, s text)")
    replication = _compiled(pair_of_databases)
    name = f"latin_{pair_of_databases.role}"
    with pair_of_databases.servers["b"].administrator() as administrator:
        administrator.execute(
            f"CREATE DATABASE {name} OWNER {pair_of_databases.role} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode()
        )
    try:
        dsn = psycopg.conninfo.make_conninfo(pair_of_databases.dsns["b"], dbname=name)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE SCHEMA IF NOT EXISTS public; CREATE TABLE public.t (id int PRIMARY KEY, s text)"
            )
        sessions = PostgresSessions({"b": dsn})
        with pair_of_databases.open("a") as a, sessions.open("b", purpose="test", timeout=30) as b:
            found = refusals(replication, read(a), read(b), a, b)
        (refusal,) = (each for each in found if each.code == "encoding")
        assert "LATIN1" in refusal.what
        assert "ENCODING 'UTF8'" in refusal.remedy
    finally:
        with pair_of_databases.servers["b"].administrator() as administrator:
            administrator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


_FAMILY = """
    CREATE TABLE users (id int PRIMARY KEY);
    CREATE TABLE t (id int PRIMARY KEY, s text, owner int REFERENCES users ON DELETE CASCADE, up int REFERENCES t);
    CREATE TABLE notes (id int PRIMARY KEY, about int REFERENCES t);
"""


def test_foreign_keys_across_the_edge_must_be_decided(pair_of_databases: PairOfDatabases) -> None:
    _both(pair_of_databases, _FAMILY)
    found = _refused(pair_of_databases)
    assert set(found) == {("edge", "a", "t.owner"), ("edge", "a", "notes.about")}
    assert "ON DELETE CASCADE" in found["edge", "a", "t.owner"].what
    decided = _compiled(
        pair_of_databases,
        edges=(
            Edge("t", "owner", "stays", "users move later"),
            Edge("notes", "about", "dropped", "no longer written"),
        ),
    )
    assert _refused(pair_of_databases, decided) == {}
    notes = _notes(pair_of_databases, decided)
    assert "users move later" in notes["edge", "a", "t"]
    assert ("edge", "b", "t.owner") in notes
    assert "cannot be deleted here" in notes["edge", "b", "t"]


def test_triggers_are_listed(pair_of_databases: PairOfDatabases) -> None:
    _both(
        pair_of_databases,
        """CREATE TABLE t (id int PRIMARY KEY, s text);
           CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noop();
           CREATE TRIGGER idle BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noop(); ALTER TABLE t DISABLE TRIGGER idle""",
    )
    notes = _notes(pair_of_databases, _compiled(pair_of_databases))
    assert "touch" in notes["triggers", "b", "t"]
    assert "idle" not in notes["triggers", "b", "t"]
    assert "after the cutover" in notes["triggers", "a", "t"]


def _altered(databases: PairOfDatabases, replication: Replication) -> list[tuple[str, str]]:
    return [(each.side, each.what) for each in _all(databases, replication) if each.code == "altered"]


def test_ddl_since_the_mapping_was_compiled(pair_of_databases: PairOfDatabases) -> None:
    _both(
        pair_of_databases,
        "CREATE TABLE t (id int PRIMARY KEY, s varchar(10)); CREATE TABLE u (id int PRIMARY KEY)",
    )
    a, b = plain.catalogs(pair_of_databases)
    replication = plain.replication(*(plain.pair(a.tables[name], b.tables[name]) for name in ("t", "u")))
    pair_of_databases.run("a", "ANALYZE t; CREATE INDEX ON t (s)")
    assert _altered(pair_of_databases, replication) == []
    pair_of_databases.run("a", "ALTER TABLE t ALTER COLUMN s TYPE varchar(20), ADD COLUMN fresh int")
    pair_of_databases.run(
        "b", "ALTER TABLE t ADD UNIQUE (s); DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY)"
    )
    told = _altered(pair_of_databases, replication)
    assert any(side == "a" and "columns fresh is new" in what for side, what in told)
    assert any(side == "a" and "character varying(20)" in what for side, what in told)
    assert any(side == "b" and "constraints t_s_key is new" in what for side, what in told)
    assert ("b", "it was dropped and made anew") in told
    pair_of_databases.run("b", "DROP TABLE u")
    assert ("b", "this table is gone") in _altered(pair_of_databases, replication)


def test_what_the_tool_has_put_away_is_no_ddl_of_others(pair_of_databases: PairOfDatabases) -> None:
    _both(
        pair_of_databases,
        """CREATE TABLE parents (id int PRIMARY KEY);
           CREATE TABLE t (id int PRIMARY KEY, s varchar(10) UNIQUE, n int, parent int REFERENCES parents);
           CREATE UNIQUE INDEX clever ON t (lower(s), n);
           CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noop()""",
    )
    a, b = plain.catalogs(pair_of_databases)
    pairs: list[Pair] = [plain.pair(a.tables[name], b.tables[name]) for name in ("parents", "t")]
    replication = plain.replication(*pairs)
    pair_of_databases.run(
        "b",
        f"""CREATE SCHEMA tracseq_migrate; CREATE TABLE {ours("put_away")} (replication text, pair text, side text, kind text,
            name text, definition text, was text, PRIMARY KEY (replication, pair, side, kind, name))""",
    )
    with pair_of_databases.open("b") as session, transaction(session):
        put_away.triggers(session, replication.name, pairs[1], "b")
        put_away.foreign_keys(session, replication.name, pairs[1])
        assert len(put_away.indexes(session, replication.name, pairs[1])) >= 2
    assert _altered(pair_of_databases, replication) == []
    pair_of_databases.run("b", "ALTER TABLE t DROP COLUMN n")
    assert _altered(pair_of_databases, replication) != []


def test_rows_that_nobody_explained(pair_of_databases: PairOfDatabases) -> None:
    _both(pair_of_databases, "CREATE TABLE t (id int PRIMARY KEY, s text)")
    pair_of_databases.run(
        "b", "INSERT INTO t SELECT i, CASE WHEN i = 1 THEN 'seed' END FROM generate_series(1, 8) AS i"
    )
    found = _refused(
        pair_of_databases, _compiled(pair_of_databases, seeded=(Seeded("b.s = 'seed'", "keep", "the first"),))
    )
    assert set(found) == {("not-empty", "b", "t")}
    assert (
        found["not-empty", "b", "t"].what
        == "it has 7 rows that nothing in the mapping accounts for (id: 2, 3, 4, 5, 6, …)"
    )
    explained = _compiled(pair_of_databases, seeded=(Seeded("true", "replace", "all of them are A's"),))
    assert _refused(pair_of_databases, explained) == {}
    pair_of_databases.run(
        "b",
        f"CREATE SCHEMA tracseq_migrate; CREATE TABLE {ours('chunk')} (replication text);"
        f" INSERT INTO {ours('chunk')} VALUES ('plain')",
    )
    assert _refused(pair_of_databases) == {}  # the copy has begun, and these may be its rows


def test_transactions_that_hold_up_the_making_of_triggers(
    pair_of_databases: PairOfDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    _both(pair_of_databases, "CREATE TABLE t (id int PRIMARY KEY, s text)")
    replication = _compiled(pair_of_databases)
    with pair_of_databases.writer("a", autocommit=False) as writer:
        writer.execute("SET application_name = 'night job'; INSERT INTO t VALUES (1, 'x')")
        assert _refused(pair_of_databases, replication) == {}  # it is young, and is waited for
        monkeypatch.setattr("tracseq_migrate.replication.refusals.live.LONG", 0)
        found = _refused(pair_of_databases, replication)
        assert set(found) == {("long-transaction", "a", "t")}
        assert "night job" in found["long-transaction", "a", "t"].what
        _mended(pair_of_databases, "a", found["long-transaction", "a", "t"])
        with pytest.raises(psycopg.OperationalError):
            writer.execute("SELECT 1")
    assert _refused(pair_of_databases, replication) == {}


@contextmanager
def _server_with_prepared_transactions(folder: Path) -> Iterator[str]:
    found = binaries()
    environ = {**os.environ, postgres.BIN_VARIABLE: str(found.get(SYSTEM) or next(iter(found.values())))}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    cluster = postgres.Cluster(postgres.find_installation(environ), folder / "data", port)
    password = postgres.new_password()
    cluster.create(password)
    with (cluster.data / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write("\nmax_prepared_transactions = 4\n")
    dsn = cluster.dsn("postgres", user=postgres.SUPERUSER, password=password)
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            cluster.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
        try:
            cluster.wait_ready(dsn, timeout=60)
            yield dsn
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def test_a_prepared_transaction_that_nobody_ends(tmp_path: Path) -> None:
    with _server_with_prepared_transactions(tmp_path) as dsn:
        sessions = PostgresSessions({"a": dsn, "b": dsn})
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
            connection.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it''s lost'")
            with (
                sessions.open("a", purpose="test", timeout=30) as a,
                sessions.open("b", purpose="test", timeout=30) as b,
            ):
                catalog = read(a)
                replication = plain.replication(plain.pair(catalog.tables["t"], catalog.tables["t"]))
                found = [
                    each
                    for each in refusals(replication, catalog, catalog, a, b)
                    if each.code == "prepared-transaction"
                ]
                assert [each.code for each in in_the_way(replication, catalog, catalog, a, b)] == [
                    "prepared-transaction",
                    "prepared-transaction",
                ]
                assert "'it''s lost' of " in blockers(a)
            assert {(each.side, each.where) for each in found} == {("a", "t"), ("b", "t")}
            assert "it's lost" in found[0].what
            commit = found[0].remedy.partition(";")[0]
            assert commit == "COMMIT PREPARED 'it''s lost'"
            connection.execute(commit.encode())
            with (
                sessions.open("a", purpose="test", timeout=30) as a,
                sessions.open("b", purpose="test", timeout=30) as b,
            ):
                after = refusals(replication, read(a), read(b), a, b)
                assert in_the_way(replication, catalog, catalog, a, b) == []
                assert "repared" not in blockers(a)
            assert not [each for each in after if each.code == "prepared-transaction"]


def test_a_standby_and_an_unsayable_encoding() -> None:
    from tracseq_migrate.replication.catalog.model import Catalog
    from tracseq_migrate.replication.refusals import databases
    from tracseq_migrate.replication.refusals.refusal import Voice

    catalog = Catalog("main", 15, "r", False, True, True, "SQL_ASCII", {}, {})
    found = {each.code: each for each in databases.alone(Voice("a", "main"), catalog)}
    assert set(found) == {"standby", "encoding"}
    assert "primary" in found["standby"].remedy
