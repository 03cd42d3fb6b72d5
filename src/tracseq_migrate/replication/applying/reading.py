"""What is asked of the origin: which log rows there are, and what has become of their keys."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.applying.types import equal, exact
from tracseq_migrate.replication.capture.recording import log_table
from tracseq_migrate.replication.catalog.model import Column, Table
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Direction, Pair, Replication

PRESENT = '"tracseq_migrate_present"'


def kept_name(number: int) -> str:
    return quoted(f"tracseq_migrate_kept_{number}")


@frozen
class Span:
    """Some rows of one pair's log: as many as were asked for, from its beginning, in one snapshot.

    ``lows`` and ``highs`` are ranges without a gap, so that what commits later between them is not taken for read. Within the
    snapshot the rows are all that lie between the first and the last.
    """

    pair: Pair
    rows: int
    lows: tuple[int, ...]
    highs: tuple[int, ...]
    whole: bool
    oldest: float
    """Seconds since the first of them was written."""
    rest: int
    """Rows that come after them, counted up to a bound."""

    @property
    def ranges(self) -> tuple[str, str]:
        """The ranges as two array literals."""
        return "{" + ",".join(map(str, self.lows)) + "}", "{" + ",".join(map(str, self.highs)) + "}"


REST_COUNTED = 1_000_000
FEW = 20_000


def spans_query(replication: Replication, limits: dict[str, int]) -> str:
    """One row a pair whose log is not empty: name, rows, ranges, whole, age, rows that are left."""
    parts = []
    for pair in replication.pairs:
        log = log_table(replication, pair)
        limit = limits[pair.name]
        parts.append(
            f"""
            SELECT {literal(pair.name)} AS pair, x.*,
                CASE WHEN x.rows < {limit} THEN 0 ELSE (SELECT count(*) FROM (
                    SELECT FROM {log} l WHERE l.seq > x.last LIMIT {REST_COUNTED}) r) END AS rest
            FROM (
                SELECT sum(g.rows)::bigint AS rows, max(g.high) AS last, array_agg(g.low ORDER BY g.low) AS lows,
                    array_agg(g.high ORDER BY g.low) AS highs, bool_or(g.whole) AS whole,
                    greatest(extract(epoch FROM clock_timestamp() - min(g.at)), 0)::double precision AS age
                FROM (
                    SELECT min(n.seq) AS low, max(n.seq) AS high, count(*) AS rows, min(n.at) AS at,
                        bool_or(n."whole" IS TRUE) AS whole
                    FROM (
                        SELECT s.*, s.seq - row_number() OVER (ORDER BY s.seq) AS island
                        FROM (SELECT l.seq, l.at, l."whole" FROM {log} l ORDER BY l.seq LIMIT {limit}) s) n
                    GROUP BY n.island) g) x
            WHERE x.rows > 0
            """
        )
    return " UNION ALL ".join(f"({part})" for part in parts)


def planning(spans: Sequence[Span]) -> str:
    """How a few keys are best looked for, whatever the planner takes a page to cost: one by one, and not by reading the table.

    Compiling a statement costs more than it gains, and what is switched off makes each plan look dear enough for that.
    """
    few = all(span.rows <= FEW for span in spans)
    return f"SET LOCAL jit = off; SET LOCAL enable_seqscan = {'off' if few else 'on'}"


def stage_columns(pair: Pair) -> list[tuple[str, str]]:
    """The columns of a stage, quoted, with their types: the same in both directions."""
    columns = [(PRESENT, "boolean")]
    columns += [(quoted(each.name), each.wire) for each in pair.columns]
    columns += [(kept_name(number), "text") for number in range(len(pair.kept))]
    return columns


def rows_query(replication: Replication, pair: Pair, direction: Direction, span: Span) -> str:
    """One row for every key between the span's first and last: whether it is there, and the row as the stage takes it."""
    table, key, alias, condition = _origin(pair, direction)
    log = log_table(replication, pair)
    columns = [_column(table, name) for name in key]
    names = [quoted(name) for name in key]
    distinct = ", ".join(
        [f"l.key_{number} AS {name}" for number, name in enumerate(names, 1)]
        # Two keys that are equal but not the same are two keys here: each may have its own row on the other side.
        + [
            f"l.key_{number}::text AS key_text_{number}"
            for number, c in enumerate(columns, 1)
            if not exact(c.type)
        ]
    )
    mapped_keys = ", ".join(
        [f"{_sent(pair, direction, name)} AS mapped_{number}" for number, name in enumerate(pair.key_b, 1)]
        + [f"{alias}.{name} AS own_{number}" for number, name in enumerate(names, 1)]
    )
    matches = [
        equal(f"{alias}.{name}", f"k.own_{number}", column.type)
        for number, (name, column) in enumerate(zip(names, columns, strict=True), 1)
    ]
    matches += [
        f"{alias}.{name}::text = k.own_{number}::text"
        for number, (name, column) in enumerate(zip(names, columns, strict=True), 1)
        if not exact(column.type)
    ]
    if condition != "true":
        matches.append(f"({condition})")
    carried = [each for each in pair.columns if each.name not in pair.key_b]
    inner = ["true AS present"]
    inner += [f"{_sent(pair, direction, each.name)} AS c_{number}" for number, each in enumerate(carried)]
    inner += [f"{text} AS t_{number}" for number, text in enumerate(_kept(pair, direction))]
    place = {each.name: f"m.c_{number}" for number, each in enumerate(carried)}
    place |= {name: f"k.mapped_{number}" for number, name in enumerate(pair.key_b, 1)}
    out = ["coalesce(m.present, false)"]
    out += [place[each.name] for each in pair.columns]
    out += [f"m.t_{number}" for number in range(len(pair.kept))]
    return f"""
        SELECT {", ".join(out)}
        FROM (
            SELECT {mapped_keys}
            FROM (
                SELECT DISTINCT {distinct} FROM {log} l
                WHERE l.seq BETWEEN {span.lows[0]} AND {span.highs[-1]} AND l."whole" IS NOT TRUE) {alias}) k
        LEFT JOIN LATERAL (
            SELECT {", ".join(inner)} FROM {table.relation} {alias} WHERE {" AND ".join(matches)}) m ON true
        """


def keys_query(pair: Pair, direction: Direction) -> str:
    """The mapped key of every row that there is."""
    table, _, alias, condition = _origin(pair, direction)
    sent = ", ".join(_sent(pair, direction, name) for name in pair.key_b)
    return f"SELECT {sent} FROM {table.relation} {alias} WHERE {condition}"


def ids_fill(replication: Replication, pair: Pair) -> list[str]:
    """Statements that enter the new keys of the log's rows between ``$1`` and ``$2`` into the id maps; on A."""
    log = log_table(replication, pair)
    joined = " AND ".join(
        equal(f"a.{quoted(name)}", f"l.key_{number}", _column(pair.a, name).type)
        for number, name in enumerate(pair.key_a, 1)
    )
    return [
        f"""
        INSERT INTO {each.table} (old, new)
        SELECT DISTINCT a.{quoted(each.column_a)}, {each.computed}
        FROM {log} l JOIN unnest($1::bigint[], $2::bigint[]) r (low, high) ON l.seq BETWEEN r.low AND r.high
        JOIN {pair.a.relation} a ON {joined}
        WHERE NOT EXISTS (SELECT FROM {each.table} i WHERE i.old = a.{quoted(each.column_a)})
        ON CONFLICT DO NOTHING
        """
        for each in pair.ids
    ]


def side_sweep(replication: Replication, pair: Pair) -> str:
    """Takes out of the side table what belongs to rows of the log's keys that B no longer has; on B, going back."""
    log = log_table(replication, pair)
    columns = [_column(pair.b, name) for name in pair.key_b]
    of_log = " AND ".join(
        equal(f"k.{quoted(c.name)}", f"l.key_{number}", c.type) for number, c in enumerate(columns, 1)
    )
    of_row = " AND ".join(equal(f"b.{quoted(c.name)}", f"k.{quoted(c.name)}", c.type) for c in columns)
    return f"""
        DELETE FROM {pair.side} k
        USING {log} l JOIN unnest($1::bigint[], $2::bigint[]) r (low, high) ON l.seq BETWEEN r.low AND r.high
        WHERE {of_log} AND NOT EXISTS (SELECT FROM {pair.b.relation} b WHERE {of_row})
        """


def sweep(replication: Replication, pair: Pair) -> str:
    """Deletes exactly the log rows within the ranges; ``$1`` and ``$2`` are their ends."""
    return f"""
        DELETE FROM {log_table(replication, pair)} l USING unnest($1::bigint[], $2::bigint[]) r (low, high)
        WHERE l.seq BETWEEN r.low AND r.high
        """


def _origin(pair: Pair, direction: Direction) -> tuple[Table, tuple[str, ...], str, str]:
    if direction == "forward":
        return pair.a, pair.key_a, "a", f"({pair.where_a})" if pair.where_a else "true"
    return pair.b, pair.key_b, "b", pair.owned_b


def _sent(pair: Pair, direction: Direction, name: str) -> str:
    """A column of the stage, over the origin's row."""
    mapped = pair.mapped(name)
    if direction == "forward":
        return f"({mapped.up})"
    own = f"b.{quoted(name)}"
    return own if mapped.wire == mapped.column.type.full else f"{own}::{mapped.wire}"


def _kept(pair: Pair, direction: Direction) -> list[str]:
    if direction == "forward":
        return [f"a.{quoted(name)}::text" for name in pair.kept]
    return ["NULL::text" for _ in pair.kept]


def _column(table: Table, name: str) -> Column:
    return next(each for each in table.columns if each.name == name)
