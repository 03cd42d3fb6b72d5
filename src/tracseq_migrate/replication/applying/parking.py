"""Values that a row of a unique index can have for a moment, in the middle of a transaction, without being in anybody's way."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.replication.applying.reading import PRESENT
from tracseq_migrate.replication.applying.types import base_of
from tracseq_migrate.replication.applying.writing import Target, unique_columns
from tracseq_migrate.replication.catalog.model import Column
from tracseq_migrate.replication.names import quoted

_TEXTS = frozenset({"text", "character varying", "bpchar"})
_WHOLE = {"smallint": 30_000, "integer": 2_000_000_000, "bigint": 9_000_000_000_000_000_000}
_TIMES = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})


def candidates(target: Target) -> list[tuple[tuple[str, str], ...]]:
    """Ways to park: each names columns, one for every unique index, and an expression over the row for each of them."""
    changed = {column.name: column for column, _ in unique_columns(target)}
    ways: list[list[tuple[str, str]]] = []
    for index in target.table.indexes:
        if not index.unique or set(index.columns) == set(target.key):
            continue
        names = [name for name in index.columns if name in changed]
        ways.append(
            [
                (name, expression)
                for name in names
                for expression in _expressions(changed[name], target.alias, distinct=index.nulls_distinct)
            ]
        )
    found = [each for each in ways if each]
    if not found:
        return []
    return [
        tuple(dict(way[min(number, len(way) - 1)] for way in found).items())
        for number in range(max(map(len, found)))
    ]


def parking_statement(target: Target, way: Sequence[tuple[str, str]]) -> str:
    """Parks the rows whose unique columns are about to change."""
    columns = unique_columns(target)
    assigned = ", ".join(f"{quoted(name)} = {expression}" for name, expression in way)
    return (
        f"UPDATE {target.table.relation} {target.alias} SET {assigned} FROM {target.source} s"
        f" WHERE s.{PRESENT} AND {target.matches} AND {target.owned} AND {target.differs(columns)}"
    )


def _expressions(column: Column, alias: str, *, distinct: bool) -> list[str]:
    own = f"{alias}.{quoted(column.name)}"
    found = [] if column.not_null or not distinct else ["NULL"]
    kind = base_of(column.type).name
    if kind in _TEXTS:
        mark = "substr(md5(random()::text), 1, 12)"
        # The longer the better; where a check looks at the value's form, one that keeps most of it may pass.
        found += [
            f"{mark} || {own}",
            f"substr({mark}, 1, least(12, length({own}))) || substr({own}, 13)",
            f"{own} || {mark}",
            *(f"substr({mark}, 1, {kept}) || substr({own}, {kept + 1})" for kept in (4, 3, 2, 2, 1, 1)),
            "md5(random()::text)",
            mark,
        ]
    elif kind in _WHOLE:
        found += [f"(-{_WHOLE[kind]} * random())::{kind}", f"({_WHOLE[kind]} * random())::{kind}"]
    elif kind == "uuid":
        found.append("gen_random_uuid()")
    elif kind in _TIMES:
        found.append(f"{own} + (interval '1 day' * (365000 + floor(random() * 300000)))")
    elif kind == "numeric":
        found += [f"-{own} - random()::numeric", "random()::numeric"]
    elif kind == "double precision":
        found.append("-random()")
    elif kind == "bytea":
        found.append("decode(md5(random()::text), 'hex')")
    return found
