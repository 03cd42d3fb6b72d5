"""How a table is cut into chunks: by ranges of its key, of about the same size.

The bounds are keys that were seen in a sample, so they cost a few pages and not a scan; where exactly they lie matters to nobody.
Ranges of a key, and not of row addresses: a row that is updated while the copy goes on stays in its range, so that it is copied
once, whichever snapshot each chunk has.
"""

from __future__ import annotations

import json
from itertools import pairwise

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session
from tracseq_migrate.replication.catalog.model import Column, Type
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Pair

MOST_CHUNKS = 4_096
_FEW = 8
"""Chunks that a table of middling size has, so that all hands have some of it, and it is built without its indexes."""
_SMALL = 4 << 20
"""Bytes below which cutting gains nothing."""
_SAMPLED = 64
"""Keys that are looked at for each bound."""


@frozen
class Chunk:
    """The rows whose key is at least ``lower`` and less than ``upper``: JSON lists of the key's texts, None for no bound."""

    number: int
    lower: str | None
    upper: str | None


@frozen
class Plan:
    """A pair's chunks, and what the source table weighs. ``rows`` is the planner's guess, -1 where it has none."""

    pair: str
    chunks: tuple[Chunk, ...]
    rows: int
    bytes: int


def plan(session: Session, pair: Pair, chunk_bytes: int) -> Plan:
    """Cut A's table. One query for its size, and one for the bounds where there is more than one chunk."""
    rows, size, pages = _weight(session, pair)
    target = max(min(chunk_bytes, size // _FEW), min(chunk_bytes, _SMALL))
    wanted = min(-(-size // target), MOST_CHUNKS)
    keys = [_column(pair, name) for name in pair.key_a]
    if wanted < 2 or not all(_sorts_alike(each.type) for each in keys):
        return Plan(pair.name, (Chunk(0, None, None),), rows, size)
    bounds = _bounds(session, pair, wanted, pages)
    edges = [None, *bounds, None]
    chunks = tuple(Chunk(number, edges[number], edges[number + 1]) for number in range(len(edges) - 1))
    return Plan(pair.name, chunks, rows, size)


def condition(pair: Pair, lower: str | None, upper: str | None) -> str:
    """Which rows of A a chunk is: its range and the pair's own filter, over the alias ``a``; empty for all of them."""
    parts = [f"({pair.where_a})"] if pair.where_a else []
    if lower is not None:
        parts.append(_compared(pair, ">=", lower))
    if upper is not None:
        parts.append(_compared(pair, "<", upper))
    return " AND ".join(parts)


def _column(pair: Pair, name: str) -> Column:
    found = pair.a.column(name)
    if found is None:
        raise ValueError(f"{pair.a.name} has no column {name}")
    return found


def _sorts_alike(kind: Type) -> bool:
    # Without a schema in the search path an operator is PostgreSQL's own: a type that brings its own order would be
    # compared by another one than its index has.
    if kind.kind == "domain":
        return kind.base is not None and _sorts_alike(kind.base)
    return kind.builtin and kind.kind == "base"


def _compared(pair: Pair, operator: str, bound: str) -> str:
    columns = ", ".join(f"a.{quoted(name)}" for name in pair.key_a)
    return f"({columns}) {operator} ({_values(pair, bound)})"


def _values(pair: Pair, bound: str) -> str:
    texts = json.loads(bound)
    return ", ".join(
        f"{literal(text)}::{_column(pair, name).type.full}"
        for name, text in zip(pair.key_a, texts, strict=True)
    )


def _weight(session: Session, pair: Pair) -> tuple[int, int, int]:
    relations = [pair.a.relation, *pair.a.partitions]
    ((rows, size, pages),) = session.rows(
        "SELECT coalesce(sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind = 'r' AND c.reltuples >= 0), -1)::bigint,"
        " coalesce(sum(pg_catalog.pg_table_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0)::bigint,"
        " coalesce(sum(pg_catalog.pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'r'), 0)::bigint"
        "   / pg_catalog.current_setting('block_size')::bigint"
        " FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::pg_catalog.regclass[]::pg_catalog.oid[])",
        [relations],
    )
    return int(rows), int(size), int(pages)


def _bounds(session: Session, pair: Pair, wanted: int, pages: int) -> list[str]:
    share = min(100.0, 100.0 * wanted * _SAMPLED / max(pages, 1))
    columns = [f"a.{quoted(name)}" for name in pair.key_a]
    texts = ", ".join(f"{each}::text" for each in columns)
    filtered = f" WHERE ({pair.where_a})" if pair.where_a else ""
    # Thinned by the server: a sampled page brings all of its rows.
    found = session.rows(
        "SELECT (pg_catalog.array_agg(s.bound ORDER BY s.place))[1] FROM ("
        f"SELECT pg_catalog.to_json(ARRAY[{texts}])::text AS bound,"
        f" pg_catalog.ntile({wanted}) OVER w AS tile, pg_catalog.row_number() OVER w AS place"
        f" FROM {pair.a.relation} AS a TABLESAMPLE SYSTEM ({share:.6f}){filtered}"
        f" WINDOW w AS (ORDER BY {', '.join(columns)})) AS s"
        " GROUP BY s.tile HAVING s.tile > 1 ORDER BY s.tile"
    )
    return _rising(session, pair, [str(bound) for (bound,) in found])


def _rising(session: Session, pair: Pair, bounds: list[str]) -> list[str]:
    """The bounds, once the server has said that each is less than the next, by the operator that cuts the table."""
    if len(bounds) < 2:
        return bounds
    pairs = " AND ".join(f"({_values(pair, one)}) < ({_values(pair, two)})" for one, two in pairwise(bounds))
    ((rises,),) = session.rows(f"SELECT {pairs}")
    return bounds if rises else []
