"""A mapping held against both catalogs, and made into what the engines of this room work with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tracseq_migrate.document import Path, first_of
from tracseq_migrate.errors import Finding, InvalidInput
from tracseq_migrate.replication.catalog.model import Catalog, Table
from tracseq_migrate.replication.catalog.shape import table_shape
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.mapping.back import backward, homeless
from tracseq_migrate.replication.mapping.columns import UUID, Forward, forward
from tracseq_migrate.replication.mapping.ground import Ground
from tracseq_migrate.replication.mapping.model import MappingFile, TableEntry
from tracseq_migrate.replication.mapping.reading import Source
from tracseq_migrate.replication.names import SCHEMA, quoted
from tracseq_migrate.replication.pair import Back, Edge, Mapped, Pair, Replication, Seeded

OPEN = "TODO"
"""What a draft has in the place of whatever it cannot know."""


def compile_mapping(
    name: str, source: Source, catalog_a: Catalog, catalog_b: Catalog, *, resumed: bool = False
) -> Replication:
    """The mapping as a replication called ``name``.

    Args:
        resumed: indexes and constraints of B may be put away at the moment, so that nothing follows of their absence.

    Raises:
        InvalidInput: it does not fit the catalogs, or its way back is not total; with every finding at its place.
    """
    findings = [
        source.document.finding(way, "this is still to be decided", "put what is right in the place of TODO")
        for way in _open(source.document.value, ())
    ]
    grounds = _grounds(name, source, catalog_a, catalog_b, findings, resumed=resumed)
    pairs: list[Pair] = []
    for ground in grounds:
        pair = _pair(name, ground)
        findings += ground.findings
        if pair is not None:
            pairs.append(pair)
    if findings:
        raise InvalidInput(first_of(findings))
    return Replication(
        name=name,
        database_a=catalog_a.database,
        database_b=catalog_b.database,
        pairs=tuple(_ordered(pairs)),
        digest=_digest(source.mapping, pairs),
        texts={source.file: source.text},
    )


def tables_of(mapping: MappingFile) -> tuple[list[str], list[str]]:
    """The tables that a mapping names, of A and of B, as a catalog knows them."""
    a = dict.fromkeys(_bare(each.source) for each in mapping.tables)
    b = dict.fromkeys(_bare(each.target) for each in mapping.tables)
    return list(a), list(b)


def _open(value: object, way: Path) -> Iterator[Path]:
    """Where a draft's questions are still open."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _open(each, (*way, str(key)))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _open(each, (*way, index))
    elif value == OPEN:
        yield way


def _bare(name: str) -> str:
    return name.removeprefix("public.")


def _grounds(
    name: str,
    source: Source,
    catalog_a: Catalog,
    catalog_b: Catalog,
    findings: list[Finding],
    *,
    resumed: bool,
) -> list[Ground]:
    document, entries = source.document, source.mapping.tables
    names: dict[str, int] = {}
    maps = {
        name_of(each): f"{quoted(SCHEMA)}.{quoted(ids_table(name, name_of(each)))}"
        for each in entries
        if any(column.ids == UUID for column in each.columns.values())
    }
    grounds = []
    for index, entry in enumerate(entries):
        at: Path = ("tables", index)
        pair_name = name_of(entry)
        first = names.setdefault(pair_name, index)
        if first != index:
            way = (*at, "name") if entry.name else (*at, "to")
            findings.append(
                document.finding(
                    way, f"the name '{pair_name}' is taken", "give the entry a `name` of its own"
                )
            )
        tables: list[Table] = []
        for key, catalog, side in (("from", catalog_a, "A"), ("to", catalog_b, "B")):
            wanted = _bare(entry.source if key == "from" else entry.target)
            table = catalog.tables.get(wanted)
            if table is None:
                remedy = document.did_you_mean(wanted, catalog.tables, what="tables")
                text = f"{side}, the database '{catalog.database}', has no table '{wanted}'"
                findings.append(document.finding((*at, key), text, remedy))
            else:
                tables.append(table)
        if len(tables) == 2:
            others = _accounted_elsewhere(entries, index)
            grounds.append(
                Ground(document, at, entry, pair_name, tables[0], tables[1], maps, others, resumed=resumed)
            )
    owners = [each for each in grounds if not each.entry.shared]
    for ground in grounds:
        twins = [each for each in owners if each.a.relation == ground.a.relation and each is not ground]
        if ground.entry.shared and not twins:
            ground.find(
                ("shared",),
                f"no other entry owns the rows of {ground.a.name}",
                "take `shared` away",
                key=True,
            )
        elif not ground.entry.shared and twins and grounds.index(twins[0]) < grounds.index(ground):
            ground.find(("from",), f"another entry owns the rows of {ground.a.name}", "shared: true")
    return grounds


def name_of(entry: TableEntry) -> str:
    return entry.name or _bare(entry.target).lower().replace(".", "_").replace("$", "_")[:40]


def ids_table(replication: str, pair: str) -> str:
    """The name of an id map's table on A, at most 63 bytes. A's database may have several replications."""
    name = f"ids_{pair}" if replication == pair else f"ids_{replication}_{pair}"
    if len(name) <= 63:
        return name
    return f"{name[:54]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _accounted_elsewhere(entries: Sequence[TableEntry], index: int) -> frozenset[str]:
    """A's columns that other entries over the same table map or keep."""
    from tracseq_migrate.replication.mapping.expressions import columns_of

    own = entries[index]
    found: set[str] = set()
    for number, entry in enumerate(entries):
        if number == index or _bare(entry.source) != _bare(own.source):
            continue
        found |= {*entry.kept, *entry.left_behind}
        for column in entry.columns.values():
            found |= {column.source} if column.source else set()
            found |= set(columns_of(column.expression)["a"]) if column.expression else set()
    return frozenset(found)


def _pair(replication: str, ground: Ground) -> Pair | None:
    entry = ground.entry
    _keys(ground)
    written = forward(ground)
    _key_columns(ground, written)
    backs: list[Back] = [] if entry.one_way else backward(ground, written)
    if entry.one_way:
        for name in entry.back:
            ground.find(
                ("back", name), "there is no way back: `one_way` says so", "keep one of the two", key=True
            )
    alone = frozenset() if entry.one_way else homeless(ground, written, backs)
    _unwritten(ground, written)
    _collisions(ground, written, backs)
    _conditions(ground)
    if ground.findings:
        return None
    kept = tuple(
        dict.fromkeys([*entry.kept, *(str(each.entry.source) for each in written if each.entry.keep)])
    )
    return Pair(
        name=ground.name,
        a=ground.a,
        b=ground.b,
        key_a=tuple(ground.keys.values()),
        key_b=tuple(ground.keys),
        columns=tuple(_mapped(each, each.name in alone) for each in written),
        back=tuple(backs),
        where_a=_whole(entry.where.source if entry.where else None),
        where_b=_whole(entry.where.target if entry.where else None),
        kept=kept,
        side=f"{quoted(SCHEMA)}.{quoted(f'unmapped_{ground.name}')}" if kept else "",
        seeded=tuple(Seeded(_whole(each.match), each.then, each.because) for each in entry.seeded),
        ids=tuple(each.own_ids for each in written if each.own_ids is not None),
        edges=tuple(Edge(_bare(each.table), each.column, each.then, each.because) for each in entry.edges),
        binary=all(forms.passes_binary(each.column.type, each.wire) for each in written),
        shared=entry.shared,
        predicate_b=ground.predicate,
        final=not entry.one_way,
    )


def _whole(condition: str | None) -> str:
    """A condition that stays one whatever stands beside it."""
    return f"({condition})" if condition else ""


def _mapped(each: Forward, alone: bool) -> Mapped:
    wire = each.wire
    theirs = f"b.{quoted(each.name)}"
    if each.column.type.name != wire:
        theirs = forms.cast(theirs, wire)
    loose = each.entry.absent_is_null
    return Mapped(
        column=each.column,
        up=each.up,
        wire=wire,
        text_a=forms.text_of(each.up, wire, absent_is_null=loose),
        text_b=forms.text_of(theirs, wire, absent_is_null=loose),
        text_staged=forms.text_of(f"b.{quoted(each.name)}", wire, absent_is_null=loose),
        reads=each.reads,
        plain=each.plain if each.plain != each.up else "",
        forward_only=alone,
        assigned=forms.assigned(each.column.type, wire),
    )


def _keys(ground: Ground) -> None:
    """B's key and what of A it comes of."""
    entry = ground.entry
    if entry.key:
        for theirs, own in entry.key.items():
            ground.column_b(theirs, ("key", theirs), key=True)
            ground.column_a(own, ("key", theirs))
        ground.keys = dict(entry.key)
    else:
        sources = {name: column.source for name, column in entry.columns.items() if column.source is not None}
        for side, table, way in (("A", ground.a, "from"), ("B", ground.b, "to")):
            if not table.key:
                ground.find(
                    (way,),
                    f"{side}'s table {table.name} has no primary key, and no unique index over columns that are never null",
                    "give it one by a script",
                )
        ground.keys = {name: str(sources[name]) for name in ground.b.key if name in sources}
        if (
            ground.a.key
            and ground.b.key
            and (set(ground.keys) != set(ground.b.key) or set(ground.keys.values()) != set(ground.a.key))
        ):
            ground.find(
                ("to",),
                f"B's key ({', '.join(ground.b.key)}) does not come of A's ({', '.join(ground.a.key)})",
                "map the key's columns, or name another pair of unique columns under `key`",
            )
            return
    if not ground.keys:
        return
    for side, table, columns in (
        ("A", ground.a, tuple(ground.keys.values())),
        ("B", ground.b, tuple(ground.keys)),
    ):
        _unique(ground, side, table, columns)


def _unique(ground: Ground, side: str, table: Table, columns: tuple[str, ...]) -> None:
    known = [each for each in (table.column(name) for name in columns) if each is not None]
    if len(known) != len(columns):
        return
    way: Path = ("key",) if ground.entry.key else ("to",)
    nullable = [each.name for each in known if not each.not_null]
    if nullable:
        ground.find(
            way, f"{side}'s key column {nullable[0]} can be null", "choose another key, or forbid nulls there"
        )
    fit = [each for each in table.indexes if each.unique and each.valid and set(each.columns) == set(columns)]
    if any(not each.predicate and each.immediate for each in fit):
        return
    partial = [each for each in fit if each.predicate]
    wanted = ground.entry.where.target if ground.entry.where else None
    if side == "B" and partial and wanted:
        match = [each for each in partial if _plain(each.predicate) == _plain(wanted.replace("b.", ""))]
        if match:
            ground.predicate = match[0].predicate
            return
    if side == "B" and ground.resumed and wanted:
        ground.predicate = wanted.replace("b.", "")
        return
    ground.find(
        way,
        f"nothing makes ({', '.join(columns)}) unique in {side}'s table {table.name}",
        "create a unique index by a script; a partial one is right where `where: {to: …}` says the same",
    )


def _plain(condition: str) -> str:
    return condition.replace("(", "").replace(")", "").replace('"', "").replace(" ", "").lower()


def _key_columns(ground: Ground, written: list[Forward]) -> None:
    """Each column of the key comes of one of A's alone, one to one."""
    by_name = {each.name: each for each in written}
    for theirs, own in ground.keys.items():
        each = by_name.get(theirs)
        if theirs not in ground.entry.columns:
            ground.find(("columns",), f"the key column {theirs} is not mapped", f"{theirs}: {own}", key=True)
        elif each is not None and (
            each.source is None or each.source.name != own or not each.alike or each.entry.zone
        ):
            ground.find(
                ("columns", theirs),
                f"the key column {theirs} must come of A's {own}, alone and one to one",
                f"{theirs}: {own}",
            )


def _unwritten(ground: Ground, written: list[Forward]) -> None:
    """Every column of B is written, or declared to get its own default."""
    entry = ground.entry
    for index, name in enumerate(entry.own_defaults):
        column = ground.column_b(name, ("own_defaults", index))
        if column is None:
            continue
        if name in entry.columns:
            ground.find(("own_defaults", index), f"{name} is mapped as well", "take it out of one of the two")
        elif column.not_null and not column.default and not column.identity:
            ground.find(
                ("own_defaults", index),
                f"{name} has no default, and refuses nulls",
                "give it a value: {constant: …}",
            )
    for column in ground.b.columns:
        if column.generated or column.name in entry.columns or column.name in entry.own_defaults:
            continue
        if column.not_null and not column.default and not column.identity:
            ground.find(
                ("columns",),
                f"B's column '{column.name}' ({forms.shown(column.type)}) needs a value, and nothing is said of it",
                f"{column.name}: {{constant: …}}, or an expression over A's row",
                key=True,
            )
        else:
            ground.find(
                ("columns",),
                f"nothing is said of B's column '{column.name}' ({forms.shown(column.type)})",
                f"map it, or let it have its own default: own_defaults: [{column.name}]",
                key=True,
            )


def _collisions(ground: Ground, written: list[Forward], backs: list[Back]) -> None:
    """What is unique in A must be so in B, or be declared."""
    entry = ground.entry
    homes = {each.source.name: each.name for each in written if each.source is not None and each.alike}
    stays = {each.name for each in backs if not each.watched}
    uniques = [each for each in ground.a.indexes if each.unique and each.valid]
    known = {each.constraint or each.name for each in uniques}
    for name in entry.collisions:
        if name not in known:
            remedy = ground.document.did_you_mean(name, known, what="unique constraints")
            ground.find(
                ("collisions", name),
                f"A's table {ground.a.name} has no unique constraint '{name}'",
                remedy,
                key=True,
            )
    if ground.resumed or entry.one_way or entry.shared:
        return
    there = [
        frozenset(each.columns)
        for each in ground.b.indexes
        if each.unique and each.valid and not each.predicate
    ]
    for index in uniques:
        name = index.constraint or index.name
        columns = set(index.columns)
        if name in entry.collisions or columns >= set(ground.keys.values()) or columns & stays:
            continue
        mapped = {homes[column] for column in columns if column in homes}
        if "" not in columns and any(unique <= mapped for unique in there):
            continue
        ground.find(
            ("columns",),
            f"A's {name} allows no two rows with the same {', '.join(filter(None, index.columns)) or 'expression'}, and B does:"
            " the way back is not total",
            f"make it unique in B by a script, or declare it: collisions: {{{name}: why that is right}}",
            key=True,
        )


def _conditions(ground: Ground) -> None:
    entry = ground.entry
    if entry.where is not None:
        if entry.where.source is None and entry.where.target is None:
            ground.find(
                ("where",),
                "the filter has no condition",
                "from: a condition over a, or to: one over b",
                key=True,
            )
        if entry.where.source is not None:
            ground.sound(entry.where.source, ("where", "from"), aliases="a")
        if entry.where.target is not None:
            ground.sound(entry.where.target, ("where", "to"), aliases="b")
    for index, each in enumerate(entry.seeded):
        ground.sound(each.match, ("seeded", index, "match"), aliases="b")


def _ordered(pairs: Sequence[Pair]) -> list[Pair]:
    """Parents before children as far as there is such an order: B's foreign keys count first, A's where B has none."""
    left = list(pairs)
    done: list[Pair] = []
    while left:
        ready = next((each for each in left if not _waits(each, left, both=True)), None)
        ready = ready or next((each for each in left if not _waits(each, left, both=False)), left[0])
        left.remove(ready)
        done.append(ready)
    return done


def _waits(pair: Pair, left: Sequence[Pair], *, both: bool) -> bool:
    """Whether a parent of this one, or the owner of its rows, is still to come."""
    others = [each for each in left if each is not pair]
    if pair.shared and any(each.a.relation == pair.a.relation and not each.shared for each in others):
        return True
    parents_b = {each.references for each in pair.b.constraints if each.kind == "f"}
    parents_a = {each.references for each in pair.a.constraints if each.kind == "f"} if both else set()
    return any(each.b.relation in parents_b or each.a.relation in parents_a for each in others)


def _digest(mapping: MappingFile, pairs: Sequence[Pair]) -> str:
    """Of what the mapping says, and of the columns that it says it of. Indexes, constraints and triggers are not part of it:
    they are put away and back while rows move."""
    shapes: dict[str, object] = {}
    for pair in pairs:
        shapes[f"a {pair.a.name}"] = _columns(pair.a)
        shapes[f"b {pair.b.name}"] = _columns(pair.b)
    said = mapping.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = json.dumps({"mapping": said, "tables": shapes}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _columns(table: Table) -> Mapping[str, object]:
    shape = table_shape(replace(table, triggers=()))
    return {key: shape[key] for key in ("kind", "persistence", "columns", "order")}
