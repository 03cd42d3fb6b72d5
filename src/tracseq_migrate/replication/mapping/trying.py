"""What only the servers know of a mapping: whether every expression parses there, has the right type, and is steady."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tracseq_migrate.document import Path
from tracseq_migrate.errors import Finding
from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.mapping.back import lens
from tracseq_migrate.replication.mapping.compiling import name_of
from tracseq_migrate.replication.mapping.expressions import functions_of
from tracseq_migrate.replication.mapping.reading import Source
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.pair import Pair, Replication

_WHOLE = ("smallint", "integer", "bigint")
_SILENT: dict[str, tuple[str, ...]] = {
    "numeric": (*_WHOLE, "real", "double precision"),
    "double precision": (*_WHOLE, "real", "numeric"),
    "real": (*_WHOLE, "numeric"),
    "timestamp without time zone": ("date", "time without time zone", "timestamp with time zone"),
    "timestamp with time zone": ("date", "time without time zone", "timestamp without time zone"),
    "date": ("timestamp with time zone",),
    "jsonb": (),
}
"""Casts that lose something and say nothing, or that depend on a setting."""


def try_mapping(source: Source, replication: Replication, a: Session, b: Session) -> list[Finding]:
    """Every expression asked of the server that is to evaluate it; nothing is read of the tables and nothing changed.

    Raises:
        Unreachable: a server does not answer.
    """
    findings: list[Finding] = []
    by_name = {name_of(entry): index for index, entry in enumerate(source.mapping.tables)}
    for pair in replication.pairs:
        at: Path = ("tables", by_name[pair.name])
        told = list(_forward(source, pair, at, a))
        told += [] if told else _back(pair, at, a)  # the lens is made of the way forward, too
        told += _theirs(pair, at, b)
        for way, message, remedy in told:
            path = way if source.document.at(way) is not None else at
            findings.append(source.document.finding(path, message, remedy))
    return findings


Complaint = tuple[Path, str, str]


def _forward(source: Source, pair: Pair, at: Path, a: Session) -> Iterator[Complaint]:
    origin = f"{pair.a.relation} AS a"
    asked = [((*at, "columns", each.name), f"{each.plain or each.up}", each.text_a) for each in pair.columns]
    if pair.where_a:
        asked.append(((*at, "where", "from"), f"({pair.where_a})::boolean", "true"))
    if any(
        _refusal(a, f"SELECT {up}, {_before(pair, text)} FROM {origin}")
        for _, up, text in [_all(asked, pair)]
    ):
        for way, up, text in asked:
            refusal = _refusal(a, f"SELECT {up}, {_before(pair, text)} FROM {origin}")
            if refusal:
                yield (
                    way,
                    f"A's server refuses it: {refusal}",
                    "type it there: SELECT … FROM " + pair.a.name + " a",
                )
        return
    entry = source.mapping.tables[at[1]] if isinstance(at[1], int) else None
    for each in pair.columns:
        column = entry.columns.get(each.name) if entry else None
        expression = (column.expression or column.constant) if column else None
        if column is None or expression is None:
            continue
        way = (*at, "columns", each.name, "expression" if column.expression else "constant")
        kind = str(
            a.rows(f"SELECT pg_typeof(({expression}))::text FROM (SELECT 1) one LEFT JOIN {origin} ON false")[
                0
            ][0]
        )
        if each.wire in _SILENT.get(kind, ()):
            yield (
                way,
                f"the expression is a {kind}, and {each.name} a {forms.shown(each.column.type)}:"
                " what does not fit would be lost unseen",
                f"say how: round(…), trunc(…), … AT TIME ZONE 'UTC', … ::{each.wire} inside of the expression",
            )
        yield from _unsteady(a, way, expression)


def _all(asked: Sequence[tuple[Path, str, str]], pair: Pair) -> tuple[Path, str, str]:
    return (), ", ".join(up for _, up, _ in asked), ", ".join(text for _, _, text in asked)


def _unsteady(session: Session, way: Path, expression: str) -> Iterator[Complaint]:
    """Functions that give another value each time, or may read other rows."""
    for schema, name in functions_of(expression):
        found = session.rows(
            "SELECT n.nspname, p.provolatile::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE p.proname = $1 AND n.nspname = $2",
            [name, schema or "pg_catalog"],
        )
        kinds = {str(volatility) for _, volatility in found}
        if kinds and kinds <= {"v"}:
            yield (
                way,
                f"{name}() is volatile: the two sides would never be equal",
                "derive the value from the row",
            )
        elif kinds and schema not in ("", "pg_catalog") and kinds != {"i"}:
            yield (
                way,
                f"{schema}.{name}() is not IMMUTABLE: it may read other rows, and when they change nobody would tell this one",
                "declare it IMMUTABLE where it is, or write its expression out",
            )


def _back(pair: Pair, at: Path, a: Session) -> Iterator[Complaint]:
    staged = ", ".join(f"NULL::{each.wire} AS {quoted(each.name)}" for each in pair.columns)
    origin = f"(SELECT {staged}) AS b LEFT JOIN {pair.a.relation} AS a ON false"
    for each in pair.back:
        value = f"({lens(pair, each)})"
        sought = [value, f"({each.refused})::boolean"] if each.refused else [value]
        refusal = _refusal(a, f"SELECT {', '.join(_before(pair, one) for one in sought)} FROM {origin}")
        if refusal:
            way: Path = (*at, "back", each.name)
            yield (
                way,
                f"A's server refuses the way back of {each.name}: {refusal}",
                "type it there, over a row b and a row a",
            )


def _theirs(pair: Pair, at: Path, b: Session) -> Iterator[Complaint]:
    asked: list[tuple[Path, str]] = [((*at, "columns", each.name), each.text_b) for each in pair.columns]
    asked += [
        ((*at, "seeded", index, "match"), f"({each.match})::boolean")
        for index, each in enumerate(pair.seeded)
    ]
    if pair.where_b:
        asked.append(((*at, "where", "to"), f"({pair.where_b})::boolean"))
    for way, expression in asked:
        refusal = _refusal(b, f"SELECT {expression} FROM {pair.b.relation} AS b")
        if refusal:
            yield way, f"B's server refuses it: {refusal}", f"type it there: SELECT … FROM {pair.b.name} b"


_IDS = re.compile(r'FROM "tracseq_migrate"\."[^"]*" i ')


def _before(pair: Pair, expression: str) -> str:
    """The expression as it can be asked before the tables of id maps are there."""
    return _IDS.sub("FROM (SELECT NULL::integer AS old, NULL::uuid AS new) i ", expression)


def _refusal(session: Session, query: str) -> str:
    """What the server has against a query; empty where it takes it."""
    try:
        session.rows(f"EXPLAIN {query}")
    except SqlFailed as error:
        return error.message
    return ""
