"""Foreign keys of B: rows of A whose parent will not be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.catalog.model import Constraint
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Pair, Replication
from tracseq_migrate.replication.prescan.misfit import Misfit
from tracseq_migrate.replication.prescan.rule import Origin, Rows, Rule, origin

MOST_PARENTS = 10_000
"""Parents on B, of a table that does not move, up to which they are compared with what comes from A."""

_SAMPLES = 5


def inside(
    session_a: Session, session_b: Session, replication: Replication, rows: Rows, total: int
) -> Iterator[Misfit]:
    """Those whose parent moves as well. One query each that A's own foreign keys do not imply: the child against the parent."""
    pair = rows.pair
    for key, parent in _keys(replication, pair):
        if parent is None or _implied(pair, parent, key):
            continue
        if not {*key.columns} <= {each.name for each in pair.columns}:
            continue
        if not {*key.referenced} <= {each.name for each in parent.columns}:
            yield _unknown(pair, key, f"A's rows do not say what becomes of {', '.join(key.referenced)}")
            continue
        parents = Rows(parent, rows.missing)
        joined = " AND ".join(
            f"p.{quoted(theirs)} = m.{quoted(own)}"
            for own, theirs in zip(key.columns, key.referenced, strict=True)
        )
        present = " AND ".join(f"m.{quoted(name)} IS NOT NULL" for name in key.columns)
        missing = (
            f"{present} AND NOT EXISTS (SELECT FROM ({parents.select(key.referenced)}) AS p WHERE {joined})"
        )
        try:
            kept = _kept(session_b, parent, key.referenced)
            if kept:
                left = ", ".join(f"m.{quoted(name)}::text" for name in key.columns)
                missing += f" AND ({left}) NOT IN (VALUES {kept})"
            found = session_a.rows(
                f"SELECT {rows.key}, count(*) OVER () FROM ({rows.select(key.columns)}) AS m WHERE {missing}"
                f" ORDER BY 1 LIMIT {_SAMPLES}"
            )
        except SqlFailed as error:
            yield _unknown(pair, key, f"A cannot evaluate it: {error.message}")
            continue
        if found:
            filtered = " (its `where` may be what leaves the parents out)" if parent.where_a else ""
            yield Misfit(
                pair.name,
                f"{pair.b.name}.{', '.join(key.columns)}",
                "parent",
                f"no row of {parent.b.name} for {key.name} to point to{filtered}",
                found[0][1],
                total,
                tuple(row[0] for row in found),
                f"mend the rows in A, map {', '.join(key.columns)} to null, or leave these rows behind with `where`",
            )


def outside(session_b: Session, replication: Replication, pair: Pair) -> Iterator[Rule | Misfit]:
    """Those whose parent is B's own, and does not move."""
    for key, parent in _keys(replication, pair):
        if parent is not None or not {*key.columns} <= {each.name for each in pair.columns}:
            continue
        listed = ", ".join(f"p.{quoted(name)}::text" for name in key.referenced)
        try:
            found = session_b.rows(f"SELECT {listed} FROM {key.references} AS p LIMIT {MOST_PARENTS + 1}")
        except SqlFailed as error:
            yield _unknown(pair, key, f"{key.references} cannot be read: {error.message}")
            continue
        if len(found) > MOST_PARENTS:
            yield _unknown(pair, key, f"{key.references} has more than {MOST_PARENTS:,} rows")
            continue
        present = " AND ".join(f"m.{quoted(name)} IS NOT NULL" for name in key.columns)
        left = ", ".join(f"m.{quoted(name)}::text" for name in key.columns)
        values = ", ".join(
            f"({', '.join(literal(text) for text in row)})" for row in found if None not in row
        )
        among = f"({left}) NOT IN (VALUES {values})" if values else "true"
        yield Rule(
            f"{pair.b.name}.{', '.join(key.columns)}",
            "parent",
            f"{present} AND {among}",
            f"{key.references} on B has no row for {key.name} to point to",
            f"fill {key.references} first, or map {', '.join(key.columns)} to null",
            key.columns,
        )


def _keys(replication: Replication, pair: Pair) -> Iterator[tuple[Constraint, Pair | None]]:
    parents = {each.b.relation: each for each in replication.pairs}
    for key in pair.b.constraints:
        if key.kind == "f":
            yield key, parents.get(key.references)


def _unknown(pair: Pair, key: Constraint, why: str) -> Misfit:
    return Misfit(
        pair.name,
        f"{pair.b.name}.{', '.join(key.columns)}",
        "parent",
        f"whether every row finds its parent ({key.name}) cannot be known before they are loaded: {why}",
        None,
        -1,
        (),
        "see that it does; the constraint is put back after the copy, and names the first row that does not",
    )


def _implied(pair: Pair, parent: Pair, key: Constraint) -> bool:
    """Whether A has the same foreign key, over the columns that these come from."""
    if parent.where_a:
        return False
    own = _origins(pair, key.columns)
    theirs = _origins(parent, key.referenced)
    if own is None or theirs is None or [each.ids for each in own] != [each.ids for each in theirs]:
        return False
    wanted = dict(zip([each.column for each in own], [each.column for each in theirs], strict=True))
    return any(
        each.kind == "f"
        and each.validated
        and each.references == parent.a.relation
        and dict(zip(each.columns, each.referenced, strict=True)) == wanted
        for each in pair.a.constraints
    )


def _origins(pair: Pair, columns: Sequence[str]) -> list[Origin] | None:
    written = {each.name: each for each in pair.columns}
    found = [origin(pair, written[name]) if name in written else None for name in columns]
    return [each for each in found if each is not None] if None not in found else None


def _kept(session_b: Session, parent: Pair, columns: Sequence[str]) -> str:
    """The keys of parents that B keeps, as a list of values; empty where there are none."""
    kept = [f"coalesce(({each.match}), false)" for each in parent.seeded if each.then == "keep"]
    if not kept:
        return ""
    listed = ", ".join(f"b.{quoted(name)}::text" for name in columns)
    rows = session_b.rows(
        f"SELECT {listed} FROM {parent.b.relation} AS b WHERE {' OR '.join(kept)} LIMIT {MOST_PARENTS}"
    )
    return ", ".join(f"({', '.join(literal(text) for text in row)})" for row in rows if None not in row)
