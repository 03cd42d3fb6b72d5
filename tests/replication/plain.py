"""A replication made by hand: every column by its name, unless a test says otherwise.

What the compiler would refuse is possible here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.catalog.model import Catalog, Table
from tracseq_migrate.replication.catalog.reading import read
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.pair import Mapped, Pair, Replication


def catalogs(databases: PairOfDatabases, tables: Iterable[str] | None = None) -> tuple[Catalog, Catalog]:
    """Both sides as they are now."""
    named = None if tables is None else list(tables)
    with databases.open("a") as a, databases.open("b") as b:
        return read(a, named), read(b, named)


def mapped(a: Table, b: Table, name: str, up: str = "") -> Mapped:
    """B's column of this name: of A's column of the same name, or of an expression."""
    column = b.column(name)
    assert column is not None
    wire = forms.wire_of(column.type)
    source = a.column(name)
    if not up:
        assert source is not None
        own = f"a.{quoted(name)}"
        up = own if source.type.name == wire else f"({own})::{wire}"
    reads = tuple(each.name for each in a.columns if quoted(each.name) in up or f"a.{each.name}" in up)
    return Mapped(
        column, up, wire, forms.text_of(up, wire), forms.text_of(f"b.{quoted(name)}::{wire}", wire), reads
    )


def pair(a: Table, b: Table, ups: Mapping[str, str] | None = None, **more: Any) -> Pair:
    """``ups`` are the columns that do not come by their name alone; B's columns that A has not are left to B."""
    given = dict(ups or {})
    columns = tuple(
        mapped(a, b, each.name, given.get(each.name, ""))
        for each in b.columns
        if not each.generated and (each.name in given or a.column(each.name) is not None)
    )
    made = Pair(b.name, a, b, a.key or ("id",), b.key or ("id",), columns, ())
    return replace(made, **more) if more else made


def replication(*pairs: Pair, name: str = "plain") -> Replication:
    return Replication(name, "a", "b", pairs, "digest", {})
