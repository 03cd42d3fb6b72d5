"""Differences of every kind, planted one at a time: each is found, counted and named by its column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest

from tests.replication.applying.pairs import Wanted, pair_of
from tests.replication.databases import COMBINATIONS, PairOfDatabases
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.replication.comparing import (
    Comparison,
    DifferingColumn,
    Snapshots,
    TableComparison,
    apart,
    compare,
)
from tracseq_migrate.replication.pair import Pair, Replication, Seeded

A = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE things (
    id int, place text, name text, amount numeric, weight float8, small real, data jsonb, tags text[], matrix int[],
    raw bytea, span interval, born timestamp, feeling mood, flag boolean, code char(5), day date, address inet,
    PRIMARY KEY (id, place)
);
INSERT INTO things SELECT i, 'shelf ' || i % 3, 'thing ' || i, i / 8.0, i / 7.0, i / 3.0, jsonb_build_object('n', i),
    ARRAY['a' || i, NULL, 'x,y'], ARRAY[[i, 1], [2, 3]], decode(md5(i::text), 'hex'), i * interval '1 min',
    '2024-01-01'::timestamp + i * interval '1 us', CASE WHEN i % 2 = 0 THEN 'good' ELSE 'bad' END::mood, i % 2 = 0, 'c' || i,
    '2024-01-01'::date + i, '10.0.0.1'::inet + i
FROM generate_series(1, 3000) i;
INSERT INTO things VALUES (0, 'a "quoted", place\\with all', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL), (-1, '', '', 1.0, 'NaN', '-Infinity', '{}', '{}', '{}', '', '0', '-infinity', 'bad', false, '',
    'infinity', '::1');
"""
B = """
CREATE TYPE mood AS ENUM ('bad', 'good', 'other');
CREATE DOMAIN title AS varchar(200);
CREATE TABLE items (
    place varchar(100), id bigint, name title, amount numeric, weight float8, small real, data jsonb, tags text[], matrix int[],
    raw bytea, span interval, born_at timestamptz, feeling mood, flag boolean, code text, day date, address inet,
    PRIMARY KEY (place, id)
);
"""
NAMES = (
    "id",
    "place",
    "name",
    "amount",
    "weight",
    "small",
    "data",
    "tags",
    "matrix",
    "raw",
    "span",
    "feeling",
    "flag",
)
MAPPING = Wanted(
    "things",
    "items",
    {**{name: name for name in (*NAMES, "code", "day", "address")}, "born_at": "a.born AT TIME ZONE 'UTC'"},
    key={"place": "place", "id": "id"},
)


@contextmanager
def at_rest(databases: PairOfDatabases, replication: Replication) -> Iterator[Snapshots]:
    """Snapshots that align because nobody writes."""
    with apart(databases.sessions, replication) as snapshots:
        yield replace(snapshots, exact=True)


def asked(databases: PairOfDatabases, *pairs: Pair, limit: int = 20, values: bool = False) -> Comparison:
    replication = Replication("r", "a", "b", pairs, "", {})
    return compare(replication, lambda: at_rest(databases, replication), limit=limit, values=values)


def copied(databases: PairOfDatabases, mapping: Wanted = MAPPING) -> Pair:
    """The pair, after every row of A was carried to B."""
    with databases.open("a") as a, databases.open("b") as b:
        pair = pair_of(mapping, read(a), read(b))
        expressions = ", ".join(each.up for each in pair.columns)
        names = ", ".join(f'"{each.name}"' for each in pair.columns)
        with a.copy_out(
            f"COPY (SELECT {expressions} FROM {pair.a.relation} a WHERE {pair.where_a or 'true'}) TO STDOUT"
        ) as blocks:
            b.copy_in(f"COPY {pair.b.relation} ({names}) FROM STDIN", blocks)
    return pair


@pytest.fixture
def things(pair_of_databases: PairOfDatabases) -> Pair:
    pair_of_databases.run("a", A)
    pair_of_databases.run("b", B)
    return copied(pair_of_databases)


def only(comparison: Comparison) -> TableComparison:
    [table] = comparison.tables
    return table


@pytest.mark.parametrize("pair_of_databases", COMBINATIONS, indirect=True)
def test_equal_rows_are_equal_in_one_look(pair_of_databases: PairOfDatabases, things: Pair) -> None:
    comparison = asked(pair_of_databases, things)
    table = only(comparison)
    assert comparison.verdict == "equal"
    assert (table.rows_a, table.rows_b, table.looks, table.count) == (3002, 3002, 1, 0)
    assert table.digest_a == table.digest_b != "0"
    assert comparison.rows == 3002


PLANTED = {
    "a value": ("name = 'thing 5 '", "name"),
    "the empty text for a null": ("name = ''", "name"),
    "a null for a value": ("amount = NULL", "amount"),
    "the scale of a number": ("amount = 0.6250", "amount"),
    "the last bit of a float": ("weight = 0.7142857142857144", "weight"),
    "the sign of zero": ("weight = '-0'", "weight"),
    "a real": ("small = 1.6666667 + 0.0000002", "small"),
    "jsonb": ("""data = '{"n": "5"}'""", "data"),
    "an element of an array": ("tags = ARRAY['a5', '', 'x,y']", "tags"),
    "where an element of an array ends": ("tags = ARRAY['a5', NULL, 'x', 'y']", "tags"),
    "the shape of an array": ("matrix = ARRAY[5, 1, 2, 3]", "matrix"),
    "a byte": (r"raw = set_byte(raw, 3, (get_byte(raw, 3) + 1) % 256)", "raw"),
    "an interval of the same length": ("span = '300 sec', amount = amount", None),
    "an interval of another form": ("span = '1 day'", "span"),
    "a microsecond": ("born_at = born_at + interval '1 us'", "born_at"),
    "a zone": ("born_at = born_at + interval '1 hour'", "born_at"),
    "a label": ("feeling = 'other'", "feeling"),
    "a flag": ("flag = NOT flag", "flag"),
    "a blank at the end": ("code = 'c5   '", "code"),
    "a day": ("day = day + 1", "day"),
    "the mask of an address": ("address = set_masklen(address, 24)", "address"),
}


@pytest.mark.parametrize("change", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_difference_is_found_and_named(
    pair_of_databases: PairOfDatabases, things: Pair, change: tuple[str, str | None]
) -> None:
    statement, column = change
    pair_of_databases.run("b", f"UPDATE items SET {statement} WHERE id = 5")
    comparison = asked(pair_of_databases, things)
    table = only(comparison)
    if column is None:
        assert comparison.equal
        return
    assert comparison.verdict == "different"
    assert (table.missing, table.extra, table.different, table.looks) == (0, 0, 1, 2)
    [found] = table.differences
    assert found.kind == "different"
    assert found.key == {"place": "shelf 2", "id": "5"}
    assert [each.name for each in found.columns] == [column]
    assert "thing 5" not in json.dumps(comparison.document())


def test_values_are_shown_where_they_are_asked_for(pair_of_databases: PairOfDatabases, things: Pair) -> None:
    pair_of_databases.run("b", "UPDATE items SET name = NULL, amount = 7 WHERE id = 5")
    comparison = asked(pair_of_databases, things, values=True)
    [found] = only(comparison).differences
    assert [(each.name, each.a, each.b) for each in found.columns] == [
        ("name", "thing 5", None),
        ("amount", "0.62500000000000000000", "7"),
    ]
    assert comparison.document()["tables"][0]["differences"][0]["columns"][0] == {
        "name": "name",
        "a": "thing 5",
        "b": None,
    }


def test_missing_extra_and_different_rows_are_counted_and_the_first_listed(
    pair_of_databases: PairOfDatabases, things: Pair
) -> None:
    pair_of_databases.run("b", "DELETE FROM items WHERE id % 10 = 0 AND id > 0")
    pair_of_databases.run("b", "INSERT INTO items (place, id) SELECT 'new', i FROM generate_series(1, 7) i")
    pair_of_databases.run("b", "UPDATE items SET flag = NOT flag WHERE id % 10 = 1 AND place <> 'new'")
    comparison = asked(pair_of_databases, things, limit=9)
    table = only(comparison)
    assert (table.missing, table.extra, table.different) == (300, 7, 300)
    assert (table.rows_a, table.rows_b) == (3002, 2709)
    assert len(table.differences) == 9
    assert table.looks == 2
    assert {each.kind for each in table.differences} <= {"missing", "extra", "different"}


def test_two_rows_that_swapped_their_values_are_both_found(
    pair_of_databases: PairOfDatabases, things: Pair
) -> None:
    pair_of_databases.run(
        "b", "UPDATE items SET name = CASE id WHEN 5 THEN 'thing 8' ELSE 'thing 5' END WHERE id IN (5, 8)"
    )
    table = only(asked(pair_of_databases, things))
    assert (table.missing, table.extra, table.different) == (0, 0, 2)


def test_keys_with_quotes_commas_and_backslashes(pair_of_databases: PairOfDatabases, things: Pair) -> None:
    pair_of_databases.run("b", "UPDATE items SET flag = true WHERE id <= 0")
    pair_of_databases.run("a", "DELETE FROM things WHERE id = -1")
    found = only(asked(pair_of_databases, things)).differences
    assert [(each.kind, each.key) for each in found] == [
        ("extra", {"place": "", "id": "-1"}),
        ("different", {"place": 'a "quoted", place\\with all', "id": "0"}),
    ]


def test_a_changed_key_is_one_missing_and_one_extra(pair_of_databases: PairOfDatabases, things: Pair) -> None:
    pair_of_databases.run("b", "UPDATE items SET place = 'Shelf 2' WHERE id = 5")
    table = only(asked(pair_of_databases, things))
    assert (table.missing, table.extra, table.different) == (1, 1, 0)


def test_an_emptied_table_differs_in_every_row(pair_of_databases: PairOfDatabases, things: Pair) -> None:
    pair_of_databases.run("b", "TRUNCATE items")
    table = only(asked(pair_of_databases, things, limit=2))
    assert (table.missing, table.extra, table.different) == (3002, 0, 0)
    assert len(table.differences) == 2


def test_two_empty_tables_are_equal(pair_of_databases: PairOfDatabases, things: Pair) -> None:
    pair_of_databases.run("b", "TRUNCATE items")
    pair_of_databases.run("a", "TRUNCATE things")
    comparison = asked(pair_of_databases, things)
    assert comparison.equal
    assert only(comparison).rows_a == 0


def test_more_differences_than_are_remembered_are_counted_all(
    pair_of_databases: PairOfDatabases, things: Pair
) -> None:
    pair_of_databases.run(
        "b", "INSERT INTO items (place, id) SELECT 'new', i FROM generate_series(1, 25000) i"
    )
    table = only(asked(pair_of_databases, things, limit=3))
    assert (table.missing, table.extra, table.different, table.looks) == (0, 25000, 0, 2)
    assert len(table.differences) == 3


def test_filters_and_seeds_are_what_the_pair_says(pair_of_databases: PairOfDatabases) -> None:
    pair_of_databases.run("a", A)
    pair_of_databases.run("b", B)
    pair = copied(pair_of_databases, replace(MAPPING, where_a="a.id % 2 = 0"))
    assert asked(pair_of_databases, pair).rows == 1501
    pair_of_databases.run(
        "b", "INSERT INTO items (place, id, name) VALUES ('seed', 999999, 'by the service')"
    )
    assert only(asked(pair_of_databases, pair)).extra == 1
    seeded = replace(pair, seeded=(Seeded("b.place = 'seed'", "keep", "the service needs it"),))
    assert asked(pair_of_databases, seeded).equal
    replaced = replace(pair, seeded=(Seeded("b.place = 'seed'", "replace", "the same"),))
    assert only(asked(pair_of_databases, replaced)).extra == 1
    pair_of_databases.run("a", "UPDATE things SET name = 'odd' WHERE id = 7")
    assert asked(pair_of_databases, seeded).equal


def test_a_side_table_is_compared_value_by_value(pair_of_databases: PairOfDatabases, things: Pair) -> None:
    pair_of_databases.run(
        "b",
        'CREATE SCHEMA tracseq_migrate; CREATE TABLE tracseq_migrate."unmapped_items" (place varchar(100), id bigint,'
        ' "column" text, "value" text, PRIMARY KEY (place, id, "column"))',
    )
    pair = replace(things, kept=("name", "amount"), side='"tracseq_migrate"."unmapped_items"')
    with pair_of_databases.open("a") as a, pair_of_databases.open("b") as b:
        query = (
            "SELECT a.place, a.id, v.n, v.t FROM public.things a"
            " CROSS JOIN LATERAL (VALUES ('name', a.name::text), ('amount', a.amount::text)) v (n, t) WHERE v.t IS NOT NULL"
        )
        with a.copy_out(f"COPY ({query}) TO STDOUT") as blocks:
            b.copy_in("COPY tracseq_migrate.unmapped_items FROM STDIN", blocks)
    comparison = asked(pair_of_databases, pair)
    assert comparison.equal
    assert [(each.name, each.pair, each.rows_a) for each in comparison.tables] == [
        ("items", "items", 3002),
        ("unmapped_items", "items", 6002),
    ]
    pair_of_databases.run(
        "b",
        "DELETE FROM tracseq_migrate.unmapped_items WHERE id = 5 AND \"column\" = 'name';"
        " UPDATE tracseq_migrate.unmapped_items SET \"value\" = '1' WHERE id = 8 AND \"column\" = 'amount';"
        " INSERT INTO tracseq_migrate.unmapped_items VALUES ('shelf 0', 3, 'other', '')",
    )
    rows, kept = asked(pair_of_databases, pair).tables
    assert rows.equal
    assert [(each.kind, each.key["id"], each.key["column"]) for each in kept.differences] == [
        ("extra", "3", "other"),
        ("missing", "5", "name"),
        ("different", "8", "amount"),
    ]
    assert kept.differences[2].columns == (DifferingColumn("value"),)
    with at_rest(pair_of_databases, Replication("r", "a", "b", (pair,), "", {})) as snapshots:
        back = replace(snapshots, direction="back")
        found = compare(Replication("r", "a", "b", (pair,), "", {}), lambda: nullcontext(back))
    assert [each.name for each in found.tables] == ["items"]


def test_a_null_key_on_a_is_a_difference_and_no_error(
    pair_of_databases: PairOfDatabases, things: Pair
) -> None:
    columns = tuple(
        replace(each, text_a=f"(CASE WHEN a.id = 5 THEN NULL ELSE {each.text_a} END)")
        if each.name == "place"
        else each
        for each in things.columns
    )
    table = only(asked(pair_of_databases, replace(things, columns=columns)))
    assert (table.missing, table.extra) == (1, 1)
    assert {each.kind: each.key["place"] for each in table.differences} == {
        "missing": None,
        "extra": "shelf 2",
    }
