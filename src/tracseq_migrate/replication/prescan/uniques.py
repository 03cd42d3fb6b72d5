"""Unique indexes of B: rows of A that would become equal in them, and rows that B keeps.

What A's own unique indexes imply is not asked. The rest is asked in the one scan as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.catalog.model import Index, Type
from tracseq_migrate.replication.mapping import forms
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Pair
from tracseq_migrate.replication.prescan import checks
from tracseq_migrate.replication.prescan.misfit import Misfit
from tracseq_migrate.replication.prescan.rule import Rows, Rule, origin

_SAMPLES = 5
MOST_KEPT = 1_000
"""Rows that B keeps, up to which each is compared with what comes from A."""

_UNIQUE = """
SELECT x.relname::text, pg_get_expr(i.indpred, i.indrelid),
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, false) FROM generate_series(1, i.indnkeyatts) AS k ORDER BY k),
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (
                 a.attnum = ANY (i.indkey::int2[])
                 OR a.attnum IN (SELECT d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                 AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid))
             ORDER BY a.attnum),
       ARRAY(SELECT DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0) FROM pg_depend d
             WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
               AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_collation'::regclass,
                                    'pg_opclass'::regclass)),
       ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) AS k
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND i.indkey[k] > 0)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid
ORDER BY x.relname
"""


@frozen
class Unique:
    """One unique index of B; ``parts`` are expressions over the mapped row ``m``, none null for a row that counts."""

    name: str
    parts: tuple[str, ...]
    rule: Rule
    """Its columns, and what it reads besides."""
    own: tuple[str, ...]
    """The same expressions over B's own row ``b``."""
    predicate: str
    implied: bool
    """Whether A's rows cannot be equal in it, since an index of A forbids that."""


def find(session_a: Session, session_b: Session, rows: Rows) -> tuple[list[Unique], list[Misfit]]:
    """B's unique indexes as questions to A, and those that cannot be asked there."""
    pair = rows.pair
    printed = checks.printed_types(session_b, pair)
    indexes = {each.name: each for each in pair.b.indexes}
    found: list[Unique] = []
    open_: list[Misfit] = []
    for name, predicate, expressions, columns, foreign, plain in session_b.rows(_UNIQUE, [pair.b.relation]):
        if set(columns).isdisjoint(each.name for each in pair.columns):
            continue  # B fills all of them by itself
        distinct = indexes[name].nulls_distinct if name in indexes else True
        whole = len(plain) == len(expressions)
        implied = whole and not predicate and _implied(pair, plain, distinct=distinct)
        foreign = [] if implied else [each for each in foreign if not _citext(each)]
        unique, why = _unique(
            pair, printed, name, predicate, expressions, columns, foreign, distinct=distinct
        )
        if not why and not implied:
            why = checks.complaint_of(session_a, rows, _probe(unique))
            why = f"A cannot evaluate it: {why}" if why else ""
        if why and not implied:
            open_.append(unknown(pair, name, why))
            continue
        found.append(Unique(unique.name, unique.parts, unique.rule, unique.own, unique.predicate, implied))
    return found, open_


def _citext(described: str) -> bool:
    return "citext" in described  # what it does to equality is done below, by lower()


def _probe(unique: Unique) -> Rule:
    condition = " AND ".join(f"({part}) IS NULL" for part in unique.parts)
    return Rule("", "", condition, "", "", unique.rule.columns, more=unique.rule.more)


def unknown(pair: Pair, name: str, why: str) -> Misfit:
    return Misfit(
        pair.name,
        f"{pair.b.name}, unique index {name}",
        "unique",
        f"whether all rows differ in it cannot be known before they are loaded: {why}",
        None,
        -1,
        (),
        "see that they do; the build of the index names the first that do not",
    )


def _unique(
    pair: Pair,
    printed: dict[str, Type],
    name: str,
    predicate: str | None,
    expressions: Sequence[str],
    columns: Sequence[str],
    foreign: Sequence[str],
    *,
    distinct: bool,
) -> tuple[Unique, str]:
    whole = [*expressions, *([predicate] if predicate else [])]
    why = ""
    translated: list[str] = []
    rule = Rule("", "", "", "", "", ())
    for expression in whole:
        rule, hindrance = checks.of_row(pair, printed, expression, columns, foreign)
        why = why or ("" if _only_citext(pair, columns, hindrance) else hindrance)
        translated.append(rule.condition)
    held = translated[-1] if predicate else ""
    made: list[str] = []
    own: list[str] = []
    for index, expression in enumerate(expressions):
        for collected, value, condition in (
            (made, translated[index], held),
            (own, expression, predicate or ""),
        ):
            folded = f"lower(({value})::text)" if _folds(pair, expression) else f"({value})"
            if not distinct:
                folded = f"CASE WHEN {folded} IS NULL THEN 'null' ELSE '=' || {folded}::text END"
            collected.append(f"CASE WHEN {condition} THEN {folded} END" if condition else folded)
    return Unique(name, tuple(made), rule, tuple(own), predicate or "", implied=False), why


def _folds(pair: Pair, expression: str) -> bool:
    """Whether a part of the index is a column that calls texts equal whatever their case."""
    return any(
        expression in (each.name, quoted(each.name)) and forms.base_of(each.type).name.endswith('"citext"')
        for each in pair.b.columns
    )


def _only_citext(pair: Pair, columns: Sequence[str], hindrance: str) -> bool:
    return any(
        hindrance == f"{name} is a {column.type.full}"
        and forms.base_of(column.type).name.endswith('"citext"')
        for name in columns
        if (column := pair.b.column(name)) is not None
    )


def _implied(pair: Pair, columns: Sequence[str], *, distinct: bool) -> bool:
    """Whether an index of A forbids that two rows are equal in these columns of B."""
    if set(pair.key_b) <= set(columns) and distinct:
        return True  # the key goes over one to one
    written = {each.name: each for each in pair.columns}
    sources = set()
    for name in columns:
        mapped = written.get(name)
        found = origin(pair, mapped) if mapped is not None else None
        if mapped is None or found is None:
            continue  # one more column cannot make two rows equal that differ in the others
        source = pair.a.column(found.column)
        if source is None or not mapped.column.deterministic:
            continue
        if _is_citext(mapped.column.type) and not _is_citext(source.type):
            continue
        sources.add(found.column)
    return any(_forbids(pair, index, sources, distinct=distinct) for index in pair.a.indexes)


def _is_citext(kind: Type) -> bool:
    return forms.base_of(kind).name.endswith('"citext"')


def _forbids(pair: Pair, index: Index, sources: set[str], *, distinct: bool) -> bool:
    if (
        not (index.unique and index.valid)
        or index.predicate
        or "" in index.columns
        or not set(index.columns) <= sources
    ):
        return False
    if distinct or not index.nulls_distinct:
        return True
    required = {each.name for each in pair.a.columns if each.not_null}
    return set(index.columns) <= required


def questions(uniques: Sequence[Unique]) -> list[Unique]:
    """Those that must be asked of A's rows."""
    return [each for each in uniques if not each.implied]


def parts(asked: Sequence[Unique]) -> list[str]:
    """What a row is in each of them, as columns ``u0_0`` and so on."""
    return [
        f"{part} AS {name}"
        for unique, names in zip(asked, _names(asked), strict=True)
        for part, name in zip(unique.parts, names, strict=True)
    ]


def collided(asked: Sequence[Unique], source: str) -> str:
    """A query of the groups of rows of ``source`` (the parts, and ``key``) that are equal: which, groups, rows, a sample."""
    names = _names(asked)
    sets = ", ".join(f"({', '.join(group)})" for group in names)
    which = " ".join(
        f"WHEN grouping({', '.join(group)}) = 0 THEN {number}" for number, group in enumerate(names)
    )
    held = " ".join(
        f"WHEN grouping({', '.join(group)}) = 0 THEN {' AND '.join(f'{name} IS NOT NULL' for name in group)}"
        for group in names
    )
    return f"""
        SELECT g.which, g.groups, g.equal, g.sample FROM (
            SELECT d.which, count(*) OVER (PARTITION BY d.which) AS groups,
                   sum(d.n) OVER (PARTITION BY d.which)::bigint AS equal,
                   d.sample, row_number() OVER (PARTITION BY d.which ORDER BY d.sample) AS place
            FROM (SELECT CASE {which} END AS which, count(*) AS n, min(s.key) || ' and ' || max(s.key) AS sample
                  FROM {source} AS s GROUP BY GROUPING SETS ({sets})
                  HAVING count(*) > 1 AND CASE {held} END) AS d) AS g
        WHERE g.place <= {_SAMPLES}"""


def misfits(
    pair: Pair, asked: Sequence[Unique], found: Sequence[tuple[int, int, int, str]], total: int
) -> list[Misfit]:
    """What `collided` has found, for people."""
    made = []
    for number, unique in enumerate(asked):
        mine = [row for row in found if row[0] == number]
        if mine:
            _, groups, equal, _ = mine[0]
            made.append(
                Misfit(
                    pair.name,
                    f"{pair.b.name}, unique index {unique.name}",
                    "unique",
                    f"groups of rows that are equal in it, {equal:,} rows in all",
                    groups,
                    total,
                    tuple(sorted(row[3] for row in mine)),
                    "make them differ in A, or map the column so that they do",
                )
            )
    return made


def _names(asked: Sequence[Unique]) -> list[list[str]]:
    return [[f"u{number}_{place}" for place in range(len(each.parts))] for number, each in enumerate(asked)]


def beside_kept(session_b: Session, pair: Pair, uniques: Sequence[Unique]) -> Iterator[Rule | Misfit]:
    """Rows of A that would be equal to one that B keeps."""
    kept = [f"coalesce(({each.match}), false)" for each in pair.seeded if each.then == "keep"]
    if not kept:
        return
    for unique in uniques:
        listed_own = ", ".join(f"({own})::text" for own in unique.own)
        # The names in an index are its table's own, without an alias.
        query = (
            f"SELECT {listed_own} FROM (SELECT b.* FROM {pair.b.relation} AS b WHERE {' OR '.join(kept)}"
            f" LIMIT {MOST_KEPT + 1}) AS kept"
        )
        try:
            found = session_b.rows(query)
        except SqlFailed as error:
            yield unknown(pair, unique.name, f"the rows that B keeps cannot be read: {error.message}")
            continue
        if len(found) > MOST_KEPT:
            yield unknown(pair, unique.name, f"B keeps more than {MOST_KEPT:,} rows of its own")
            continue
        values = [row for row in found if None not in row]
        if not values:
            continue
        listed = ", ".join(f"({', '.join(literal(text) for text in row)})" for row in values)
        left = ", ".join(f"({part})::text" for part in unique.parts)
        yield Rule(
            f"{pair.b.name}, unique index {unique.name}",
            "taken",
            f"({left}) IN (VALUES {listed})",
            "equal in it to a row that B keeps",
            f"let the kept row make room (seeded: then: replace), or change it in B; it concerns {pair.b.name}",
            unique.rule.columns,
            more=unique.rule.more,
        )
