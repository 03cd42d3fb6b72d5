"""The pre-scan against real servers: each reason found with its count and keys, and no more than one scan."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.replication import plain
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.ports.sql import SqlFailed
from tracseq_migrate.replication.pair import IdMap, Mapped, Pair, Replication, Seeded
from tracseq_migrate.replication.prescan import Misfit, prescan

BOTH_WAYS = pytest.mark.parametrize(
    "pair_of_databases", ["system->embedded", "embedded->system"], indirect=True
)


def _scan(databases: PairOfDatabases, replication: Replication) -> list[Misfit]:
    with databases.open("a") as a, databases.open("b") as b:
        found = prescan(a, b, replication)
        assert not a.in_transaction
        assert not b.in_transaction
    return found


def _one(databases: PairOfDatabases, ups: Mapping[str, str] | None = None, **more: Any) -> list[Misfit]:
    """Of the table ``t`` on both sides."""
    a, b = plain.catalogs(databases)
    return _scan(databases, plain.replication(plain.pair(a.tables["t"], b.tables["t"], ups, **more)))


def _told(found: list[Misfit]) -> dict[tuple[str, str], tuple[int | None, tuple[str, ...]]]:
    return {(each.where, each.code): (each.count, each.samples) for each in found}


def test_rows_that_fit_are_no_misfits(pair_of_databases: PairOfDatabases) -> None:
    for side in "ab":
        pair_of_databases.run(
            side,
            "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE t (id int PRIMARY KEY, name varchar(5) NOT NULL UNIQUE,"
            " m mood CHECK (m <> 'bad'), n numeric(4, 1), up int REFERENCES t)",
        )
    pair_of_databases.run(
        "a", "INSERT INTO t VALUES (1, 'abcde', 'good', 999.9, NULL), (2, 'x', NULL, NULL, 1)"
    )
    assert _one(pair_of_databases) == []


@BOTH_WAYS
def test_values_that_do_not_fit_their_types(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        """CREATE TABLE t (id int PRIMARY KEY, name text, fixed text, role text, amount numeric, small bigint, at timestamptz,
             tags text[], roles text[], doc json, bits bit varying);
           INSERT INTO t SELECT i, 'ok', 'ok', 'user', 1.5, i, '2024-01-01 00:00:00Z', '{a}', '{admin}', '{"a":1}', B'101'
             FROM generate_series(1, 100) AS i;
           UPDATE t SET name = repeat('é', 11) WHERE id IN (3, 4);
           UPDATE t SET name = NULL WHERE id = 5;
           UPDATE t SET fixed = 'ab ' WHERE id = 6;
           UPDATE t SET role = 'owner' WHERE id IN (7, 8, 9, 10, 11, 12, 13);
           UPDATE t SET amount = 1234.5 WHERE id = 14;
           UPDATE t SET amount = 1.25 WHERE id = 15;
           UPDATE t SET amount = 'NaN' WHERE id = 16;
           UPDATE t SET small = 40000 WHERE id = 17;
           UPDATE t SET at = '2024-01-01 00:00:00.123456Z' WHERE id = 18;
           UPDATE t SET tags = '{ok,toolong,NULL}' WHERE id = 19;
           UPDATE t SET roles = '{admin,NULL,nobody}' WHERE id = 20;
           UPDATE t SET doc = '{"a":"x\\u0000y"}' WHERE id = 21;
           UPDATE t SET doc = '{"a":"x\\\\u0000y"}' WHERE id = 22;
           UPDATE t SET bits = B'11111' WHERE id = 23;""",
    )
    pair_of_databases.run(
        "b",
        """CREATE TYPE role AS ENUM ('user', 'admin');
           CREATE TABLE t (id int PRIMARY KEY, name varchar(10) NOT NULL, fixed char(4), role role, amount numeric(4, 1),
             small smallint, at timestamptz(3), tags varchar(3)[], roles role[], doc jsonb, bits bit varying(3))""",
    )
    ups = {"small": 'a."small"', "doc": '(a."doc")::jsonb', "amount": '(a."amount" + 0)'}
    a, b = plain.catalogs(pair_of_databases)
    pair = plain.pair(a.tables["t"], b.tables["t"], ups)
    # As a mapping's expression can be of another type than the column, as long as every value of it fits.
    columns = tuple(
        Mapped(each.column, each.up, "bigint", each.text_a, each.text_b, each.reads)
        if each.name == "small"
        else each
        for each in pair.columns
    )
    found = _scan(pair_of_databases, plain.replication(replace(pair, columns=columns)))
    assert _told(found) == {
        ("t.name", "length"): (2, ("id=3", "id=4")),
        ("t.name", "null"): (1, ("id=5",)),
        ("t.fixed", "padding"): (1, ("id=6",)),
        ("t.role", "label"): (7, _told(found)["t.role", "label"][1]),
        ("t.amount", "range"): (1, ("id=14",)),
        ("t.amount", "rounding"): (1, ("id=15",)),
        ("t.small", "range"): (1, ("id=17",)),
        ("t.at", "rounding"): (1, ("id=18",)),
        ("t.tags", "length"): (1, ("id=19",)),
        ("t.roles", "label"): (1, ("id=20",)),
        ("t.doc", "nul"): (1, ("id=21",)),
        ("t.bits", "rounding"): (1, ("id=23",)),
    }
    assert set(_told(found)["t.role", "label"][1]) <= {f"id={number}" for number in range(7, 14)}
    assert all(each.rows == 100 and each.refused for each in found)
    # B says the same of each: what is counted is refused, or is cut.
    for each in found:
        assert each.remedy
        assert json.loads(json.dumps(each.document()))["count"] == each.count


def test_samples_are_five_at_most_and_no_values(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE t (id int PRIMARY KEY, s text); INSERT INTO t SELECT i, 'secret ' || i FROM generate_series(1, 500) i",
    )
    pair_of_databases.run("b", "CREATE TABLE t (id int PRIMARY KEY, s varchar(3))")
    (found,) = _one(pair_of_databases)
    assert found.count == 500
    assert len(found.samples) == 5
    assert "secret" not in str(found)
    assert str(found).startswith(
        "t.s: 500 of 500 rows: longer than the 3 characters of character varying(3); id="
    )


@BOTH_WAYS
def test_checks_and_domains_are_asked_of_the_mapped_row(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        """CREATE TABLE t (id int PRIMARY KEY, mail text, low int, high int, state text, age int);
           INSERT INTO t VALUES (1, 'a@b.c', 1, 2, 'on', 5), (2, 'nobody', 1, 2, 'on', 5), (3, 'a@b.c', 3, 2, 'on', 5),
             (4, 'a@b.c', NULL, 2, 'off', 5), (5, 'a@b.c', 1, 2, 'on', -1)""",
    )
    pair_of_databases.run(
        "b",
        """CREATE TYPE state AS ENUM ('on', 'off');
           CREATE DOMAIN age AS int CONSTRAINT positive CHECK (VALUE >= 0);
           CREATE TABLE t (id int PRIMARY KEY, email varchar(50) CONSTRAINT mail CHECK (email ~ '^[^@]+@[^@]+[.][^@]+$'),
             low int, high int, state state CONSTRAINT alive CHECK (state = ANY (ARRAY['on'::state])), age age,
             extra int NOT NULL DEFAULT 7, CONSTRAINT ordered CHECK (low <= high AND extra > 0))""",
    )
    found = _one(pair_of_databases, {"email": 'a."mail"'})
    assert _told(found) == {
        ("t, CHECK mail", "check"): (1, ("id=2",)),
        ("t, CHECK ordered", "check"): (1, ("id=3",)),
        ("t, CHECK alive", "check"): (1, ("id=4",)),
        ('t.age, positive of "public"."age"', "domain"): (1, ("id=5",)),
    }


def test_checks_that_a_cannot_evaluate_are_open_questions(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE t (id int PRIMARY KEY, size text, n int, word text); INSERT INTO t VALUES (1, 's', 1, 'w')",
    )
    pair_of_databases.run(
        "b",
        """CREATE TYPE size AS ENUM ('s', 'm', 'l');
           CREATE FUNCTION even(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 % 2 = 0';
           CREATE TABLE t (id int PRIMARY KEY, size size CONSTRAINT big CHECK (size > 's'), n int CONSTRAINT even CHECK (even(n)),
             word char(3) CONSTRAINT padded CHECK (word <> 'w'),
             made int GENERATED ALWAYS AS (n * 2) STORED CONSTRAINT doubled CHECK (made > 0),
             EXCLUDE USING btree (n WITH =))""",
    )
    found = _one(pair_of_databases)
    assert {each.where: (each.code, each.count, each.refused) for each in found} == {
        "t, CHECK big": ("check", None, False),
        "t, CHECK even": ("check", None, False),
        "t, CHECK padded": ("check", None, False),
        "t, CHECK doubled": ("check", None, False),
        "t, t_n_excl": ("exclusion", None, False),
    }
    told = {each.where: each.what for each in found}
    assert "function public.even(integer)" in told["t, CHECK even"]
    assert "the order of public.size" in told["t, CHECK big"]
    assert all("cannot be known" in each for each in told.values())


def test_a_function_of_the_same_name_on_a_is_not_trusted(pair_of_databases: PairOfDatabases) -> None:
    for side, truth in (("a", "true"), ("b", "false")):
        pair_of_databases.run(
            side, f"CREATE FUNCTION fine(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT {truth}'"
        )
    pair_of_databases.run("a", "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)")
    pair_of_databases.run("b", "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (fine(n)))")
    (found,) = _one(pair_of_databases)
    assert found.count is None


@BOTH_WAYS
def test_rows_that_become_equal_in_a_unique_index_of_b(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        """CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE, x int, y text, gone boolean, code text);
           INSERT INTO t VALUES (1, 'a@b', 1, 'q', false, NULL), (2, 'A@b', 1, 'q', false, NULL), (3, 'c@d', 1, NULL, true, 'z'),
             (4, 'e@f', 1, NULL, true, 'z'), (5, 'g@h', 2, 'q', false, 'k')""",
    )
    pair_of_databases.run(
        "b",
        """CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE, x int, y text, gone boolean, code text, UNIQUE (x, y));
           CREATE UNIQUE INDEX folded ON t (lower(mail));
           CREATE UNIQUE INDEX living ON t (code) WHERE NOT gone;
           CREATE UNIQUE INDEX coded ON t (code)""",
    )
    found = _one(pair_of_databases)
    assert _told(found) == {
        ("t, unique index folded", "unique"): (1, ("id=1 and id=2",)),
        ("t, unique index t_x_y_key", "unique"): (1, ("id=1 and id=2",)),
        ("t, unique index coded", "unique"): (1, ("id=3 and id=4",)),
    }
    assert "2 rows in all" in found[0].what


def test_nulls_that_are_not_distinct_and_case_that_is_none(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE t (id int PRIMARY KEY, x int UNIQUE, mail text UNIQUE);"
        " INSERT INTO t VALUES (1, NULL, 'a@b'), (2, NULL, 'A@B'), (3, 3, 'c')",
    )
    with pair_of_databases.superuser("b") as superuser:
        superuser.execute("CREATE EXTENSION citext SCHEMA public")
    pair_of_databases.run(
        "b", "CREATE TABLE t (id int PRIMARY KEY, x int UNIQUE NULLS NOT DISTINCT, mail citext UNIQUE)"
    )
    assert _told(_one(pair_of_databases)) == {
        ("t, unique index t_x_key", "unique"): (1, ("id=1 and id=2",)),
        ("t, unique index t_mail_key", "unique"): (1, ("id=1 and id=2",)),
    }


def test_rows_equal_to_one_that_b_keeps(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE); INSERT INTO t VALUES (1, 'x'), (2, 'admin')",
    )
    pair_of_databases.run(
        "b",
        "CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE); INSERT INTO t VALUES (9, 'admin'), (1, 'other')",
    )
    kept = (Seeded("b.id IN (1, 9)", "keep", "they are B's"),)
    assert _told(_one(pair_of_databases, seeded=kept)) == {
        ("t, unique index t_mail_key", "taken"): (1, ("id=2",)),
        ("t, unique index t_pkey", "taken"): (1, ("id=1",)),
    }
    replaced = (Seeded("b.id IN (1, 9)", "replace", "A's are the true ones"),)
    assert _one(pair_of_databases, seeded=replaced) == []


def _family(databases: PairOfDatabases, **more: Any) -> list[Misfit]:
    a, b = plain.catalogs(databases)
    parents = plain.pair(a.tables["parents"], b.tables["parents"], **more)
    children = plain.pair(a.tables["children"], b.tables["children"])
    return _scan(databases, plain.replication(parents, children))


@BOTH_WAYS
def test_children_without_a_parent(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        """CREATE TABLE parents (id int PRIMARY KEY, gone boolean NOT NULL);
           CREATE TABLE children (id int PRIMARY KEY, parent int, ward int);
           INSERT INTO parents VALUES (1, false), (2, true);
           INSERT INTO children VALUES (1, 1, 5), (2, 7, 5), (3, NULL, 6), (4, 2, NULL)""",
    )
    pair_of_databases.run(
        "b",
        """CREATE TABLE parents (id int PRIMARY KEY, gone boolean NOT NULL); CREATE TABLE wards (id int PRIMARY KEY);
           INSERT INTO wards VALUES (5); INSERT INTO parents VALUES (7, false);
           CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents, ward int REFERENCES wards)""",
    )
    pair_of_databases.run("b", "DELETE FROM parents")
    expected = {("children.parent", "parent"): (1, ("id=2",)), ("children.ward", "parent"): (1, ("id=3",))}
    assert _told(_family(pair_of_databases)) == expected
    filtered = _told(_family(pair_of_databases, where_a="NOT a.gone"))
    assert filtered == {**expected, ("children.parent", "parent"): (2, ("id=2", "id=4"))}
    pair_of_databases.run("b", "INSERT INTO parents VALUES (7, false)")
    kept = _told(_family(pair_of_databases, seeded=(Seeded("b.id = 7", "keep", "B's own"),)))
    assert kept == {("children.ward", "parent"): (1, ("id=3",))}


def _scans(databases: PairOfDatabases, table: str) -> int:
    """How often a table was read: asked when every other session has ended, since each hands its count in as it goes."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    with databases.superuser("a") as superuser:
        while superuser.execute(f"{others} AND pid <> pg_backend_pid()").fetchone() != (0,):
            time.sleep(0.01)
        row = superuser.execute(
            "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = %s", [table]
        ).fetchone()
    assert row is not None
    return int(row[0])


@BOTH_WAYS
def test_one_scan_whatever_the_number_of_rules(pair_of_databases: PairOfDatabases) -> None:
    many = ", ".join(f"c{number} text" for number in range(30))
    pair_of_databases.run(
        "a", f"CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE, up int REFERENCES t, {many})"
    )
    pair_of_databases.run(
        "a", "INSERT INTO t (id, c1) SELECT i, 'long' FROM generate_series(1, 1000) AS i; ANALYZE t"
    )
    checked = ", ".join(f"c{number} varchar(3) NOT NULL CHECK (c{number} <> 'no')" for number in range(30))
    pair_of_databases.run(
        "b", f"CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE, up int REFERENCES t, {checked})"
    )
    pair_of_databases.run("b", "CREATE UNIQUE INDEX ON t (lower(mail)); CREATE UNIQUE INDEX ON t (c1, id)")
    before = _scans(pair_of_databases, "t")
    found = _one(pair_of_databases)
    # 29 columns without a value, and one with a value that is too long.
    assert sorted((each.code, each.count) for each in found) == [("length", 1000), *[("null", 1000)] * 29]
    assert _scans(pair_of_databases, "t") == before + 1


def test_an_expression_that_fails_is_found_with_its_row(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE t (id int PRIMARY KEY, n text, long text);"
        " INSERT INTO t SELECT i, CASE WHEN i = 1503 THEN 'x' ELSE i::text END, 'abcd' FROM generate_series(1, 2000) i",
    )
    pair_of_databases.run("b", "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n > 0), long varchar(3))")
    found = _one(pair_of_databases, {"n": '(a."n"::int)'})
    assert _told(found) == {
        ("t.n", "fails"): (1, ("id=1503",)),
        ("t.long", "length"): (2000, _told(found)["t.long", "length"][1]),
    }
    assert 'invalid input syntax for type integer: "x"' in found[0].what


def test_id_maps_that_are_not_made_yet(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE parents (id serial PRIMARY KEY);"
        " CREATE TABLE children (id serial PRIMARY KEY, parent int REFERENCES parents);"
        " INSERT INTO parents DEFAULT VALUES; INSERT INTO children VALUES (1, 1), (2, NULL)",
    )
    pair_of_databases.run(
        "b",
        "CREATE TABLE parents (id uuid PRIMARY KEY);"
        " CREATE TABLE children (id int PRIMARY KEY, parent uuid NOT NULL REFERENCES parents)",
    )
    a, b = plain.catalogs(pair_of_databases)
    table = '"tracseq_migrate"."ids_parents"'

    def up(column: str) -> str:
        return f'coalesce((SELECT i.new FROM {table} i WHERE i.old = a."{column}"), md5(\'p:\' || a."{column}"::text)::uuid)'

    def pairs(reference: str) -> tuple[Pair, Pair]:
        ids = IdMap(
            "parents", "id", "id", table, '"public"."parents_id_seq"', "md5('p:' || a.\"id\"::text)::uuid"
        )
        return (
            plain.pair(a.tables["parents"], b.tables["parents"], {"id": up("id")}, ids=(ids,)),
            plain.pair(a.tables["children"], b.tables["children"], {"parent": reference}),
        )

    expected = {("children.parent", "null"): (1, ("id=2",))}
    assert _told(_scan(pair_of_databases, plain.replication(*pairs(up("parent"))))) == expected
    # Not the same map: then nothing follows of A's own foreign key, and the uuids themselves are compared.
    other = "md5('other:' || a.\"parent\"::text)::uuid"
    found = _told(_scan(pair_of_databases, plain.replication(*pairs(other))))
    assert found == {**expected, ("children.parent", "parent"): (1, ("id=1",))}


def test_long_values_under_an_index_that_a_has_not(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        "CREATE TABLE t (id int PRIMARY KEY, s text); INSERT INTO t VALUES (1, repeat('x', 3000)), (2, 'y')",
    )
    pair_of_databases.run("b", "CREATE TABLE t (id int PRIMARY KEY, s text); CREATE INDEX ON t (s)")
    (found,) = _one(pair_of_databases)
    assert (found.code, found.count, found.samples, found.certain, found.refused) == (
        "index",
        1,
        ("id=1",),
        False,
        False,
    )


def test_awkward_names_and_keys_of_several_columns(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run(
        "a",
        """CREATE TABLE t ("Id'\\x" int, "k ""2" text, "from" text, PRIMARY KEY ("Id'\\x", "k ""2"));
           INSERT INTO t VALUES (1, 'a', 'long'), (2, 'b', NULL)""",
    )
    pair_of_databases.run(
        "b",
        """CREATE TABLE t ("Id'\\x" int, "k ""2" text, "from" varchar(3) NOT NULL CHECK ("from" <> 'no' AND "Id'\\x" > 1),
           PRIMARY KEY ("Id'\\x", "k ""2"))""",
    )
    assert _told(_one(pair_of_databases)) == {
        ("t.from", "length"): (1, ("Id'\\x=1, k \"2=a",)),
        ("t.from", "null"): (1, ("Id'\\x=2, k \"2=b",)),
        ("t, CHECK t_check", "check"): (1, ("Id'\\x=1, k \"2=a",)),
    }


def test_no_right_to_read_is_no_pass(pair_of_databases: PairOfDatabases) -> None:
    for side in "ab":
        pair_of_databases.run(side, "CREATE TABLE t (id int PRIMARY KEY)")
    pair_of_databases.run("a", "REVOKE ALL ON t FROM CURRENT_USER")
    with pytest.raises(SqlFailed) as caught:
        _one(pair_of_databases)
    assert caught.value.sqlstate == "42501"
