"""What a table is, has or lacks, by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tracseq_migrate.replication.catalog.model import Catalog, Sequence, Table, Type
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.pair import Pair, Replication
from tracseq_migrate.replication.refusals.refusal import Refusal, Voice

_NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER")


def refused(voice: Voice, replication: Replication, catalog: Catalog) -> Iterator[Refusal]:
    """Of every table of one side that moves; those that are gone are another matter."""
    seen: set[str] = set()
    for pair in replication.pairs:
        compiled, key = (pair.a, pair.key_a) if voice.side == "a" else (pair.b, pair.key_b)
        table = catalog.tables.get(compiled.name)
        if table is None or table.name in seen:
            continue
        seen.add(table.name)
        kinds = list(_kinds(voice, table, catalog))
        yield from kinds
        if kinds and table.kind not in ("table", "partitioned"):
            continue  # a view has neither key nor triggers, and nothing else about it matters
        yield from _keys(voice, pair, table, key)
        yield from _rows(voice, table)
        yield from _rights(voice, table, catalog)
        yield from _sequences(voice, pair, table, catalog)
        yield from _triggers(voice, table)
        if voice.side == "a":
            yield from _large_objects(voice, pair, table, catalog)


def _kinds(voice: Voice, table: Table, catalog: Catalog) -> Iterator[Refusal]:
    if table.kind not in ("table", "partitioned"):
        yield voice.refuse(
            "no-table",
            table.name,
            f"it is a {table.kind if table.kind != 'foreign' else 'foreign table'}, and only tables can be captured and written",
            "name the table that holds the rows",
        )
        return
    if table.persistence != "permanent":
        yield voice.refuse(
            "not-durable",
            table.name,
            f"it is {table.persistence}: a crash of the server empties it, and a standby has nothing of it",
            f"ALTER TABLE {table.relation} SET LOGGED;"
            if table.persistence == "unlogged"
            else "name a permanent table",
        )
    leaves = {each.relation: each for each in catalog.tables.values()}
    for relation in table.partitions:
        leaf = leaves.get(relation)
        if leaf is None:
            continue
        if leaf.kind == "foreign":
            yield voice.refuse(
                "no-table",
                leaf.name,
                f"this partition of {table.name} is a foreign table, whose rows lie on another server",
                f"ALTER TABLE {table.relation} DETACH PARTITION {leaf.relation}; or bring its rows here",
            )
        elif leaf.persistence != "permanent":
            yield voice.refuse(
                "not-durable",
                leaf.name,
                f"this partition of {table.name} is {leaf.persistence}: a crash of the server empties it",
                f"ALTER TABLE {leaf.relation} SET LOGGED;",
            )
        elif not leaf.owned:
            yield _not_owned(voice, leaf, catalog)


def _keys(voice: Voice, pair: Pair, table: Table, key: tuple[str, ...]) -> Iterator[Refusal]:
    predicate = pair.predicate_b if voice.side == "b" else ""
    candidates = [
        each
        for each in table.indexes
        if each.unique and each.valid and each.predicate == predicate and "" not in each.columns
    ]
    over_key = [each for each in candidates if set(each.columns) <= set(key)]
    if not key or not over_key:
        named = ", ".join(key)
        yield voice.refuse(
            "no-key",
            table.name,
            f"no primary key and no unique index holds over {named}"
            if key
            else "it has no key that tells its rows apart",
            f"ALTER TABLE {table.relation} ADD PRIMARY KEY ({', '.join(map(quoted, key)) or '…'});",
        )
        return
    if not any(each.immediate for each in over_key):
        yield voice.refuse(
            "deferrable-key",
            table.name,
            f"its key ({', '.join(key)}) is deferrable: PostgreSQL takes no such key to tell rows apart when one is written",
            f"CREATE UNIQUE INDEX ON {table.relation} ({', '.join(map(quoted, key))});",
        )
    for name in key:
        column = table.column(name)
        if column is None:
            continue
        if not column.not_null:
            yield voice.refuse(
                "no-key",
                f"{table.name}.{name}",
                "it is part of the key and may be null, and null is equal to nothing",
                f"ALTER TABLE {table.relation} ALTER COLUMN {quoted(name)} SET NOT NULL;",
            )
        if not column.deterministic:
            yield voice.refuse(
                "collation",
                f"{table.name}.{name}",
                f"it is part of the key, and its collation {column.collation} calls different texts equal",
                f'ALTER TABLE {table.relation} ALTER COLUMN {quoted(name)} TYPE {column.type.full} COLLATE "C";'
                " or map another key",
            )


def _rows(voice: Voice, table: Table) -> Iterator[Refusal]:
    if table.hidden:
        yield voice.refuse(
            "row-security",
            table.name,
            "row security holds for this role: rows could be hidden from it, and would be missing",
            f"ALTER TABLE {table.relation} NO FORCE ROW LEVEL SECURITY;"
            if table.owned
            else "use the role that owns the table, or one with BYPASSRLS",
        )
    if table.inherits:
        yield voice.refuse(
            "inheritance",
            table.name,
            f"it inherits from, or is inherited by, {', '.join(table.inherits)}: a row of one would be seen in the other",
            f"ALTER TABLE … NO INHERIT …; or make it a partitioned table ({table.relation})",
        )
    for rule in table.rules:
        name = rule.split(" AS", 1)[0].removeprefix("CREATE RULE ").strip()
        yield voice.refuse(
            "rules",
            table.name,
            f"the rule {name} rewrites statements on it, so that what is written is not what was said",
            f"DROP RULE {name} ON {table.relation}; and make it a trigger where it is needed",
        )


def _rights(voice: Voice, table: Table, catalog: Catalog) -> Iterator[Refusal]:
    if catalog.superuser:
        return
    role = quoted(catalog.role)
    if not table.reachable:
        yield voice.refuse(
            "rights",
            table.name,
            f"the role {catalog.role} may not use the schema {table.schema}",
            f"GRANT USAGE ON SCHEMA {quoted(table.schema)} TO {role};",
        )
        return
    missing = [right for right in _NEEDED if right not in table.rights]
    if missing:
        yield voice.refuse(
            "rights",
            table.name,
            f"the role {catalog.role} lacks {', '.join(missing)} on it",
            f"GRANT {', '.join(missing)} ON {table.relation} TO {role};",
        )
    if not table.owned:
        yield _not_owned(voice, table, catalog)


def _not_owned(voice: Voice, table: Table, catalog: Catalog) -> Refusal:
    grant = f"GRANT {quoted(table.owner)} TO {quoted(catalog.role)}"
    return voice.refuse(
        "not-owner",
        table.name,
        f"it belongs to {table.owner}, and {catalog.role} has not that role's rights: triggers could be made, but never"
        " switched on and off",
        f"{grant} WITH INHERIT TRUE;"
        if catalog.version >= 16
        else f"{grant}; (the role must be one that inherits)",
    )


def _sequences(voice: Voice, pair: Pair, table: Table, catalog: Catalog) -> Iterator[Refusal]:
    written = {each.name for each in (pair.columns if voice.side == "b" else pair.back)}
    for column in table.columns:
        sequence = catalog.sequences.get(column.sequence)
        if sequence is None or (written and column.name not in written):
            continue
        yield from _sequence(voice, f"{table.name}.{column.name}", sequence, catalog)


def _sequence(voice: Voice, where: str, sequence: Sequence, catalog: Catalog) -> Iterator[Refusal]:
    if not sequence.readable and not catalog.superuser:
        yield voice.refuse(
            "rights",
            where,
            f"the role {catalog.role} may not read its sequence {sequence.name}",
            f"GRANT SELECT, UPDATE ON SEQUENCE {sequence.name} TO {quoted(catalog.role)};",
        )
    if sequence.cache > 1:
        yield voice.refuse(
            "sequence-cache",
            where,
            f"its sequence {sequence.name} has CACHE {sequence.cache}: each connection keeps numbers in hand, and would go on"
            " handing out ones that were taken meanwhile",
            f"ALTER SEQUENCE {sequence.name} CACHE 1; and renew every pooled connection of its writers",
        )
    if sequence.increment < 0 or sequence.cycles:
        how = "counts downwards" if sequence.increment < 0 else "starts over at its end (CYCLE)"
        yield voice.refuse(
            "sequence-order",
            where,
            f"its sequence {sequence.name} {how}, so that no number is above all that were given out",
            f"ALTER SEQUENCE {sequence.name} {'INCREMENT 1' if sequence.increment < 0 else 'NO CYCLE'};",
        )


def _triggers(voice: Voice, table: Table) -> Iterator[Refusal]:
    names = sorted({each.name for each in table.triggers if each.enabled != "disabled"})
    if names:
        when = (
            "while rows are moved to it"
            if voice.side == "b"
            else "after the cutover, while rows flow back to it"
        )
        yield voice.note(
            "triggers",
            table.name,
            f"its triggers {', '.join(names)} are disabled {when}, and enabled again when it is opened: what they do was done"
            " on the other side, or must be part of the mapping",
        )


def _large_objects(voice: Voice, pair: Pair, table: Table, catalog: Catalog) -> Iterator[Refusal]:
    if not catalog.large_objects:
        return
    moved = {name for each in pair.columns for name in each.reads} | set(pair.kept)
    for column in table.columns:
        if column.name in moved and _names_large_object(column.type):
            yield voice.refuse(
                "large-objects",
                f"{table.name}.{column.name}",
                f"it is a {column.type.full}, and this database has {catalog.large_objects} large objects: their numbers mean"
                " nothing in another database, and their content has no trigger",
                "move the content into a bytea column (lo_get), or leave the column behind with a reason",
            )


def _names_large_object(given: Type) -> bool:
    if given.kind == "domain":
        return given.name.endswith('"lo"') or (given.base is not None and _names_large_object(given.base))
    return given.name == "oid"
