"""What is done on the destination: stages, and the one statement that makes its rows what the stages say.

It is one statement on purpose. A foreign key with ``NO ACTION`` is looked at when a statement ends, and what a cascade does is
done then, so that within it parents and children may come and go in any order, around any circle; only unique indexes are held
to at every row, and for them the order is: delete, then update, then insert.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_migrate.frozen import frozen
from tracseq_migrate.replication.applying.reading import PRESENT, kept_name, stage_columns
from tracseq_migrate.replication.applying.types import base_of, equal, exact
from tracseq_migrate.replication.capture.naming import bounded
from tracseq_migrate.replication.capture.naming import log as log_name
from tracseq_migrate.replication.catalog.model import Column, Table
from tracseq_migrate.replication.mapping.back import unchanged
from tracseq_migrate.replication.names import listed, literal, ours, quoted
from tracseq_migrate.replication.pair import Direction, Pair, Replication

_IMAGE_DIFFERS = "OPERATOR(pg_catalog.*<>)"
REFUSED = '"tracseq_migrate_refused"'


@frozen
class Target:
    """A table of the destination, and where its new rows come from."""

    pair: Pair
    table: Table
    alias: str
    key: tuple[str, ...]
    values: tuple[tuple[Column, str], ...]
    """Every column that is written, the key's among them, with its value over the alias ``s`` of a staged row."""
    owned: str
    source: str
    only_updates: bool = False
    """Whether rows neither come nor go here: another pair answers for that."""
    everything: str = ""
    """A table of all keys that there are on the origin, under the same names; empty where only the staged ones matter."""
    side: str = ""

    def value(self, name: str) -> str:
        return next(text for column, text in self.values if column.name == name)

    def column(self, name: str) -> Column:
        return next(column for column, _ in self.values if column.name == name)

    @property
    def matches(self) -> str:
        """Whether a row of the table is the staged row's."""
        return self.matching(self.alias)

    def matching(self, alias: str) -> str:
        return " AND ".join(
            equal(f"{alias}.{quoted(name)}", self.key_value(name), self.column(name).type)
            for name in self.key
        )

    def key_value(self, name: str) -> str:
        """A staged key in the column's own type, so that its index serves: ``bpchar = text`` would be another comparison."""
        return f"{self.value(name)}::{base_of(self.column(name).type).name}"

    @property
    def settable(self) -> tuple[tuple[Column, str], ...]:
        """What an UPDATE sets: a key column only where two equal values of it may differ, an identity never."""
        return tuple(
            (column, text)
            for column, text in self.values
            if column.identity != "always" and not (column.name in self.key and exact(column.type))
        )

    def differs(self, columns: Sequence[tuple[Column, str]]) -> str:
        """Whether the row has another image than the staged one in these columns: equality would take 1.0 for 1.00."""
        left = ", ".join(_comparable(f"{self.alias}.{quoted(column.name)}", column) for column, _ in columns)
        right = ", ".join(_comparable(text, column) for column, text in columns)
        return f"ROW({left})::record {_IMAGE_DIFFERS} ROW({right})::record"


def _comparable(text: str, column: Column) -> str:
    """In the bare base type: images are comparable within one type only, and a modifier would cut what is to be judged."""
    base = base_of(column.type).name
    return f"{text}::bpchar::text" if base == "bpchar" else f"{text}::{base}"


def stage_name(replication: Replication, pair: Pair) -> str:
    return "pg_temp." + quoted(bounded("stage", replication.name, pair.name))


def keys_name(replication: Replication, pair: Pair) -> str:
    return "pg_temp." + quoted(bounded("keys", replication.name, pair.name))


def into_name(replication: Replication, pair: Pair) -> str:
    return "pg_temp." + quoted(bounded("into", replication.name, pair.name))


def into_keys_name(replication: Replication, pair: Pair) -> str:
    return "pg_temp." + quoted(bounded("into_keys", replication.name, pair.name))


def temporary_tables(replication: Replication, pair: Pair, direction: Direction) -> list[str]:
    """Statements that make what a session needs, once; every commit empties it."""
    keys = [(quoted(name), pair.mapped(name).wire) for name in pair.key_b]
    made = [
        (stage_name(replication, pair), stage_columns(pair)),
        (keys_name(replication, pair), keys),
    ]
    if direction == "back":
        columns = [(quoted(each.name), base_of(each.column.type).full) for each in pair.back]
        of_key = [each for each in pair.back if each.name in pair.key_a]
        made.append((into_name(replication, pair), [(PRESENT, "boolean"), (REFUSED, "text"), *columns]))
        made.append(
            (
                into_keys_name(replication, pair),
                [(quoted(each.name), base_of(each.column.type).full) for each in of_key],
            )
        )
    return [
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({', '.join(f'{c} {t}' for c, t in columns)}) ON COMMIT DELETE ROWS"
        for name, columns in made
    ]


def target(replication: Replication, pair: Pair, direction: Direction, *, whole: bool) -> Target:
    if direction == "forward":
        return Target(
            pair,
            pair.b,
            "b",
            pair.key_b,
            tuple((each.column, each.from_wire) for each in pair.columns),
            pair.owned_b,
            stage_name(replication, pair),
            everything=keys_name(replication, pair) if whole else "",
            side=pair.side,
        )
    return Target(
        pair,
        pair.a,
        "a",
        pair.key_a,
        tuple((each.column, _typed(f"s.{quoted(each.name)}", each.column)) for each in pair.back),
        f"({pair.where_a})" if pair.where_a else "true",
        into_name(replication, pair),
        only_updates=pair.shared,
        everything=into_keys_name(replication, pair) if whole else "",
    )


def apply_statement(targets: Sequence[Target], *, reseated: frozenset[str] = frozenset()) -> str:
    """One statement for all of them; its row is (upserted, deleted).

    ``reseated`` names the pairs in which rows whose unique columns change are deleted and inserted again.
    """
    parts: list[str] = []
    upserted: list[str] = []
    deleted: list[str] = []
    for number, each in enumerate(targets):
        after: list[str] = []
        if not each.only_updates:
            parts.append(f"d_{number} AS ({_delete(each)})")
            deleted.append(f"d_{number}")
            after = [f"d_{number}"]
        again = unique_columns(each) if each.pair.name in reseated else ()
        if again:
            parts.append(f"r_{number} AS ({_unseat(each, again)}{_after(after)} RETURNING {each.alias}.*)")
            after = [f"r_{number}"]
        update = _update(each, again)
        if update:
            parts.append(f"u_{number} AS ({update}{_after(after)} RETURNING 1)")
            upserted.append(f"u_{number}")
            after = [f"u_{number}", *(after if again else [])]
        if not each.only_updates:
            parts.append(f"i_{number} AS ({_insert(each)}{_after(after)} RETURNING 1)")
            upserted.append(f"i_{number}")
        if again:
            parts.append(f"j_{number} AS ({_reseat(each, f'r_{number}')}{_after(after)} RETURNING 1)")
            upserted.append(f"j_{number}")
        if each.side:
            parts += _side(each, number)
    if not parts:
        return "SELECT 0, 0"
    counted = [
        " + ".join(f"(SELECT count(*) FROM {name})" for name in names) or "0" for names in (upserted, deleted)
    ]
    return f"WITH {', '.join(parts)} SELECT {counted[0]}, {counted[1]}"


def _after(names: Sequence[str]) -> str:
    """Makes a part of the statement run after others: it waits for their counts before it takes its first row."""
    return "".join(f" AND (SELECT count(*) FROM {name}) >= 0" for name in names)


def _delete(each: Target) -> str:
    head = f"DELETE FROM {each.table.relation} {each.alias}"
    if each.everything:
        return (
            f"{head} WHERE {each.owned} AND NOT EXISTS (SELECT FROM {each.everything} s WHERE {each.matches})"
            " RETURNING 1"
        )
    text = f"{head} USING {each.source} s WHERE NOT s.{PRESENT} AND {each.matches} AND {each.owned}"
    if not all(exact(each.column(name).type) for name in each.key):
        # A key may have become one that is equal and yet not the same: that row goes on, as an update.
        text += f" AND NOT EXISTS (SELECT FROM {each.source} s WHERE s.{PRESENT} AND {each.matches})"
    return f"{text} RETURNING 1"


def _update(each: Target, again: Sequence[tuple[Column, str]]) -> str:
    columns = each.settable
    if not columns:
        return ""
    assigned = ", ".join(f"{quoted(column.name)} = {text}" for column, text in columns)
    text = (
        f"UPDATE {each.table.relation} {each.alias} SET {assigned} FROM {each.source} s"
        f" WHERE s.{PRESENT} AND {each.matches} AND {each.owned} AND {each.differs(columns)}"
    )
    return f"{text} AND NOT {each.differs(again)}" if again else text


def _insert(each: Target) -> str:
    columns = tuple(column.name for column, _ in each.values)
    values = ", ".join(text for _, text in each.values)
    return (
        f"INSERT INTO {each.table.relation} ({listed(columns)}){_overriding(each, columns)}"
        f" SELECT {values} FROM {each.source} s WHERE s.{PRESENT} AND NOT EXISTS ("
        f"SELECT FROM {each.table.relation} {each.alias} WHERE {each.matches} AND {each.owned})"
    )


def _unseat(each: Target, again: Sequence[tuple[Column, str]]) -> str:
    return (
        f"DELETE FROM {each.table.relation} {each.alias} USING {each.source} s"
        f" WHERE s.{PRESENT} AND {each.matches} AND {each.owned} AND {each.differs(again)}"
    )


def _reseat(each: Target, removed: str) -> str:
    """What `_unseat` took out comes back, with the columns that the mapping does not know as they were."""
    written = {column.name for column, _ in each.values}
    others = [
        column.name for column in each.table.columns if column.name not in written and not column.generated
    ]
    columns = (*(column.name for column, _ in each.values), *others)
    values = ", ".join([*(text for _, text in each.values), *(f"r.{quoted(name)}" for name in others)])
    return (
        f"INSERT INTO {each.table.relation} ({listed(columns)}){_overriding(each, columns)}"
        f" SELECT {values} FROM {each.source} s JOIN {removed} r ON {each.matching('r')} WHERE s.{PRESENT}"
    )


def _overriding(each: Target, columns: Sequence[str]) -> str:
    identity = {column.name for column in each.table.columns if column.identity == "always"}
    return " OVERRIDING SYSTEM VALUE" if identity & set(columns) else ""


def _side(each: Target, number: int) -> list[str]:
    """The values that have no home: exactly those of the present rows, for every key that was staged."""
    pair = each.pair
    key = [(quoted(name), each.key_value(name), each.column(name).type) for name in pair.key_b]
    values = ", ".join(
        f"({literal(name)}, s.{kept_name(position)})" for position, name in enumerate(pair.kept)
    )
    wanted = (
        f"SELECT {', '.join(f'{text} AS {name}' for name, text, _ in key)}, v.name, v.value FROM {each.source} s"
        f" CROSS JOIN LATERAL (VALUES {values}) v (name, value) WHERE s.{PRESENT} AND v.value IS NOT NULL"
    )
    of_key = " AND ".join(equal(f"k.{name}", text, kind) for name, text, kind in key)
    same = " AND ".join(equal(f"k.{name}", f"w.{name}", kind) for name, _, kind in key)
    same += ' AND k."column" = w.name AND k."value" = w.value'
    stale = f"EXISTS (SELECT FROM {each.source} s WHERE {of_key}) AND NOT EXISTS (SELECT FROM w_{number} w WHERE {same})"
    if each.everything:
        stale = f"(NOT EXISTS (SELECT FROM {each.everything} s WHERE {of_key})) OR ({stale})"
    names = ", ".join(name for name, _, _ in key)
    return [
        f"w_{number} AS MATERIALIZED ({wanted})",
        f"x_{number} AS (DELETE FROM {each.side} k WHERE ({stale}) RETURNING 1)",
        f'y_{number} AS (INSERT INTO {each.side} ({names}, "column", "value")'
        f" SELECT {', '.join(f'w.{name}' for name, _, _ in key)}, w.name, w.value FROM w_{number} w"
        f" WHERE NOT EXISTS (SELECT FROM {each.side} k WHERE {same}){_after([f'x_{number}'])} RETURNING 1)",
    ]


def unique_columns(each: Target) -> tuple[tuple[Column, str], ...]:
    """The written columns that a unique index or an exclusion beside the key's depends on."""
    names: set[str] = set()
    for index in each.table.indexes:
        if index.unique and set(index.columns) != set(each.key):
            # An expression or a condition may depend on any column.
            names |= (
                {column.name for column, _ in each.values}
                if _opaque(index.columns, index.predicate)
                else set(index.columns)
            )
    for constraint in each.table.constraints:
        if constraint.kind == "x":
            names |= set(constraint.columns) or {column.name for column, _ in each.values}
    return tuple((column, text) for column, text in each.settable if column.name in names)


def _opaque(columns: Sequence[str], predicate: str) -> bool:
    return bool(predicate) or "" in columns


def acts_on_children(each: Target) -> bool:
    """Whether deleting a row does something to rows that refer to it, so that no row may be deleted and inserted again."""
    return any(incoming.on_delete != "a" for incoming in each.table.incoming)


# The way back: rows of B in wire types lie in a stage on A, and become rows of A there.


def new_ids(replication: Replication, pair: Pair) -> list[str]:
    """Statements that give the staged rows which A does not know a number each."""
    return [
        f"""
        INSERT INTO {each.table} (old, new)
        SELECT nextval({literal(each.sequence)}::regclass), x.new
        FROM (
            SELECT DISTINCT b.{quoted(each.column_b)} AS new FROM {stage_name(replication, pair)} b
            WHERE b.{PRESENT} AND NOT EXISTS (
                SELECT FROM {each.table} i WHERE i.new = b.{quoted(each.column_b)})) x
        """
        for each in pair.ids
    ]


def lens_statement(replication: Replication, pair: Pair) -> str:
    """Fills ``into`` with A's rows: a column keeps A's value wherever mapping it forward gives what B has."""
    keys = [each for each in pair.back if each.name in pair.key_a]
    key_names = {each.name: quoted(f"tracseq_migrate_key_{number}") for number, each in enumerate(keys)}
    keyed = ", ".join(["b.*", *(f"({each.down}) AS {key_names[each.name]}" for each in keys)])
    joined = " AND ".join(
        equal(f"a.{quoted(each.name)}", f"b.{key_names[each.name]}", each.column.type) for each in keys
    )
    there = f"a.{quoted(keys[0].name)} IS NOT NULL"
    out, refusals = [], []
    for each in pair.back:
        own = f"a.{quoted(each.name)}"
        if each.name in key_names:
            out.append(f"b.{key_names[each.name]}")
            continue
        kept = f"({there} AND {_unchanged(pair, each.watched)})"
        down = f"({each.down})"
        if each.fresh and each.fresh != each.down:
            down = f"CASE WHEN {there} THEN {down} ELSE ({each.fresh}) END"
        impossible = ""
        if each.refused:
            impossible = f"WHEN ({each.refused}) THEN NULL "
            why = literal(f"{each.name}: {each.why}" if each.why else each.name)
            refusals.append(f"WHEN NOT {kept} AND ({each.refused}) THEN {why}")
        out.append(f"CASE WHEN NOT b.{PRESENT} THEN NULL WHEN {kept} THEN {own} {impossible}ELSE {down} END")
    refused = f"CASE WHEN NOT b.{PRESENT} THEN NULL {' '.join(refusals)} END" if refusals else "NULL"
    columns = ", ".join([PRESENT, REFUSED, *(quoted(each.name) for each in pair.back)])
    return f"""
        INSERT INTO {into_name(replication, pair)} ({columns})
        SELECT b.{PRESENT}, {refused}, {", ".join(out)}
        FROM (SELECT {keyed} FROM {stage_name(replication, pair)} b) b
        LEFT JOIN {pair.a.relation} a ON {joined}
        """


def lens_keys_statement(replication: Replication, pair: Pair) -> str:
    """A's key for each of B's; over the table of all keys."""
    keys = [each for each in pair.back if each.name in pair.key_a]
    return f"""
        INSERT INTO {into_keys_name(replication, pair)} ({", ".join(quoted(each.name) for each in keys)})
        SELECT {", ".join(f"({each.down})" for each in keys)} FROM {keys_name(replication, pair)} b
        """


def carry_again(replication: Replication, pair: Pair, *, whole: bool) -> list[str]:
    """Note the rows that were written on A in A's own logs, each once, for the day on which A owns them again.

    Where the way there is not the inverse of the way back, B's row is not what A's comes to: a column that A never knew was
    changed, two values of B are one of A, a value lies in the side table, or a row of A becomes rows of several tables and was
    made in one of them alone. On that day B's rows are A's again.
    """
    statements = []
    for other in replication.pairs:
        if other.a.relation != pair.a.relation or set(other.key_a) != set(pair.key_a):
            continue
        log = ours(log_name(replication.name, other.name))
        if whole:
            statements.append(
                f'INSERT INTO {log} ("whole") SELECT true WHERE NOT EXISTS (SELECT FROM {log} WHERE "whole")'
            )
            continue
        columns = ", ".join(f"key_{number}" for number in range(1, len(other.key_a) + 1))
        keys = ", ".join(f"s.{quoted(name)}" for name in other.key_a)
        statements.append(
            f"INSERT INTO {log} ({columns})"
            f" SELECT {keys} FROM {into_name(replication, pair)} s"
            f' EXCEPT SELECT {columns} FROM {log} WHERE "whole" IS NULL'
        )
    return statements


def refused_query(replication: Replication, pair: Pair) -> str:
    """Up to five rows that have no way back: why, and their key as text."""
    key = ", ".join(f"s.{quoted(name)}::text" for name in pair.key_a)
    return f"SELECT s.{REFUSED}, ARRAY[{key}] FROM {into_name(replication, pair)} s WHERE s.{REFUSED} IS NOT NULL LIMIT 5"


def _unchanged(pair: Pair, watched: Sequence[str]) -> str:
    return " AND ".join(unchanged(pair, name) for name in watched) or "true"


def _typed(text: str, column: Column) -> str:
    return f"{text}::{column.type.full}" if column.type.base is not None else text
