"""The way back: each column of A as an expression over B's row and A's own, and whether every row of B has one.

It is a lens, not an inverse: A's value stays wherever mapping A's present row forward gives what B has, so that what the way
forward narrowed comes back whole in every row that nobody touched.
"""

from __future__ import annotations

import re

from tracseq_migrate.document import Path
from tracseq_migrate.replication.catalog.model import Column, Constraint
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.mapping.columns import Forward
from tracseq_migrate.replication.mapping.expressions import columns_of
from tracseq_migrate.replication.mapping.ground import Ground
from tracseq_migrate.replication.mapping.model import BackEntry
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Back, Pair

REFUSE = "refuse"
_FIXED_ZONE = re.compile(r"(?i)(UTC|GMT|Z|Zulu|Universal|Etc/.+|[+-]?[0-9:]+)")
_RANGES = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_CHECK = re.compile(r"CHECK \((?P<condition>.*)\)(?: NOT VALID| NO INHERIT)*", re.DOTALL)


def lens(pair: Pair, back: Back) -> str:
    """What A's column is to be, over ``a`` (A's row; all null where there is none) and ``b`` (B's row in wire types)."""
    there = f"a.{quoted(pair.key_a[0])} IS NOT NULL"
    own = f"a.{quoted(back.name)}"
    fresh = back.fresh or back.down
    same = [unchanged(pair, name) for name in back.watched]
    if not same:
        return own if fresh == own else f"CASE WHEN {there} THEN {own} ELSE {fresh} END"
    kept = f"WHEN {there} AND {' AND '.join(same)} THEN {own}"
    new = f"WHEN NOT ({there}) THEN {back.fresh} " if back.fresh else ""
    return f"CASE {new}{kept} ELSE {back.down} END"


def unchanged(pair: Pair, name: str) -> str:
    """Whether B's column is what mapping A's present row forward gives, over ``a`` and ``b``; never null."""
    mapped = pair.mapped(name)
    return f"{mapped.text_a} IS NOT DISTINCT FROM {mapped.text_staged}"


def backward(ground: Ground, written: list[Forward]) -> list[Back]:
    """Every column of A that is written on the way back, in A's order; what cannot be is found."""
    by_name = {each.name: each for each in written}
    for name in ground.entry.back:
        ground.column_a(name, ("back", name), key=True)
    made: list[Back] = []
    for column in ground.a.columns:
        if column.generated:
            continue
        one = _back(ground, column, by_name)
        if one is not None:
            made.append(one)
    _accounted(ground, written)
    return _checked(ground, made)


def _back(ground: Ground, column: Column, written: dict[str, Forward]) -> Back | None:
    name = column.name
    entry = ground.entry.back.get(name)
    way: Path = ("back", name)
    declared = [(each, each.entry.back[name]) for each in written.values() if name in each.entry.back]
    homes = [
        each
        for each in written.values()
        if each.source is not None and each.source.name == name and each.entry.own is None
    ]
    homes.sort(key=lambda each: not each.alike)
    if entry is not None and entry.expression is not None and declared:
        other = declared[0][0].name
        ground.find(
            way, f"the way back of {name} is also said under columns.{other}", "say it once", key=True
        )
        return None
    if entry is not None and entry.expression is not None:
        return _declared(ground, column, entry, entry.expression, (*way, "expression"), written)
    if declared:
        first, expression = declared[0]
        if len(declared) > 1:
            ground.find(
                (*declared[1][0].way, "back", name),
                f"the way back of {name} is also said under columns.{first.name}",
                "say it once, under the table's own `back`",
            )
        return _declared(
            ground, column, entry or BackEntry(), expression, (*first.way, "back", name), written
        )
    if homes:
        if ground.entry.shared and name not in ground.keys.values() and len(homes) > 1:
            homes = homes[:1]
        return _by_itself(ground, column, homes[0], entry)
    if ground.entry.shared:
        return None  # the entry that owns the row says what becomes of it
    return _stays(ground, column, entry)


def _declared(
    ground: Ground, column: Column, entry: BackEntry, expression: str, way: Path, written: dict[str, Forward]
) -> Back | None:
    if not ground.sound(expression, way, aliases="ab", steady=False, b=written):
        return None
    if entry.values or entry.otherwise is not None:
        ground.find(way, "an expression and values do not go together", "keep one of the two")
    watched = entry.watches or columns_of(expression)["b"]
    for index, each in enumerate(entry.watches):
        if each not in written:
            ground.find(
                ("back", column.name, "watches", index),
                f"this mapping does not write '{each}'",
                "leave it out",
            )
            return None
    if not watched:
        ground.find(
            way, "the expression reads nothing of B's row", "say what it depends on: b.name, or `watches`"
        )
    refused, why = _said(ground, column, entry)
    return Back(
        column, _typed(f"({expression})", column), tuple(watched), refused, why, _fresh(ground, column, entry)
    )


def _by_itself(ground: Ground, column: Column, home: Forward, entry: BackEntry | None) -> Back | None:
    entry = entry or BackEntry()
    way: Path = ("back", column.name)
    place = way if column.name in ground.entry.back else home.way
    theirs = f"b.{quoted(home.name)}"
    refused, why = _said(ground, column, entry)
    conditions = [refused] if refused else []
    if home.ids:
        down = f"(SELECT i.old FROM {home.ids} i WHERE i.new = {theirs})"
    elif home.entry.zone is not None:
        zone = literal(home.entry.zone)
        down = f"({theirs} AT TIME ZONE {zone})"
        if not _FIXED_ZONE.fullmatch(home.entry.zone):
            # The hour that comes twice in autumn: one of the two has no timestamp without a zone.
            conditions.append(f"({down} AT TIME ZONE {zone}) IS DISTINCT FROM {theirs}")
            why = why or f"a moment that {home.entry.zone} has no local time of its own for"
    elif home.entry.values or entry.values:
        inverse = _inverse(ground, column, home, entry, place)
        if inverse is None:
            return None
        down, labels = inverse
        if labels:
            conditions.append(labels)
            why = why or f"values of {home.name} that {column.name} has no counterpart of"
    else:
        lost = forms.loses(home.column.type, column.type)
        condition = _misfit(theirs, home.column, column) if lost else ""
        if lost and not refused and not (entry.unfit and condition):
            can = bool(condition)
            ground.find(
                place,
                f"no way back for {column.name}: {home.name} ({forms.shown(home.column.type)}) does not fit"
                f" {forms.shown(column.type)}: {lost}",
                f"declare it: back: {{{column.name}: {{unfit: why that is right}}}}, or narrow {home.name} in B"
                if can
                else f"say what becomes of it: back: {{{column.name}: {{expression: …, refuse: …}}}}",
                key=True,
            )
        if lost and condition and entry.unfit:
            conditions.append(condition)
        down = theirs
    if column.not_null and not home.column.not_null and not home.ids and f"{theirs} IS NULL" not in refused:
        if entry.unfit:
            conditions.append(f"{theirs} IS NULL")
        elif not refused:
            ground.find(
                place,
                f"no way back for {column.name}: {home.name} can be null in B, and {column.name} cannot",
                f"declare it: back: {{{column.name}: {{unfit: why that is right}}}}, or forbid nulls in B by a script",
                key=True,
            )
    conditions += _strangers(ground, column, home, entry, place)
    fresh = _fresh(ground, column, entry)
    return Back(
        column, _typed(down, column), (home.name,), " OR ".join(f"({each})" for each in conditions), why or (entry.unfit or ""),
        fresh,
    )  # fmt: skip


def _strangers(ground: Ground, column: Column, home: Forward, entry: BackEntry, place: Path) -> list[str]:
    """Values that a foreign key of A would refuse, because nothing on B sees to it that they are there."""
    if home.ids:
        return []
    for constraint in ground.a.constraints:
        if constraint.kind != "f" or constraint.columns != (column.name,) or len(constraint.referenced) != 1:
            continue
        if any(each.kind == "f" and each.columns == (home.name,) for each in ground.b.constraints):
            continue
        condition = (
            f"b.{quoted(home.name)} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {constraint.references} r"
            f" WHERE r.{quoted(constraint.referenced[0])} = b.{quoted(home.name)})"
        )
        if entry.unfit:
            return [condition]
        if ground.resumed:
            continue
        ground.find(
            place,
            f"no way back for {column.name}: A's {constraint.name} demands a row of {constraint.references}, and B demands none",
            f"declare it: back: {{{column.name}: {{unfit: why that is right}}}}",
            key=True,
        )
    return []


def _stays(ground: Ground, column: Column, entry: BackEntry | None) -> Back:
    entry = entry or BackEntry()
    refused, why = _said(ground, column, entry)
    fresh = _fresh(ground, column, entry)
    if not fresh:
        if column.default:
            fresh = column.default
        elif column.identity or not column.not_null:
            fresh = f"NULL::{column.type.full}"
        else:
            ground.find(
                ("back", column.name),
                f"a row that is made on B gets no {column.name} in A, which refuses nulls there",
                f"say what it gets: back: {{{column.name}: {{new: …}}}}",
                key=True,
            )
    return Back(column, f"a.{quoted(column.name)}", (), refused, why, fresh)


def _said(ground: Ground, column: Column, entry: BackEntry) -> tuple[str, str]:
    """The condition that the entry itself refuses under, and its reason."""
    if entry.refuse is None:
        return "", entry.because or ""
    way: Path = ("back", column.name, "refuse")
    ground.sound(entry.refuse, way, aliases="ab", steady=False, b=tuple(ground.entry.columns))
    if entry.because is None and entry.unfit is None:
        ground.find(way, "a refusal needs a reason", "because: …", key=True)
    return f"coalesce(({entry.refuse}), false)", entry.because or entry.unfit or ""


def _fresh(ground: Ground, column: Column, entry: BackEntry) -> str:
    if entry.new is None:
        return ""
    ground.sound(
        entry.new, ("back", column.name, "new"), aliases="b", steady=False, b=tuple(ground.entry.columns)
    )
    return _typed(f"({entry.new})", column)


def _inverse(
    ground: Ground, column: Column, home: Forward, entry: BackEntry, place: Path
) -> tuple[str, str] | None:
    """The way back of a map of values, and the condition under which there is none."""
    forth = home.entry.values
    rest = home.entry.otherwise
    theirs = f"b.{quoted(home.name)}"
    ours = forms.base_of(column.type).labels
    labels = forms.base_of(home.column.type).labels
    whole = {label: forth.get(label, rest if rest is not None else label) for label in ours or forth}
    if not forth and not whole:
        whole = {label: label for label in labels}
    said, otherwise = entry.values, entry.otherwise
    for label, becomes in said.items():
        if labels and label not in labels:
            remedy = ground.document.did_you_mean(label, labels, what="labels")
            ground.find(
                (*place, "values", label), f"'{label}' is no value of B's {home.name}", remedy, key=True
            )
        if becomes != REFUSE and ours and becomes not in ours:
            remedy = ground.document.did_you_mean(becomes, ours, what="labels")
            ground.find((*place, "values", label), f"'{becomes}' is no value of A's {column.name}", remedy)
        elif becomes != REFUSE and whole.get(becomes, rest) != label:
            ground.find(
                (*place, "values", label),
                f"'{label}' would come back as '{becomes}', which is '{whole.get(becomes, rest)}' on B: it would not be the same",
                f"write {label}: {REFUSE}",
            )
    back: dict[str, str] = {}
    refused: list[str] = []
    for label in labels or tuple(dict.fromkeys([*whole.values(), *said])):
        becomes = said.get(label, "")
        if label not in said:
            fits = [own for own, there in whole.items() if there == label]
            if otherwise is not None and not fits:
                becomes = otherwise
            elif label in fits or len(fits) == 1:
                becomes = label if label in fits else fits[0]
            elif fits:
                ground.find(
                    place,
                    f"{', '.join(map(repr, fits))} of A become '{label}' on B: which of them is a new '{label}'?",
                    f"back: {{{column.name}: {{values: {{{label}: {fits[0]}}}}}}}",
                    key=True,
                )
                continue
            else:
                ground.find(
                    place,
                    f"no way back for {column.name}: '{label}' of B has no counterpart",
                    f"back: {{{column.name}: {{values: {{{label}: {REFUSE}}}}}}}",
                    key=True,
                )
                continue
        if becomes == REFUSE:
            refused.append(label)
        else:
            back[label] = becomes
    whens = " ".join(f"WHEN {literal(label)} THEN {literal(own)}" for label, own in back.items())
    open_ended = not labels
    if open_ended and otherwise is None:
        ground.find(
            place,
            f"no way back for {column.name}: {home.name} can be something else than these on B",
            f"back: {{{column.name}: {{else: {REFUSE}}}}}",
            key=True,
        )
        return None
    last = f" ELSE {literal(otherwise)}" if otherwise not in (None, REFUSE) else ""
    down = f"CASE ({theirs})::text {whens or 'WHEN NULL THEN NULL'}{last} END"
    condition = ""
    if open_ended and otherwise == REFUSE:
        known = ", ".join(literal(label) for label in back)
        condition = f"{theirs} IS NOT NULL AND ({theirs})::text NOT IN ({known or 'NULL'})"
    elif refused:
        condition = f"({theirs})::text IN ({', '.join(map(literal, refused))})"
    return down, condition


def _misfit(theirs: str, given: Column, wanted: Column) -> str:
    """The condition over ``b`` under which B's value does not fit A's column; empty where none can be written down."""
    base = forms.base_of(wanted.type)
    if any(check != "NOT NULL" for check in wanted.type.checks):
        return ""
    if forms.is_text(given.type) and forms.is_text(wanted.type):
        most = forms.length_of(wanted.type)
        return f"length({theirs}::text) > {most}" if most is not None and base.name != "bpchar" else ""
    if base.name in _RANGES and forms.base_of(given.type).name in (*_RANGES, "numeric"):
        least, most = _RANGES[base.name]
        whole = f" OR {theirs} <> trunc({theirs})" if forms.base_of(given.type).name == "numeric" else ""
        return f"{theirs} NOT BETWEEN ({least}) AND {most}{whole}"
    if base.kind == "enum":
        return f"{theirs}::text NOT IN ({', '.join(map(literal, base.labels))})"
    return ""


def _typed(expression: str, column: Column) -> str:
    """The expression as one of A's type, but a text never cut: the assignment then refuses what is too long."""
    base = forms.base_of(column.type)
    if base.name in ("character varying", "bpchar", "text"):
        return f"({expression})::text"
    return f"({expression})::{column.type.full}"


def _accounted(ground: Ground, written: list[Forward]) -> None:
    """Every column of A has a home, or is declared to have none; nothing is lost by omission."""
    entry = ground.entry
    read = {name for each in written for name in each.reads}
    for index, name in enumerate(entry.kept):
        ground.column_a(name, ("kept", index))
        if name in entry.left_behind:
            ground.find(
                ("left_behind", name), f"{name} is kept as well", "take it out of one of the two", key=True
            )
    for name in entry.left_behind:
        ground.column_a(name, ("left_behind", name), key=True)
        if name in read:
            ground.find(("left_behind", name), f"{name} is mapped as well", "take it out here", key=True)
    known = {*read, *entry.kept, *entry.left_behind, *ground.others}
    for column in ground.a.columns:
        if column.name not in known and not entry.shared:
            ground.find(
                ("columns",),
                f"nothing is said of A's column '{column.name}' ({forms.shown(column.type)}): its values would be lost",
                f"map it, or keep it aside (kept: [{column.name}]), or leave it behind with a reason (left_behind)",
                key=True,
            )


def homeless(ground: Ground, written: list[Forward], backs: list[Back]) -> frozenset[str]:
    """B's columns that A has no home for; each must be declared so."""
    watched = {name for each in backs for name in each.watched}
    alone = [each for each in written if each.name not in watched and each.name not in ground.keys]
    for each in alone:
        undeclared = each.entry.constant is None and each.entry.own is None
        generated = each.source is not None and each.source.generated
        if undeclared and not (each.source is not None and _said_elsewhere(ground, each)):
            ground.find(
                each.way,
                f"no way back for {each.name}: changes made to it on B go nowhere",
                "A computes the column itself: say `own`, and why that is right"
                if generated
                else "say what becomes of them (`back`), or that A needs no home for them (`own: …`)",
                key=True,
            )
    return frozenset(each.name for each in alone)


def _said_elsewhere(ground: Ground, each: Forward) -> bool:
    """Whether a finding has already said that its column of A has no way back."""
    return (
        any(f"no way back for {each.source.name}" in one.message for one in ground.findings)
        if each.source
        else False
    )


def _checked(ground: Ground, backs: list[Back]) -> list[Back]:
    """The same, with A's checks as refusals: a row that A would not take is named before it is tried."""
    if ground.resumed and not ground.a.constraints:
        return backs
    by_name = {each.name: each for each in backs}
    extra: dict[str, list[Constraint]] = {}
    for constraint in ground.a.constraints:
        touched = [name for name in constraint.columns if name in by_name and by_name[name].watched]
        if constraint.kind == "c" and touched and _CHECK.fullmatch(constraint.definition):
            extra.setdefault(touched[0], []).append(constraint)
    made = []
    for each in backs:
        conditions, why = ([each.refused] if each.refused else []), each.why
        for constraint in extra.get(each.name, ()):
            conditions.append(_broken(constraint, by_name))
            why = "; ".join(filter(None, [why, f"A's check {constraint.name}"]))
        made.append(Back(each.column, each.down, each.watched, " OR ".join(conditions), why, each.fresh))
    return made


def _broken(constraint: Constraint, backs: dict[str, Back]) -> str:
    found = _CHECK.fullmatch(constraint.definition)
    condition = found["condition"] if found else "true"
    values = ", ".join(
        f"{backs[name].down if name in backs else 'a.' + quoted(name)} AS {quoted(name)}"
        for name in constraint.columns
    )
    return f"NOT coalesce((SELECT ({condition}) FROM (SELECT {values}) AS n), true)"
