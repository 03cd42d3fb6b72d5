"""What is taken off a table for a while, and put back exactly as it was: triggers, foreign keys, indexes, places of sequences.

Each thing that is taken off leaves a row behind in the same transaction, with the statement that puts it back. Putting back is
the same the other way round: the statement and the removal of the row are one transaction. So whatever dies in between, the
rows say what is missing.

Only what a statement can make again in full is taken off. An index in another tablespace, one that stands for the table's
replica identity or its clustering, or that something else depends on, stays on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from tracseq_migrate.frozen import frozen
from tracseq_migrate.ports.sql import Session, SqlFailed
from tracseq_migrate.replication.control.naming import PUT_AWAY
from tracseq_migrate.replication.names import literal, quoted
from tracseq_migrate.replication.pair import Pair

Kind = Literal["index", "constraint", "foreign key", "trigger", "sequence", "autovacuum"]
Side = Literal["a", "b"]

_DEPENDENT = "2BP01"
_IN_USE = "55006"

_INDEXES = r"""
SELECT x.relname::text, pg_catalog.pg_get_indexdef(i.indexrelid), coalesce(k.conname::text, ''), coalesce(k.contype::text, ''),
       CASE WHEN k.oid IS NOT NULL THEN pg_catalog.pg_get_constraintdef(k.oid) ELSE '' END,
       coalesce(k.condeferrable, false), coalesce(k.condeferred, false), m.amname::text,
       coalesce(pg_catalog.obj_description(x.oid, 'pg_class'), ''),
       coalesce(pg_catalog.obj_description(k.oid, 'pg_constraint'), ''),
       ARRAY(SELECT t.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS n(number, place)
             LEFT JOIN pg_catalog.pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = n.number AND n.number > 0
             WHERE n.place <= i.indnkeyatts ORDER BY n.place),
       i.indisunique
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = x.relam
LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = $1::pg_catalog.regclass AND x.relkind = 'i' AND NOT x.relispartition
  AND NOT i.indisprimary AND i.indisvalid AND i.indisready AND NOT i.indisreplident AND NOT i.indisclustered
  AND x.reltablespace = 0
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute t WHERE t.attrelid = x.oid AND coalesce(t.attstattarget, -1) <> -1)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = x.oid AND d.deptype = 'x')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.indexrelid)
ORDER BY x.relname
"""

_FOREIGN_KEYS = """
SELECT k.conname::text, pg_catalog.pg_get_constraintdef(k.oid), coalesce(pg_catalog.obj_description(k.oid, 'pg_constraint'), '')
FROM pg_catalog.pg_constraint k
WHERE k.conrelid = $1::pg_catalog.regclass AND k.contype = 'f' AND k.conparentid = 0
ORDER BY k.conname
"""

_TRIGGERS = r"""
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), t.tgname::text, t.tgenabled::text
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgrelid = ANY ($1::pg_catalog.regclass[]::pg_catalog.oid[])
  AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgname !~ '^tracseq_migrate_'
ORDER BY 1, 2
"""

_SEQUENCES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjid = $1::pg_catalog.regclass AND d.deptype IN ('a', 'i')
ORDER BY 1
"""

_ENABLING = {"O": "ENABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}


@frozen
class Thing:
    """Something that was taken off. ``definition`` puts it back; ``was`` says what it was like, as far as that is not all."""

    pair: str
    side: Side
    kind: Kind
    name: str
    definition: str
    was: str = ""


def triggers(session: Session, replication: str, pair: Pair, side: Side) -> list[Thing]:
    """Disable the table's own triggers, and those of its partitions, within the open transaction."""
    table = pair.b if side == "b" else pair.a
    things = []
    for relation, name, enabled in session.rows(_TRIGGERS, [[table.relation, *table.partitions]]):
        thing = Thing(
            pair.name,
            side,
            "trigger",
            f"{name} on {relation}",
            f"ALTER TABLE ONLY {relation} {_ENABLING[enabled]} {quoted(name)}",
            enabled,
        )
        session.execute(f"ALTER TABLE ONLY {relation} DISABLE TRIGGER {quoted(name)}")
        things.append(_noted(session, replication, thing))
    return things


def foreign_keys(session: Session, replication: str, pair: Pair) -> list[Thing]:
    """Drop the foreign keys that B's table has, within the open transaction."""
    things = []
    for name, definition, comment in session.rows(_FOREIGN_KEYS, [pair.b.relation]):
        statement = f"ALTER TABLE {pair.b.relation} ADD CONSTRAINT {quoted(name)} {definition}"
        if comment:
            statement += "; " + constraint_comment(pair.b.relation, name, comment)
        thing = Thing(pair.name, "b", "foreign key", name, statement)
        session.execute(f"ALTER TABLE {pair.b.relation} DROP CONSTRAINT {quoted(name)}")
        things.append(_noted(session, replication, thing))
    return things


def indexes(session: Session, replication: str, pair: Pair) -> list[Thing]:
    """Drop what indexes of B's table can be made again, but the primary key's and the key's, within the open transaction.

    The foreign keys that point to them must have been taken off before; where one of another table does, the index stays.
    """
    if pair.b.kind != "table":
        return []  # the indexes of partitions have names of their own, which the statement for the whole does not give back
    things: list[Thing] = []
    for found in session.rows(_INDEXES, [pair.b.relation]):
        name, columns, unique = str(found[0]), found[10], bool(found[11])
        if unique and sorted(map(str, columns)) == sorted(pair.key_b):
            continue
        made = list(_index_things(pair, found))
        constraint = str(found[2])
        # PostgreSQL alone knows what else depends on it (a function's body, a statement of a rule).
        session.execute("SAVEPOINT one_index")
        try:
            if constraint:
                session.execute(f"ALTER TABLE {pair.b.relation} DROP CONSTRAINT {quoted(constraint)}")
            else:
                session.execute(f"DROP INDEX {quoted(pair.b.schema, name)}")
        except SqlFailed as error:
            if error.sqlstate not in (_DEPENDENT, _IN_USE):
                raise
            session.execute("ROLLBACK TO SAVEPOINT one_index")
            continue
        session.execute("RELEASE SAVEPOINT one_index")
        things += [_noted(session, replication, each) for each in made]
    return things


def _index_things(pair: Pair, found: Sequence[object]) -> Iterator[Thing]:
    name, definition, constraint, kind, whole = (str(each) for each in found[:5])
    deferrable, deferred, method, comment, remark = (
        found[5],
        found[6],
        str(found[7]),
        str(found[8]),
        str(found[9]),
    )
    if kind in ("", "u") and method == "btree":
        index = definition
        if comment:
            index += f"; COMMENT ON INDEX {quoted(pair.b.schema, name)} IS {literal(comment)}"
        yield Thing(pair.name, "b", "index", name, index)
        if not constraint:
            return
        # In two: an index is built beside others, and only the moment in which it becomes a constraint is exclusive.
        attach = f"ALTER TABLE {pair.b.relation} ADD CONSTRAINT {quoted(constraint)} UNIQUE USING INDEX {quoted(name)}"
        attach += " DEFERRABLE" * bool(deferrable) + " INITIALLY DEFERRED" * bool(deferred)
    elif constraint:
        attach = f"ALTER TABLE {pair.b.relation} ADD CONSTRAINT {quoted(constraint)} {whole}"
        if comment:
            attach += f"; COMMENT ON INDEX {quoted(pair.b.schema, name)} IS {literal(comment)}"
    else:
        index = definition
        if comment:
            index += f"; COMMENT ON INDEX {quoted(pair.b.schema, name)} IS {literal(comment)}"
        yield Thing(pair.name, "b", "index", name, index)
        return
    if remark:
        attach += "; " + constraint_comment(pair.b.relation, constraint, remark)
    yield Thing(pair.name, "b", "constraint", constraint, attach)


def sequences(session: Session, replication: str, pair: Pair) -> list[Thing]:
    """Note where the sequences of B's table stand, within the open transaction; they are not touched."""
    things = []
    for (relation,) in session.rows(_SEQUENCES, [pair.b.relation]):
        ((last, called),) = session.rows(f"SELECT last_value, is_called FROM {relation}")
        statement = (
            f"SELECT pg_catalog.setval({literal(str(relation))}::pg_catalog.regclass, {literal(int(last))},"
            f" {literal(bool(called))})"
        )
        things.append(
            _noted(
                session, replication, Thing(pair.name, "b", "sequence", str(relation), statement, str(last))
            )
        )
    return things


def listed(
    session: Session, replication: str, side: Side = "b", kinds: Sequence[Kind] | None = None
) -> list[Thing]:
    """What is put away at the moment, in an order in which it can be put back."""
    rows = session.rows(
        f"SELECT pair, side, kind, name, definition, was FROM {PUT_AWAY}"
        " WHERE replication = $1 AND side = $2 AND ($3::text[] IS NULL OR kind = ANY ($3::text[]))"
        " ORDER BY pg_catalog.array_position("
        "ARRAY['index', 'constraint', 'foreign key', 'sequence', 'trigger', 'autovacuum'], kind),"
        ' pair COLLATE "C", name COLLATE "C"',
        [replication, side, list(kinds) if kinds is not None else None],
    )
    return [Thing(*row) for row in rows]


def put_back(session: Session, replication: str, thing: Thing) -> bool:
    """Put one thing back and forget it, within the open transaction; False where somebody else did, or is at it.

    Raises:
        SqlFailed: it cannot be made: the rows do not fit it, or it is there already.
    """
    at = "replication = $1 AND pair = $2 AND side = $3 AND kind = $4 AND name = $5"
    which = [replication, thing.pair, thing.side, thing.kind, thing.name]
    if not session.rows(f"SELECT 1 FROM {PUT_AWAY} WHERE {at} FOR UPDATE SKIP LOCKED", which):
        return False
    session.execute(thing.definition)
    session.execute(f"DELETE FROM {PUT_AWAY} WHERE {at}", which)
    return True


def forget(session: Session, replication: str, thing: Thing) -> None:
    """Remove the note of a thing that is back."""
    session.execute(
        f"DELETE FROM {PUT_AWAY} WHERE replication = $1 AND pair = $2 AND side = $3 AND kind = $4 AND name = $5",
        [replication, thing.pair, thing.side, thing.kind, thing.name],
    )


def _noted(session: Session, replication: str, thing: Thing) -> Thing:
    session.execute(
        f"INSERT INTO {PUT_AWAY} (replication, pair, side, kind, name, definition, was) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT DO NOTHING",
        [replication, thing.pair, thing.side, thing.kind, thing.name, thing.definition, thing.was],
    )
    return thing


def constraint_comment(relation: str, name: str, comment: str) -> str:
    """The statement that puts a comment back."""
    return f"COMMENT ON CONSTRAINT {quoted(name)} ON {relation} IS {literal(comment)}"
