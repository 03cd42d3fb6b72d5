"""One table's entry of a mapping, with the two tables that it names and where its findings go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tracseq_migrate.document import Document, Path
from tracseq_migrate.errors import Finding
from tracseq_migrate.replication.catalog.model import Column, Table
from tracseq_migrate.replication.mapping.expressions import columns_of, complaints
from tracseq_migrate.replication.mapping.model import TableEntry


@dataclass(slots=True)
class Ground:
    """What every part of the compiler works on. ``keys`` is B's column: A's column, in the order of B's key."""

    document: Document
    at: Path
    entry: TableEntry
    name: str
    a: Table
    b: Table
    maps: Mapping[str, str]
    """The tables of id maps that references may use, quoted and qualified, by name of the pair."""
    others: frozenset[str] = frozenset()
    """A's columns that other entries over the same table account for."""
    resumed: bool = False
    """Whether B's indexes and constraints may be put away at the moment, so that nothing follows of their absence."""
    keys: dict[str, str] = field(default_factory=dict)
    predicate: str = ""
    findings: list[Finding] = field(default_factory=list)

    def find(self, way: Path, message: str, remedy: str = "", *, key: bool = False) -> None:
        """A finding at a place of this entry."""
        path = (*self.at, *way)
        if path and not (isinstance(path[-1], str) and self.document.at(path) is None):
            self.findings.append(self.document.finding(path, message, remedy, key=key))
        else:
            self.findings.append(
                self.document.finding(self.document.places.known(path), message, remedy, key=key)
            )

    def column_a(self, name: str, way: Path, *, key: bool = False) -> Column | None:
        """A's column, or a finding."""
        return self._column(self.a, "A", name, way, key=key)

    def column_b(self, name: str, way: Path, *, key: bool = False) -> Column | None:
        """B's column, or a finding."""
        return self._column(self.b, "B", name, way, key=key)

    def _column(self, table: Table, side: str, name: str, way: Path, *, key: bool) -> Column | None:
        column = table.column(name)
        if column is None:
            known = [each.name for each in table.columns]
            remedy = self.document.did_you_mean(name, known, what="columns")
            self.find(way, f"{side}'s table {table.name} has no column '{name}'", remedy, key=key)
        return column

    def sound(
        self, expression: str, way: Path, *, aliases: str = "", steady: bool = True, b: Collection[str] = ()
    ) -> bool:
        """Whether an expression is one; otherwise findings. ``b``: the columns of B's row that it may read."""
        before = len(self.findings)
        for message, remedy in complaints(expression, aliases=aliases, steady=steady):
            self.find(way, message, remedy)
        read = columns_of(expression)
        for name in read["a"] if "a" in aliases else ():
            self.column_a(name, way)
        for name in read["b"] if "b" in aliases else ():
            if self.column_b(name, way) is not None and b and name not in b:
                self.find(
                    way,
                    f"b.{name} does not travel back: this mapping does not write it",
                    "give it an entry under `columns`",
                )
        return len(self.findings) == before
