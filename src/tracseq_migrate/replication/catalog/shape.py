"""What DDL would change: a catalog without its numbers, statistics and rights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.catalog.model import (
    Catalog,
    Column,
    Constraint,
    Index,
    Sequence,
    Table,
    Trigger,
    Type,
)


def shape_of(catalog: Catalog) -> dict[str, Any]:
    """In JSON values. Equal shapes: the same tables, columns, types, keys, constraints, triggers and sequences."""
    return {
        "tables": {name: table_shape(table) for name, table in sorted(catalog.tables.items())},
        "sequences": {name: _sequence(each) for name, each in sorted(catalog.sequences.items())},
    }


def table_shape(table: Table) -> dict[str, Any]:
    """Of one table, likewise."""
    return {
        "kind": table.kind,
        "persistence": table.persistence,
        "owner": table.owner,
        "row_security": table.row_security,
        "partitions": sorted(table.partitions),
        "inherits": sorted(table.inherits),
        "columns": {each.name: _column(each) for each in table.columns},
        "order": [each.name for each in table.columns],
        "indexes": {each.name: _index(each) for each in table.indexes},
        "constraints": {each.name: _constraint(each) for each in table.constraints},
        "incoming": {
            f"{each.table} {each.constraint}": [*each.columns, each.on_delete, each.on_update]
            for each in table.incoming
        },
        "triggers": {each.name: _trigger(each) for each in table.triggers},
        "rules": list(table.rules),
    }


@frozen
class Difference:
    """One thing that two shapes do not agree on; ``was`` or ``now`` is None where it is not there at all."""

    path: tuple[str, ...]
    was: Any
    now: Any

    def __str__(self) -> str:
        where = " ".join(self.path)
        if self.now is None:
            return f"{where} is gone"
        return f"{where} is new" if self.was is None else f"{where} was {self.was!r} and is {self.now!r}"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between two shapes; the text of each is for people: ``tables users columns email type full was …``."""
    return list(_apart((), before, after))


def _apart(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _apart((*path, name), before.get(name), after.get(name))
    elif before != after:
        yield Difference(path, before, after)


def _type(given: Type) -> dict[str, Any]:
    shape: dict[str, Any] = {"full": given.full, "kind": given.kind}
    if given.labels:
        shape["labels"] = list(given.labels)
    if given.checks:
        shape["checks"] = list(given.checks)
    if given.element:
        shape["element"] = _type(given.element)
    if given.base:
        shape["base"] = _type(given.base)
    return shape


def _column(column: Column) -> dict[str, Any]:
    return {
        "type": _type(column.type),
        "not_null": column.not_null,
        "default": column.default,
        "generated": column.generated,
        "identity": column.identity,
        "collation": column.collation,
        "sequence": column.sequence,
    }


def _index(index: Index) -> dict[str, Any]:
    return {
        "unique": index.unique,
        "definition": index.definition,
        "valid": index.valid,
        "constraint": index.constraint,
    }


def _constraint(constraint: Constraint) -> dict[str, Any]:
    return {"kind": constraint.kind, "definition": constraint.definition, "validated": constraint.validated}


def _trigger(trigger: Trigger) -> dict[str, Any]:
    return {"definition": trigger.definition, "enabled": trigger.enabled}


def _sequence(sequence: Sequence) -> dict[str, Any]:
    return {
        "type": sequence.type,
        "increment": sequence.increment,
        "cache": sequence.cache,
        "least": sequence.least,
        "most": sequence.most,
        "cycles": sequence.cycles,
    }
