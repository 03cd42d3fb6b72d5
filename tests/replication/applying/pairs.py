"""Pairs made by hand from the live catalogs, and what every test of this folder begins and ends with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication import capture
from tracseq_migrate.replication.applying import Applier, applier
from tracseq_migrate.replication.catalog.model import Catalog, Column, Type
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.replication.control import tables
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.pair import Back, Direction, IdMap, Mapped, Pair, Replication


@dataclass(frozen=True)
class Wanted:
    """One table's mapping in short: B's column -> an expression over A's row; a plain name stands for A's column."""

    a: str
    b: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """B's column: expression; empty: every column that both have, by name."""
    back: Mapping[str, tuple[str, Sequence[str]]] = field(default_factory=dict)
    """A's column: (down, watched); what is not there and has one plain column of B goes back as it came."""
    refused: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    key: Mapping[str, str] = field(default_factory=dict)
    where_a: str = ""
    where_b: str = ""
    kept: tuple[str, ...] = ()
    seeded: tuple[Any, ...] = ()
    ids: bool = False
    shared: bool = False
    name: str = ""


def base(kind: Type) -> Type:
    return kind.base or kind


def wire_of(column: Column) -> str:
    kind = base(column.type)
    if kind.kind == "enum" or not kind.builtin or kind.name in ("character varying", "bpchar", "text"):
        return "text"
    return kind.full


def pair_of(wanted: Wanted, a: Catalog, b: Catalog) -> Pair:
    """The pair that a compiler would make of it."""
    table_a, table_b = a.tables[wanted.a], b.tables[wanted.b]
    written = [each for each in table_b.columns if not each.generated]
    columns = wanted.columns or {
        each.name: each.name for each in written if table_a.column(each.name) is not None
    }
    key_b = tuple(wanted.key) or table_b.key
    key_a = tuple(wanted.key.values()) or table_a.key
    made, plain = [], {}
    for each in written:
        if each.name not in columns:
            continue
        expression = columns[each.name]
        wire = wire_of(each)
        source = table_a.column(expression)
        if source is not None:
            plain[source.name] = each.name
            expression = f"a.{quoted(source.name)}"
        if (
            each.type.full != base(each.type).full
            or wire == "text"
            or source is None
            or source.type != each.type
        ):
            expression = f"({expression})::{wire}"
        made.append(
            Mapped(
                column=each,
                up=expression,
                wire=wire,
                text_a=f"({expression})::text",
                text_b=f"b.{quoted(each.name)}::text",
                text_staged=f"b.{quoted(each.name)}::text",
                reads=(source.name,) if source else (),
                assigned=wire == each.type.full
                or (wire == "text" and base(each.type).name in ("text", "character varying", "bpchar")),
            )
        )
    ids: tuple[IdMap, ...] = ()
    if wanted.ids:
        own = table_a.column(key_a[0])
        assert own is not None
        ids = (
            IdMap(
                name=wanted.a,
                column_a=key_a[0],
                column_b=key_b[0],
                table=f'tracseq_migrate."ids_{wanted.a}"',
                sequence=own.sequence,
                computed=f"md5('{wanted.a}' || a.{quoted(key_a[0])})::uuid",
            ),
        )
    back = []
    for each in table_a.columns:
        if each.generated:
            continue
        why = wanted.refused.get(each.name, ("", ""))
        if each.name in wanted.back:
            down, watched = wanted.back[each.name]
            back.append(Back(each, down, tuple(watched), *why))
        elif each.name in plain:
            down = f"b.{quoted(plain[each.name])}::{base(each.type).name}"
            back.append(Back(each, down, (plain[each.name],), *why))
        else:
            default = each.default or "NULL"
            back.append(
                Back(each, f"a.{quoted(each.name)}", (), "", "", f"({default})::{base(each.type).name}")
            )
    return Pair(
        name=wanted.name or wanted.b.replace(".", "_"),
        a=table_a,
        b=table_b,
        key_a=key_a,
        key_b=key_b,
        columns=tuple(made),
        back=tuple(back),
        where_a=wanted.where_a,
        where_b=wanted.where_b,
        kept=wanted.kept,
        side=f'tracseq_migrate."unmapped_{wanted.b}"' if wanted.kept else "",
        seeded=wanted.seeded,
        ids=ids,
        shared=wanted.shared,
    )


@dataclass
class Stage:
    """Two databases with a replication between them."""

    databases: PairOfDatabases
    replication: Replication

    @contextmanager
    def applier(self, direction: Direction = "forward", epoch: int = 1) -> Iterator[Applier]:
        with applier(self.databases.sessions, self.replication, direction, epoch) as one:
            yield one

    def drain(self, direction: Direction = "forward", *, limit: int = 5_000) -> int:
        with self.applier(direction) as one:
            done = one.drain(limit=limit)
            assert done.remaining == 0
            return done.read

    def log_rows(self, side: str = "a") -> int:
        return sum(
            self.databases.rows(side, f"SELECT count(*) FROM {capture.log_table(self.replication, pair)}")[0][
                0
            ]
            for pair in self.replication.pairs
        )

    def differences(self) -> list[tuple[str, tuple[Any, ...], Any, Any]]:
        """What differs, row by row, by the canonical texts: (pair, key, on A, on B)."""
        found = []
        for pair in self.replication.pairs:
            keys = [pair.mapped(name) for name in pair.key_b]
            key_a = ", ".join(f"({each.text_a})" for each in keys)
            key_b = ", ".join(f"({each.text_b})" for each in keys)
            texts_a = ", ".join(each.text_a for each in pair.columns)
            texts_b = ", ".join(each.text_b for each in pair.columns)
            rows_a = {
                tuple(row[0]): row[1]
                for row in self.databases.rows(
                    "a",
                    f"SELECT ARRAY[{key_a}], ARRAY[{texts_a}] FROM {pair.a.relation} a WHERE {pair.where_a or 'true'}",
                )
            }
            rows_b = {
                tuple(row[0]): row[1]
                for row in self.databases.rows(
                    "b",
                    f"SELECT ARRAY[{key_b}], ARRAY[{texts_b}] FROM {pair.b.relation} b WHERE {pair.owned_b}",
                )
            }
            found += [
                (pair.name, key, rows_a.get(key), rows_b.get(key))
                for key in sorted(rows_a.keys() | rows_b.keys(), key=repr)
                if rows_a.get(key) != rows_b.get(key)
            ]
        return found

    def side_rows(self, pair: Pair) -> list[tuple[Any, ...]]:
        names = ", ".join(quoted(name) for name in pair.key_b)
        return sorted(
            self.databases.rows("b", f'SELECT {names}, "column", "value" FROM {pair.side}'), key=repr
        )


def set_up(
    databases: PairOfDatabases,
    schema_a: str,
    schema_b: str,
    mappings: Sequence[Wanted],
    *,
    back: bool = False,
) -> Stage:
    """Make both schemas, compile by hand, and let capture begin on A (and, disabled or with ``back`` enabled, on B)."""
    databases.run("a", schema_a)
    databases.run("b", schema_b)
    with databases.open("a") as a, databases.open("b") as b:
        tables.install(a, "r", "a")
        tables.install(b, "r", "b")
        for session in (a, b):
            session.execute("UPDATE tracseq_migrate.ownership SET epoch = 1")
        catalog_a, catalog_b = read(a), read(b)
        pairs = tuple(pair_of(each, catalog_a, catalog_b) for each in mappings)
        replication = Replication("r", "a", "b", pairs, "", {})
        for pair in pairs:
            for each in pair.ids:
                key = next(c for c in pair.a.columns if c.name == each.column_a)
                a.execute(f"CREATE TABLE {each.table} (old {key.type.full} UNIQUE, new uuid UNIQUE)")
            if pair.side:
                keys = ", ".join(f"{quoted(n)} {pair.mapped(n).column.type.full}" for n in pair.key_b)
                names = ", ".join(quoted(n) for n in pair.key_b)
                b.execute(
                    f'CREATE TABLE {pair.side} ({keys}, "column" text, "value" text, PRIMARY KEY ({names}, "column"))'
                )
            capture.create(a, replication, pair, "a", enabled=not back)
            capture.create(b, replication, pair, "b", enabled=back)
        if back:
            for session in (a, b):
                session.execute("UPDATE tracseq_migrate.ownership SET direction = 'back', owner = 'b'")
    return Stage(databases, replication)


def turned(stage: Stage, direction: Direction) -> None:
    """Who may write changes sides, without the protocol of a cutover: nobody writes while a test does it."""
    owner = "a" if direction == "forward" else "b"
    for side in ("a", "b"):
        with stage.databases.open(side) as session:
            for pair in stage.replication.pairs:
                (capture.enable if side == owner else capture.disable)(session, stage.replication, pair, side)
            session.execute(
                "UPDATE tracseq_migrate.ownership SET direction = $1, owner = $2", (direction, owner)
            )


def without(pair: Pair, **changed: Any) -> Pair:
    return dataclasses.replace(pair, **changed)
