"""Types, put together from the rows of `pg_type`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tracseq_migrate.replication.catalog.model import Type, TypeKind
from tracseq_migrate.replication.names import quoted

_KINDS: dict[str, TypeKind] = {
    "b": "base",
    "e": "enum",
    "d": "domain",
    "c": "composite",
    "r": "range",
    "m": "multirange",
    "p": "pseudo",
}


class Types:
    """Every type that some columns need, directly or inside of another."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._rows = {row[0]: row[1:] for row in rows}
        self._made: dict[tuple[int, int, str], Type] = {}

    def of(self, oid: int, modifier: int, full: str) -> Type:
        """A type as a column has it; ``full`` is what `format_type` says of it with its modifier."""
        known = self._made.get((oid, modifier, full))
        if known is None:
            known = self._made[oid, modifier, full] = self._make(oid, modifier, full)
        return known

    def refuses_null(self, oid: int) -> bool:
        """Whether it is a domain, or a domain over a domain, that takes no nulls."""
        while oid in self._rows:
            refuses, base = self._rows[oid][8], self._rows[oid][9]
            if refuses or not base:
                return bool(refuses)
            oid = base
        return False

    def _make(self, oid: int, modifier: int, full: str) -> Type:
        (schema, bare, shown, letter, is_array, element, labels, checks, refuses_null, base, *rest) = (
            self._rows[oid]
        )
        base_modifier, base_full = rest
        builtin = (
            schema == "pg_catalog" and oid < 10_000
        )  # numbers below are PostgreSQL's own and never change
        inner: Type | None = None
        if is_array:
            inner = self.of(element, modifier, full.removesuffix("[]"))
            name, whole = inner.name + "[]", inner.full + "[]"
        elif builtin:
            name, whole = shown, full
        else:
            name = quoted(schema, bare)
            whole = name + full.removeprefix(shown)
            if element:  # of a range
                inner = self.of(element, -1, self._rows[element][2])
        if builtin and element and not is_array:
            inner = self.of(element, -1, self._rows[element][2])
        return Type(
            oid=oid,
            name=name,
            full=whole,
            kind="array" if is_array else _KINDS[letter],
            modifier=modifier,
            builtin=builtin,
            labels=tuple(labels or ()),
            element=inner,
            base=self.of(base, base_modifier, base_full) if base else None,
            checks=(*(checks or ()), *(("NOT NULL",) if refuses_null else ())),
        )
