"""Foreign keys between a table that moves and one that stays."""

from __future__ import annotations

from collections.abc import Iterator

from tracseq_migrate.replication.catalog.model import Catalog, Table
from tracseq_migrate.replication.pair import Edge, Replication
from tracseq_migrate.replication.refusals.refusal import Refusal, Voice

_ON_DELETE = {
    "a": "",
    "r": "",
    "c": " ON DELETE CASCADE",
    "n": " ON DELETE SET NULL",
    "d": " ON DELETE SET DEFAULT",
}


def refused(replication: Replication, catalog_a: Catalog, catalog_b: Catalog) -> Iterator[Refusal]:
    """Those of A must have been decided in the mapping; those of B are listed."""
    decided = {
        (each.table.removeprefix("public."), each.column): each
        for pair in replication.pairs
        for each in pair.edges
    }
    moved_a = _moved(catalog_a, [pair.a.name for pair in replication.pairs])
    for table in moved_a.values():
        yield from _of_a(Voice("a", catalog_a.database), table, set(moved_a), catalog_a, decided)
    moved_b = _moved(catalog_b, [pair.b.name for pair in replication.pairs])
    for table in moved_b.values():
        yield from _of_b(Voice("b", catalog_b.database), table, set(moved_b))


def _moved(catalog: Catalog, names: list[str]) -> dict[str, Table]:
    """The tables by relation, with their partitions under the same table."""
    tables = [catalog.tables[name] for name in dict.fromkeys(names) if name in catalog.tables]
    return {each.relation: each for each in tables}


def _of_a(
    voice: Voice, table: Table, moved: set[str], catalog: Catalog, decided: dict[tuple[str, str], Edge]
) -> Iterator[Refusal]:
    leaves = {leaf for each in catalog.tables.values() if each.relation in moved for leaf in each.partitions}
    for key in table.constraints:
        if key.kind != "f" or key.references in moved | leaves:
            continue
        edge = decided.get((table.name, key.columns[0]))
        if edge is not None:
            yield voice.note("edge", table.name, f"{key.name} to {key.references} {_then(edge)}")
            continue
        action = _ON_DELETE[key.on_delete]
        danger = (
            f"; after the cutover {table.name} is fenced here, and a delete in {key.references} fails at it (it is{action})"
            if action
            else ""
        )
        yield voice.refuse(
            "edge",
            f"{table.name}.{key.columns[0]}",
            f"its foreign key {key.name} points to {key.references}, which does not move{danger}",
            f"decide under `edges:` of {table.name}: {{table: {table.name}, column: {key.columns[0]}, then: …, because: …}}",
        )
    for incoming in table.incoming:
        if incoming.table in moved | leaves:
            continue
        name = _for_people(incoming.table)
        edge = decided.get((name, incoming.columns[0]))
        if edge is not None:
            yield voice.note("edge", name, f"{incoming.constraint} to {table.name} {_then(edge)}")
            continue
        yield voice.refuse(
            "edge",
            f"{name}.{incoming.columns[0]}",
            f"its foreign key {incoming.constraint} points to {table.name}, which moves while {name} stays: rows that are made on"
            " the new side are not there to be pointed at until they have flowed back",
            f"decide under `edges:` of {table.name}: {{table: {name}, column: {incoming.columns[0]}, then: …, because: …}}",
        )


def _of_b(voice: Voice, table: Table, moved: set[str]) -> Iterator[Refusal]:
    for key in table.constraints:
        if key.kind == "f" and key.references not in moved:
            yield voice.note(
                "edge",
                f"{table.name}.{key.columns[0]}",
                f"its foreign key {key.name} points to {key.references}, which this replication does not fill: the rows that it"
                " needs must be there already",
            )
    for incoming in table.incoming:
        if incoming.table not in moved:
            action = _ON_DELETE[incoming.on_delete]
            yield voice.note(
                "edge",
                table.name,
                f"{incoming.constraint} of {incoming.table} points to it{action}: a row that is deleted in A"
                + (" takes effect there too" if action else " cannot be deleted here while one points to it"),
            )


def _for_people(relation: str) -> str:
    schema, _, table = relation.partition('"."')
    schema, table = schema[1:].replace('""', '"'), table[:-1].replace('""', '"')
    return table if schema == "public" else f"{schema}.{table}"


def _then(edge: Edge) -> str:
    return f"crosses the edge: {edge.then}, {edge.reason}"
