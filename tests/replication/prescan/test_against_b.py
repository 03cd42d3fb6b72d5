"""What the pre-scan says of a row, held against what B does with it: refused, or not the same when it is read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from tests.replication import plain
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.catalog.model import Table
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.pair import Mapped, Pair
from tracseq_migrate.replication.prescan import prescan

_TEXTS = ["", " ", "a", "abc", "abcd", "abc ", "abc   ", "éüñ", "éüñx", "low", "High", "-1", "x y", "'", "\\"]
_NUMBERS = [
    "0",
    "1",
    "-1",
    "0.5",
    "0.05",
    "0.049",
    "99.94",
    "99.95",
    "99.99",
    "100",
    "-99.96",
    "1e20",
    "NaN",
    "32768",
    "-32768",
    "7.0",
]
_TIMES = [
    "2024-01-01 00:00:00+00",
    "2024-01-01 00:00:00.1+00",
    "2024-01-01 00:00:00.1234+00",
    "infinity",
    "1999-12-31 23:59:59.9996+00",
]
_ARRAYS = ["{}", "{a}", "{abcd}", "{abc,NULL}", "{low,high}", "{low,mid}", "{{a,b},{c,d}}"]

CASES: list[tuple[str, str, Sequence[str | None]]] = [
    ("text", "varchar(3)", _TEXTS),
    ("text", "char(3)", _TEXTS),
    ("text", "level", _TEXTS),
    ("text", "word", _TEXTS),
    ("text", "text CHECK (x <> '' AND length(x) < 4 OR x ~ '^é')", _TEXTS),
    ("text", "varchar(3) NOT NULL", [*_TEXTS, None]),
    ("text", "level NOT NULL CHECK (x IN ('low'))", [*_TEXTS, None]),
    ("numeric", "numeric(3, 1)", _NUMBERS),
    ("numeric", "numeric(3, 0) CHECK (x > -1)", _NUMBERS),
    ("numeric", "smallint", [each for each in _NUMBERS if each != "NaN"]),
    ("timestamptz", "timestamptz(3)", _TIMES),
    ("timestamptz", "timestamptz(0) CHECK (x < '2020-01-01')", _TIMES),
    ("text[]", "varchar(3)[]", _ARRAYS),
    ("text[]", "level[]", _ARRAYS),
    ("text[]", "text[] CHECK (cardinality(x) < 3)", _ARRAYS),
    ("interval", "interval(0)", ["1 day", "0.4 s", "1.6 s", "-0.5 s"]),
    ("bit varying", "bit varying(2)", ["", "1", "10", "101"]),
    ("bigint", "int", ["0", "2147483647", "2147483648", "-2147483648", "-2147483649"]),
]


def test_it_names_exactly_the_rows_that_b_does_not_take_as_they_are(
    pair_of_databases: PairOfDatabases,
) -> None:
    pair_of_databases.run(
        "b",
        "CREATE TYPE level AS ENUM ('low', 'high'); CREATE DOMAIN word AS varchar(3) CHECK (VALUE !~ ' ')",
    )
    for number, (given, wanted, values) in enumerate(CASES):
        pair_of_databases.run("a", f"CREATE TABLE t{number} (id int PRIMARY KEY, x {given})")
        pair_of_databases.run("b", f"CREATE TABLE t{number} (id int PRIMARY KEY, x {wanted})")
        with pair_of_databases.writer("a") as a:
            for key, value in enumerate(values):
                a.execute(f"INSERT INTO t{number} VALUES (%s, %s)".encode(), [key, value])
    wrong: list[tuple[object, ...]] = []
    judged = 0
    with (
        pair_of_databases.open("a") as a_session,
        pair_of_databases.open("b") as b_session,
        pair_of_databases.writer("b") as b,
    ):
        catalog_a, catalog_b = read(a_session), read(b_session)
        for number, (given, wanted, values) in enumerate(CASES):
            table = f"t{number}"
            pair = _pair(catalog_a.tables[table], catalog_b.tables[table])
            for key, value in enumerate(values):
                one = plain.replication(replace(pair, where_a=f"a.id = {key}"))
                found = prescan(a_session, b_session, one)
                assert all(
                    each.refused and each.count == 1 and each.samples == (f"id={key}",) for each in found
                )
                taken = _taken(b, table, given, key, value)
                judged += 1
                if taken == bool(found):
                    wrong.append((given, wanted, value, [str(each) for each in found], taken))
    assert wrong == []
    assert judged == sum(len(values) for _, _, values in CASES)


def _pair(a: Table, b: Table) -> Pair:
    """A's ``x`` as it is, in A's own type: as a mapping's expression has it whose values B is to take as they are."""
    wire = forms.wire_of(a.columns[1].type)
    pair = plain.pair(a, b)
    columns = tuple(
        Mapped(each.column, f'a."{each.name}"', wire if each.name == "x" else each.wire, "", "", (each.name,))
        for each in pair.columns
    )
    return replace(pair, columns=columns)


def _taken(
    b: psycopg.Connection[tuple[Any, ...]], table: str, given: str, key: int, value: str | None
) -> bool:
    """Whether B takes the value, and gives it back the same."""
    column = b.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'x'",
        [table],
    ).fetchone()
    assert column is not None
    same = f"(x::{given} IS NOT DISTINCT FROM %s::{given})"
    try:
        row = b.execute(
            f"INSERT INTO {table} VALUES (%s, %s::{given}::{column[0]}) RETURNING {same}".encode(),
            [key, value, value],
        ).fetchone()
    except psycopg.DatabaseError:
        return False
    assert row is not None
    return bool(row[0])
