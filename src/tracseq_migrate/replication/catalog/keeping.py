"""A catalog as JSON values, to be kept: what a mapping was held against once is known after somebody altered the tables, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from tracseq_migrate.replication.catalog.model import (
    Catalog,
    Column,
    Constraint,
    ForeignKeyIn,
    Index,
    Sequence,
    Table,
    Trigger,
    Type,
)

T = TypeVar("T")

_PARTS: dict[str, type[Any]] = {
    "columns": Column,
    "indexes": Index,
    "constraints": Constraint,
    "incoming": ForeignKeyIn,
    "triggers": Trigger,
}


def kept(catalog: Catalog, tables: Iterable[str]) -> dict[str, Any]:
    """These tables of a catalog, their partitions, and the sequences of their columns, in JSON values."""
    named = {name: catalog.tables[name] for name in tables if name in catalog.tables}
    leaves = {leaf for table in named.values() for leaf in table.partitions}
    named |= {name: table for name, table in catalog.tables.items() if table.relation in leaves}
    drawn = {column.sequence for table in named.values() for column in table.columns}
    sequences = {name: each for name, each in catalog.sequences.items() if name in drawn}
    document: dict[str, Any] = _plain(replace(catalog, tables=named, sequences=sequences))
    return document


def restored(document: Mapping[str, Any]) -> Catalog:
    """The catalog that `kept` was given. Raises `KeyError`, `TypeError` for anything else."""
    given = dict(document)
    given["tables"] = {name: _table(each) for name, each in given["tables"].items()}
    given["sequences"] = {name: _made(Sequence, each) for name, each in given["sequences"].items()}
    return _made(Catalog, given)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__"):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value


def _table(document: Mapping[str, Any]) -> Table:
    given = dict(document)
    for name, kind in _PARTS.items():
        given[name] = [_column(each) if kind is Column else _made(kind, each) for each in given[name]]
    given["rights"] = frozenset(given["rights"])
    return _made(Table, given)


def _column(document: Mapping[str, Any]) -> Column:
    return _made(Column, {**document, "type": _type(document["type"])})


def _type(document: Mapping[str, Any]) -> Type:
    inner = {name: _type(document[name]) for name in ("element", "base") if document[name] is not None}
    return _made(Type, {**document, **inner})


def _made(kind: type[T], document: Mapping[str, Any]) -> T:
    return kind(**{name: tuple(each) if isinstance(each, list) else each for name, each in document.items()})
