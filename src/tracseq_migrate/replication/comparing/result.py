"""What a comparison found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from tracseq_migrate.frozen import frozen

Verdict = Literal["equal", "different", "unknown"]
Kind = Literal["missing", "extra", "different"]


@frozen
class DifferingColumn:
    """A column of B whose canonical texts differ; ``a`` and ``b`` are their beginnings, or None: for a null, and always where
    values were not asked for, since they may be somebody's name or address."""

    name: str
    a: str | None = None
    b: str | None = None


@frozen
class Difference:
    """One row. ``key`` is that of B, as canonical texts; ``missing``: A has it and B does not, ``extra``: the other way round."""

    kind: Kind
    key: Mapping[str, str | None]
    columns: tuple[DifferingColumn, ...] = ()
    """Of a row that both sides have."""


@frozen
class TableComparison:
    """One table, or the side table of one. Everything in it comes of one pair of snapshots: the last that was looked at."""

    name: str
    """The pair's; of a side table its own."""
    pair: str
    a: str
    b: str
    rows_a: int
    rows_b: int
    digest_a: str
    digest_b: str
    """Of the rows' canonical texts, whatever their order; in hexadecimal."""
    missing: int = 0
    extra: int = 0
    different: int = 0
    settled: int = 0
    """Rows that differed at an earlier look and did not at the last."""
    looks: int = 1
    differences: tuple[Difference, ...] = ()
    """The first of them, by key."""
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many rows differ."""
        return self.missing + self.extra + self.different

    @property
    def equal(self) -> bool:
        return self.count == 0 and self.rows_a == self.rows_b and self.digest_a == self.digest_b


@frozen
class Comparison:
    """All tables of a replication, or those that were asked for."""

    replication: str
    exact: bool
    """Whether the snapshots aligned. Where they did not, a difference may be a write that came between."""
    at: datetime
    seconds: float
    tables: tuple[TableComparison, ...]
    values: bool = False
    """Whether values were asked for."""
    writers: tuple[str, ...] = ()
    """Who else was writing the copied side's tables while they differed."""

    @property
    def equal(self) -> bool:
        return all(table.equal for table in self.tables)

    @property
    def verdict(self) -> Verdict:
        if self.equal:
            return "equal"
        return "different" if self.exact else "unknown"

    @property
    def rows(self) -> int:
        """Of A."""
        return sum(table.rows_a for table in self.tables)

    @property
    def digest(self) -> str:
        """One for all tables, of what A holds under the mapping."""
        lines = (f"{table.name} {table.rows_a} {table.digest_a}\n" for table in self.tables)
        return sha256("".join(lines).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "replication": self.replication,
            "verdict": self.verdict,
            "exact": self.exact,
            "at": self.at.isoformat(),
            "seconds": round(self.seconds, 3),
            "digest": self.digest,
            "writers": list(self.writers),
            "tables": [self._table(table) for table in self.tables],
        }

    def _table(self, table: TableComparison) -> dict[str, Any]:
        return {
            "name": table.name,
            "pair": table.pair,
            "a": table.a,
            "b": table.b,
            "equal": table.equal,
            "rows_a": table.rows_a,
            "rows_b": table.rows_b,
            "digest_a": table.digest_a,
            "digest_b": table.digest_b,
            "missing": table.missing,
            "extra": table.extra,
            "different": table.different,
            "settled": table.settled,
            "looks": table.looks,
            "seconds": round(table.seconds, 3),
            "differences": [
                {
                    "kind": each.kind,
                    "key": dict(each.key),
                    "columns": [
                        {"name": column.name, "a": column.a, "b": column.b}
                        if self.values
                        else {"name": column.name}
                        for column in each.columns
                    ],
                }
                for each in table.differences
            ],
        }
