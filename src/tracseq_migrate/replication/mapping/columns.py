"""The way forward: each column of B as an expression over A's row."""

from __future__ import annotations

from tracseq_migrate.document import Path
from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.catalog.model import Column
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.mapping.expressions import columns_of
from tracseq_migrate.replication.mapping.ground import Ground
from tracseq_migrate.replication.mapping.model import ColumnEntry
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import IdMap

UUID = "uuid"


@frozen
class Forward:
    """One column of B, as far as the way forward goes."""

    column: Column
    entry: ColumnEntry
    way: Path
    up: str
    plain: str
    reads: tuple[str, ...]
    source: Column | None
    """A's column, where it comes of one alone."""
    ids: str = ""
    """The table of the id map that it goes through."""
    own_ids: IdMap | None = None

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def wire(self) -> str:
        return forms.wire_of(self.column.type)

    @property
    def alike(self) -> bool:
        """Whether two rows that agree in B's column agree in A's, nulls aside."""
        entry = self.entry
        return self.source is not None and not (entry.values or entry.truncate or entry.default)


def forward(ground: Ground) -> list[Forward]:
    """Every column that the entry writes, in B's order; what cannot be is found."""
    made = []
    for name, entry in ground.entry.columns.items():
        way: Path = ("columns", name)
        column = ground.column_b(name, way, key=True)
        if column is None:
            continue
        if column.generated:
            ground.find(
                way, f"B computes '{name}' itself: nobody can write it", "take the entry away", key=True
            )
            continue
        one = _forward(ground, column, entry, way)
        if one is not None:
            made.append(one)
    order = {each.name: each.number for each in ground.b.columns}
    return sorted(made, key=lambda each: order[each.name])


def _forward(ground: Ground, column: Column, entry: ColumnEntry, way: Path) -> Forward | None:
    given = [key for key, value in (("from", entry.source), ("expression", entry.expression), ("constant", entry.constant))
             if value is not None]  # fmt: skip
    if len(given) != 1:
        said = (
            f"'{given[0]}' and '{given[1]}' stand side by side"
            if given
            else "it does not say where it comes from"
        )
        ground.find(way, f"{column.name}: {said}", "exactly one of from, expression and constant")
        return None
    if not _goes_together(ground, column, entry, way):
        return None
    if entry.constant is not None:
        ground.sound(entry.constant, (*way, "constant"))
        up = _wired(f"({entry.constant})", column)
        return Forward(column, entry, way, up, up, (), None)
    if entry.expression is not None:
        here = (*way, "expression")
        if not ground.sound(entry.expression, here, aliases="a"):
            return None
        reads = columns_of(entry.expression)["a"]
        if not reads:
            ground.find(here, "the expression reads no column", "write it as a constant")
        if entry.reads and set(entry.reads) != set(reads):
            ground.find(
                (*way, "reads"),
                f"the expression reads {', '.join(reads) or 'nothing'}",
                "mend `reads`, or leave it out",
            )
        up = _finished(ground, f"({entry.expression})", column, entry, way, None)
        return Forward(column, entry, way, up, up, reads, None)
    short = isinstance(ground.document.at((*ground.at, *way)), str)
    source = ground.column_a(str(entry.source), way if short else (*way, "from"))
    if source is None:
        return None
    if entry.ids is not None:
        return _through_ids(ground, column, source, entry, way)
    _nulls(ground, column, source, entry, way)
    up = _finished(ground, f"a.{quoted(source.name)}", column, entry, way, source)
    return Forward(column, entry, way, up, up, (source.name,), source)


def _goes_together(ground: Ground, column: Column, entry: ColumnEntry, way: Path) -> bool:
    """Whether the words of an entry make sense beside each other."""
    only_from = {"ids": entry.ids, "zone": entry.zone, "keep": entry.keep or None}
    good = True
    for word, value in only_from.items():
        if value is not None and entry.source is None:
            ground.find((*way, word), f"'{word}' needs 'from'", "name the one column that it is about")
            good = False
    words = [
        word
        for word, value in (
            ("values", entry.values),
            ("truncate", entry.truncate),
            ("zone", entry.zone),
            ("ids", entry.ids),
        )
        if value
    ]
    if len(words) > 1:
        ground.find(
            (*way, words[1]), f"'{words[0]}' and '{words[1]}' do not go together", "write an expression"
        )
        good = False
    if entry.absent_is_null and forms.wire_of(column.type) != "jsonb":
        ground.find((*way, "absent_is_null"), f"{column.name} is no jsonb", "take it away")
        good = False
    if entry.otherwise is not None and not entry.values:
        ground.find((*way, "else"), "'else' needs 'values'", "name the values that it is the rest of")
        good = False
    if entry.reads and entry.expression is None:
        ground.find((*way, "reads"), "'reads' needs 'expression'", "take it away")
        good = False
    if entry.back and entry.expression is None:
        ground.find((*way, "back"), "'back' needs 'expression'", "write it under the table's own `back`")
        good = False
    if entry.constant is not None and (words or entry.default is not None):
        ground.find(way, "a constant stands alone", "write what it comes to")
        good = False
    return good


def _finished(
    ground: Ground, value: str, column: Column, entry: ColumnEntry, way: Path, source: Column | None
) -> str:
    """The value as one of B's wire type, with what the entry declares done to it."""
    if entry.values:
        value = _by_values(ground, value, column, entry, way, source)
    elif entry.truncate is not None:
        most = forms.length_of(column.type)
        if not forms.is_text(column.type) or (source is not None and not forms.is_text(source.type)):
            ground.find((*way, "truncate"), "only a text can be cut", "write an expression")
        elif most is not None and entry.truncate > most:
            ground.find(
                (*way, "truncate"), f"{forms.shown(column.type)} holds {most} characters", f"truncate: {most}"
            )
        value = f"left(({value})::text, {entry.truncate})"
    elif entry.zone is not None:
        _zone(ground, column, source, way)
        value = f"({value} AT TIME ZONE {literal(entry.zone)})"
    elif source is not None:
        lost = forms.loses(source.type, column.type)
        if lost:
            ground.find(
                way,
                f"{source.name} ({forms.shown(source.type)}) does not fit {column.name}: {lost}",
                _remedy(source, column),
            )
    wired = _wired(value, column, source if not (entry.values or entry.truncate or entry.zone) else None)
    if entry.default is not None:
        ground.sound(entry.default, (*way, "default"))
        wired = f"coalesce({wired}, {_wired(f'({entry.default})', column)})"
    return wired


def _wired(value: str, column: Column, source: Column | None = None) -> str:
    """The value in B's wire type; without a cast where A's column is of that type already."""
    wire = forms.wire_of(column.type)
    if source is not None and source.type.name == wire:
        return value
    return forms.cast(value, wire)


def _nulls(ground: Ground, column: Column, source: Column, entry: ColumnEntry, way: Path) -> None:
    if column.not_null and not source.not_null and entry.default is None:
        ground.find(
            way,
            f"{source.name} can be null, and {column.name} cannot",
            "say what a null becomes: default: …; without one that is right, mend the rows in A and forbid nulls there",
        )


def _by_values(
    ground: Ground, value: str, column: Column, entry: ColumnEntry, way: Path, source: Column | None
) -> str:
    here = (*way, "values")
    labels = forms.base_of(source.type).labels if source is not None else ()
    targets = forms.base_of(column.type).labels
    for label, becomes in entry.values.items():
        if labels and label not in labels:
            remedy = ground.document.did_you_mean(label, labels, what="labels")
            ground.find(
                (*here, label),
                f"'{label}' is no value of A's {source.name if source else ''}",
                remedy,
                key=True,
            )
        if targets and becomes not in targets:
            remedy = ground.document.did_you_mean(becomes, targets, what="labels")
            ground.find((*here, label), f"'{becomes}' is no value of B's {column.name}", remedy)
    if entry.otherwise is not None and targets and entry.otherwise not in targets:
        remedy = ground.document.did_you_mean(entry.otherwise, targets, what="labels")
        ground.find((*way, "else"), f"'{entry.otherwise}' is no value of B's {column.name}", remedy)
    missing = [label for label in labels if label not in entry.values]
    if entry.otherwise is None and (missing or not labels):
        what = f"nothing is said of {', '.join(missing)}" if labels else "it can be something else than these"
        ground.find(
            here, f"the values of {column.name} are not total: {what}", "name each, or say `else`", key=True
        )
    whens = " ".join(
        f"WHEN {literal(label)} THEN {literal(becomes)}" for label, becomes in entry.values.items()
    )
    # A label that is added later is passed on as it is, and B refuses it: better than a null that nobody notices.
    rest = f"({value})::text" if entry.otherwise is None else literal(entry.otherwise)
    return f"CASE WHEN {value} IS NULL THEN NULL ELSE CASE ({value})::text {whens} ELSE {rest} END END"


def _zone(ground: Ground, column: Column, source: Column | None, way: Path) -> None:
    given = forms.base_of(source.type).name if source is not None else ""
    if (
        given != "timestamp without time zone"
        or forms.base_of(column.type).name != "timestamp with time zone"
    ):
        ground.find(
            (*way, "zone"), "a zone is what a timestamp without one needs to become one with", "take it away"
        )


def _through_ids(
    ground: Ground, column: Column, source: Column, entry: ColumnEntry, way: Path
) -> Forward | None:
    if entry.default is not None:
        ground.find((*way, "default"), "an id has no default", "take it away")
    whole = ("smallint", "integer", "bigint")
    if forms.base_of(column.type).name != "uuid" or forms.base_of(source.type).name not in whole:
        what = f"from {forms.shown(source.type)} to {forms.shown(column.type)}"
        ground.find((*way, "ids"), f"an id map is from a whole number to a uuid, not {what}", "take it away")
        return None
    own = entry.ids == UUID
    owner = ground.name if own else str(entry.ids)
    if owner not in ground.maps:
        remedy = ground.document.did_you_mean(owner, [*ground.maps, UUID], what="id maps")
        ground.find((*way, "ids"), f"no table of this file has an id map called '{owner}'", remedy)
        return None
    if not own:
        _nulls(ground, column, source, entry, way)
    table, origin = ground.maps[owner], f"a.{quoted(source.name)}"
    computed = computed_uuid(owner, origin)
    # The map has what was made on B; what was made on A is the same by computation, whether it is in the map yet or not.
    up = f"coalesce((SELECT i.new FROM {table} i WHERE i.old = {origin}), {computed})"
    made = IdMap(ground.name, source.name, column.name, table, source.sequence, computed) if own else None
    if own and not source.sequence:
        ground.find(
            (*way, "ids"),
            f"A's {source.name} draws from no sequence, so that a row made on B would get no number there",
        )
    return Forward(column, entry, way, up, computed, (source.name,), source, table, made)


def computed_uuid(owner: str, number: str) -> str:
    """The uuid (version 8, of an md5) of a number by computation alone, the same whenever and wherever; null for null."""
    digest = f"md5({literal(owner + ':')} || {number}::text)"
    return f"overlay(overlay({digest} PLACING '8' FROM 13 FOR 1) PLACING '8' FROM 17 FOR 1)::uuid"


def _remedy(source: Column, column: Column) -> str:
    most = forms.length_of(column.type)
    if forms.is_text(source.type) and forms.is_text(column.type):
        return (
            f"declare it: {{from: {source.name}, truncate: {most}, keep: true}}, or widen {column.name} in B"
        )
    if forms.base_of(column.type).kind == "enum":
        return f"map them: {{from: {source.name}, values: {{…}}}}"
    if forms.base_of(column.type).name == "timestamp with time zone":
        return f"say it: {{from: {source.name}, zone: UTC}}"
    if forms.base_of(column.type).name == "uuid":
        return f"{{from: {source.name}, ids: uuid}} makes one of a number; else write an expression"
    return "write an expression that says what becomes of it"
