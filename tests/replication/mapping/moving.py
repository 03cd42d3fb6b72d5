"""Rows moved by what a mapping was compiled to, in the plainest way: one after the other, without capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.catalog import reading as catalogs
from tracseq_migrate.replication.mapping.back import lens
from tracseq_migrate.replication.mapping.compiling import compile_mapping, tables_of
from tracseq_migrate.replication.mapping.reading import Source, read
from tracseq_migrate.replication.names import listed, quoted
from tracseq_migrate.replication.pair import Pair, Replication

ROOT = Path(__file__).parents[3]


def compiled(databases: PairOfDatabases, text: str | Source, *, name: str = "people") -> Replication:
    """A mapping held against the live catalogs."""
    source = read(text.encode(), "mappings/people.yaml") if isinstance(text, str) else text
    of_a, of_b = tables_of(source.mapping)
    with databases.open("a") as a, databases.open("b") as b:
        return compile_mapping(name, source, catalogs.read(a, of_a), catalogs.read(b, of_b))


def make_ids(databases: PairOfDatabases, replication: Replication) -> None:
    """The tables of id maps, filled with all that A has."""
    with databases.open("a") as a:
        for pair in replication.pairs:
            for ids in pair.ids:
                a.execute("CREATE SCHEMA IF NOT EXISTS tracseq_migrate")
                a.execute(f"CREATE TABLE {ids.table} (old bigint PRIMARY KEY, new uuid NOT NULL UNIQUE)")
                a.execute(
                    f"INSERT INTO {ids.table} SELECT a.{quoted(ids.column_a)}, {ids.computed} FROM {pair.a.relation} a"
                )


def move(databases: PairOfDatabases, pair: Pair) -> int:
    """Every row of A, written to B; the number of them."""
    names = tuple(each.name for each in pair.columns)
    values = ", ".join(f"({each.up})::text" for each in pair.columns)
    where = f" WHERE {pair.where_a}" if pair.where_a else ""
    staged = ", ".join(f"${n}::{each.wire} AS {quoted(each.name)}" for n, each in enumerate(pair.columns, 1))
    insert = (
        f"INSERT INTO {pair.b.relation} ({listed(names)}) SELECT {', '.join(each.from_wire for each in pair.columns)}"
        f" FROM (SELECT {staged}) AS s"
    )
    with databases.open("a") as a, databases.open("b") as b:
        for each in pair.seeded:
            if each.then == "replace":
                b.execute(f"DELETE FROM {pair.b.relation} b WHERE {each.match}")
        rows = a.rows(f"SELECT {values} FROM {pair.a.relation} a{where}")
        for row in rows:
            b.execute(insert, row)
    return len(rows)


def texts(
    databases: PairOfDatabases, pair: Pair, *, only: tuple[str, ...] = ()
) -> tuple[list[Any], list[Any]]:
    """What is compared: the canonical texts of every row, of A and of B."""
    columns = [each for each in pair.columns if not only or each.name in only]
    where = f" WHERE {pair.where_a}" if pair.where_a else ""
    with databases.open("a") as a, databases.open("b") as b:
        of_a = a.rows(f"SELECT {', '.join(each.text_a for each in columns)} FROM {pair.a.relation} a{where}")
        of_b = b.rows(
            f"SELECT {', '.join(each.text_b for each in columns)} FROM {pair.b.relation} b WHERE {pair.owned_b}"
        )
    return sorted(of_a, key=repr), sorted(of_b, key=repr)


def come_back(databases: PairOfDatabases, pair: Pair) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Every row of B as it would be on A, as texts by column, and the refusals: column and why."""
    with databases.open("b") as b:
        wired = ", ".join(f"(b.{quoted(each.name)}::{each.wire})::text" for each in pair.columns)
        rows = b.rows(f"SELECT {wired} FROM {pair.b.relation} b WHERE {pair.owned_b}")
    staged = ", ".join(f"${n}::{each.wire} AS {quoted(each.name)}" for n, each in enumerate(pair.columns, 1))
    key = {each.name: each for each in pair.back}
    there = " AND ".join(f"a.{quoted(name)} = {key[name].down}" for name in pair.key_a)
    values = ", ".join(f"({lens(pair, each)})::text" for each in pair.back)
    refusals = ", ".join(each.refused or "false" for each in pair.back)
    made, refused = [], []
    with databases.open("a") as a:
        for row in rows:
            [answer] = a.rows(
                f"SELECT {values}, {refusals} FROM (SELECT {staged}) AS b LEFT JOIN {pair.a.relation} AS a ON {there}",
                row,
            )
            count = len(pair.back)
            made.append({each.name: answer[n] for n, each in enumerate(pair.back)})
            refused += [
                (each.name, each.why) for each, no in zip(pair.back, answer[count:], strict=True) if no
            ]
    return made, refused


def rows_of(databases: PairOfDatabases, pair: Pair) -> list[dict[str, Any]]:
    """A's rows as texts, of the columns that come back."""
    where = f" WHERE {pair.where_a}" if pair.where_a else ""
    with databases.open("a") as a:
        found = a.rows(
            f"SELECT {', '.join(f'a.{quoted(each.name)}::text' for each in pair.back)} FROM {pair.a.relation} a{where}"
        )
    return [{each.name: value for each, value in zip(pair.back, row, strict=True)} for row in found]
