"""B's CHECK constraints and the conditions of its domains, asked of A's rows before they are moved.

They are evaluated on A, over the mapped row. That is the same question wherever a condition is made of PostgreSQL's own
functions and types; an enum of B's becomes a text there. What A cannot evaluate the same is named as an open
question, and not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.catalog.model import Column, Type
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.names import quoted
from tracseq_migrate.replication.pair import Mapped, Pair
from tracseq_migrate.replication.prescan.misfit import Misfit
from tracseq_migrate.replication.prescan.rule import Rows, Rule, origin

_CHECKS = """
SELECT k.conname::text, pg_get_expr(k.conbin, k.conrelid),
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
       (SELECT array_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0)) FROM pg_depend d
        WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
          AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_collation'::regclass))
FROM pg_constraint k
WHERE k.conrelid = $1::regclass AND k.contype = 'c'
ORDER BY k.conname
"""

_DOMAINS = """
SELECT t.oid::bigint, k.conname::text, pg_get_expr(k.conbin, 0),
       (SELECT array_agg(DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0)) FROM pg_depend d
        WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
          AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_collation'::regclass))
FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid
WHERE k.contype = 'c' AND t.oid = ANY ($1::oid[])
ORDER BY t.oid, k.conname
"""

_ORDER = re.compile(r"[<>]=?(?!>)")
_FOREIGN = "it uses {}, which A may not have, or have otherwise"


def rules(session_a: Session, session_b: Session, rows: Rows) -> tuple[list[Rule], list[Misfit]]:
    """What can be asked of A, and what cannot."""
    made: list[Rule] = []
    open_: list[Misfit] = []
    for rule, name, why in _all(session_b, rows.pair):
        if why:
            open_.append(_unknown(rows.pair, name, why))
            continue
        complaint = complaint_of(session_a, rows, rule)
        if complaint:
            open_.append(_unknown(rows.pair, name, f"A cannot evaluate it: {complaint}"))
        else:
            made.append(rule)
    return made, open_


def complaint_of(session_a: Session, rows: Rows, rule: Rule) -> str:
    """What A says against a rule without looking at a row; empty where nothing."""
    query = f"SELECT ({rule.condition}) FROM ({rows.select(rule.columns, rule.more)}) AS m WHERE false"
    try:
        session_a.rows(query)
    except SqlFailed as error:
        return error.message
    return ""


def _unknown(pair: Pair, name: str, why: str) -> Misfit:
    return Misfit(
        pair.name,
        name,
        "check",
        f"whether all rows pass cannot be known before they are loaded: {why}",
        None,
        -1,
        (),
        "see that the rows in A fulfil it; a row that does not stops the copy, and is named then",
    )


def _all(session_b: Session, pair: Pair) -> Iterator[tuple[Rule, str, str]]:
    printed = printed_types(session_b, pair)
    for name, expression, columns, foreign in session_b.rows(_CHECKS, [pair.b.relation]):
        where = f"{pair.b.name}, CHECK {name}"
        rule, why = of_row(pair, printed, expression, columns or [], foreign or [])
        shown = Rule(
            where,
            "check",
            f"({rule.condition}) IS FALSE",
            f"CHECK ({expression}) refuses it",
            "mend the rows in A, or map them to what the CHECK takes",
            rule.columns,
            more=rule.more,
        )
        yield shown, where, why
    yield from _of_domains(session_b, pair, printed)


def of_row(
    pair: Pair, printed: Mapping[str, Type], expression: str, columns: Sequence[str], foreign: Sequence[str]
) -> tuple[Rule, str]:
    """An expression of B's over its row, as a rule's condition on A; and why that is not the same question, if it is not."""
    written = {each.name: each for each in pair.columns}
    more = []
    why = _FOREIGN.format(", ".join(foreign)) if foreign else ""
    for name in columns:
        column = pair.b.column(name)
        if name in written or column is None:
            continue
        if column.generated or column.identity or column.sequence:
            why = why or f"it reads {name}, which B makes itself"
        # Nobody writes it: every row has B's default there.
        default, hindrance = _translated(column.default, printed) if column.default else ("NULL", "")
        why = why or hindrance
        more.append((name, f"({default})::{forms.wire_of(column.type)}"))
    translated, hindrance = _translated(expression, printed)
    for name in columns:
        column = pair.b.column(name)
        if column is not None and not why:
            why = _unlike(column)
    rule = Rule(
        "", "check", translated, "", "", tuple(each for each in columns if each in written), more=tuple(more)
    )
    return rule, why or hindrance


def _unlike(column: Column) -> str:
    """Why a column's wire type behaves otherwise in a comparison than its own type does."""
    base = forms.base_of(column.type)
    if not column.deterministic:
        return f"the collation of {column.name} calls different texts equal"
    if base.builtin and base.name == "bpchar":
        return f"{column.type.full} compares without the blanks at the end"
    if base.kind == "array" and base.element is not None:
        return (
            ""
            if base.element.builtin or base.element.kind == "enum"
            else f"{column.name} is a {column.type.full}"
        )
    if not base.builtin and base.kind != "enum":
        return f"{column.name} is a {column.type.full}"
    return ""


def _translated(expression: str, printed: Mapping[str, Type]) -> tuple[str, str]:
    """An expression with B's own types replaced by those in which their values travel; and what stands against that."""
    translated = expression
    for word in sorted(printed, key=len, reverse=True):
        cast = re.compile(rf"::{re.escape(word)}(?![A-Za-z0-9_$\"(])")
        if not cast.search(translated):
            continue
        base = forms.base_of(printed[word])
        enum = base.kind == "enum" or (base.element is not None and base.element.kind == "enum")
        if enum and _ORDER.search(re.sub(r"'(?:[^']|'')*'", "''", translated).replace("<>", "")):
            return expression, f"the order of {word} is that of its labels, and not of their texts"
        if not enum and not base.builtin:
            return expression, f"it casts to {word}"
        translated = cast.sub(f"::{forms.wire_of(printed[word])}", translated)
    return translated, ""


def printed_types(session_b: Session, pair: Pair) -> dict[str, Type]:
    """B's own types of this table's columns, by how PostgreSQL writes them in an expression."""
    own: dict[int, Type] = {}
    for column in pair.b.columns:
        step: Type | None = column.type
        while step is not None:
            for each in (step, step.element):
                if each is not None and not each.builtin:
                    own[each.oid] = each
            step = step.base
    if not own:
        return {}
    rows = session_b.rows(
        "SELECT oid::bigint, format_type(oid, -1) FROM pg_type WHERE oid = ANY ($1::oid[])",
        ["{" + ",".join(map(str, own)) + "}"],
    )
    printed = {str(text): own[oid] for oid, text in rows}
    # An array of an enum is written out in a CHECK even where no column is one.
    return printed | {f"{text}[]": _array_of(each) for text, each in printed.items() if each.kind == "enum"}


def _array_of(element: Type) -> Type:
    return Type(0, f"{element.name}[]", f"{element.full}[]", "array", builtin=False, element=element)


def _of_domains(
    session_b: Session, pair: Pair, printed: Mapping[str, Type]
) -> Iterator[tuple[Rule, str, str]]:
    for mapped in pair.columns:
        domains = list(_domains(mapped.column.type))
        if not any(each.checks for each in domains) or _same_domain(pair, mapped):
            continue
        oids = "{" + ",".join(str(each.oid) for each in domains) + "}"
        base = forms.base_of(mapped.column.type)
        for _, name, expression, foreign in session_b.rows(_DOMAINS, [oids]):
            translated, hindrance = _translated(expression, printed)
            why = _FOREIGN.format(", ".join(foreign)) if foreign else _unlike(mapped.column) or hindrance
            value = f"m.{quoted(mapped.name)}"
            wire = mapped.wire if base.builtin else "text"
            where = f"{pair.b.name}.{mapped.name}, {name} of {mapped.column.type.full}"
            yield (
                Rule(
                    where,
                    "domain",
                    f"(SELECT ({translated}) FROM (SELECT {value}::{wire} AS value) AS d) IS FALSE",
                    f"CHECK ({expression}) refuses it",
                    "mend the rows in A, or map them to what the domain takes",
                    (mapped.name,),
                ),
                where,
                why,
            )


def _domains(kind: Type) -> Iterator[Type]:
    step: Type | None = kind
    while step is not None and step.kind == "domain":
        yield step
        step = step.base


def _same_domain(pair: Pair, mapped: Mapped) -> bool:
    """Whether A's column has the same conditions already."""
    found = origin(pair, mapped)
    source = pair.a.column(found.column) if found else None
    return source is not None and (source.type.name, source.type.checks) == (
        mapped.column.type.name,
        mapped.column.type.checks,
    )
