"""Random schemas, mappings and histories of concurrent transactions; and what must be so when the log has been drained.

A world is two tables on each side, a parent and a child, whose shapes, constraints and mappings are drawn; a history is a list of
transactions over a handful of rows, each on a connection of its own, whose statements are carried out in a drawn interleaving.
The applier works in between, in batches of a drawn size. A statement that PostgreSQL refuses undoes its transaction, as it would
a service's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from hypothesis import strategies as st

from tests.replication.applying.pairs import Stage, Wanted, set_up, turned
from tests.replication.databases import PairOfDatabases
from tracseq_migrate.replication.applying import Applier

KEYS = {
    "int": ("int", "{0}"),
    "text": ("text", "'k{0}'"),
    "uuid": ("uuid", "md5('{0}')::uuid"),
    "numeric": ("numeric", "{0}.{0}0"),
}
# type on A, expression over it, type on B, some literals
VALUES: dict[str, tuple[str, str, str, Sequence[str]]] = {
    "text": ("text", "a.{0}", "text", ("NULL", "''", "'x'", "E'\\\\t\\\\n,\"'", "'ü'")),
    "cut": ("text", "left(a.{0}, 3)", "varchar(3)", ("NULL", "''", "'abc'", "'abcdef'", "'abcxyz'")),
    "zone": (
        "timestamp",
        "a.{0} AT TIME ZONE 'UTC'",
        "timestamptz",
        ("NULL", "'2024-02-29 12:00'", "'infinity'"),
    ),
    "number": ("numeric", "a.{0}", "numeric", ("NULL", "1.0", "1.00", "'NaN'", "-0.5")),
    "float": ("float8", "a.{0}", "float8", ("NULL", "'-0'", "0", "'NaN'", "1e-300")),
    "json": ("jsonb", "a.{0}", "jsonb", ("NULL", "'null'", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'", "'[]'")),
    "array": ("text[]", "a.{0}", "text[]", ("NULL", "'{}'", "'{a,NULL}'", "'{\"NULL\"}'")),
    "bytes": ("bytea", "a.{0}", "bytea", ("NULL", "''", "'\\\\x00'", "'\\\\x5c'")),
    "span": ("interval", "a.{0}", "interval", ("NULL", "'1 mon'", "'30 days'", "'720 hours'")),
    "default": ("text", "coalesce(a.{0}, '-')", "text NOT NULL", ("NULL", "''", "'-'", "'x'")),
    "mood": (
        "mood",
        "CASE a.{0} WHEN 'good' THEN 'fine' WHEN 'bad' THEN 'poor' WHEN 'ugly' THEN 'poor' END",
        "state",
        ("NULL", "'good'", "'bad'", "'ugly'"),
    ),
}
ACTIONS = ("", "ON DELETE CASCADE", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED")


@dataclass(frozen=True)
class World:
    key: str
    values: tuple[str, ...]
    unique: str
    """Of the parent's column "code" on A: none, plain, or deferrable."""
    unique_b: bool
    reference: str
    on_b: str
    filtered: bool
    kept: bool

    def schema_a(self) -> str:
        columns = ", ".join(f"v{n} {VALUES[kind][0]}" for n, kind in enumerate(self.values))
        unique = {"none": "", "plain": "UNIQUE", "deferrable": "UNIQUE DEFERRABLE INITIALLY DEFERRED"}[
            self.unique
        ]
        key = KEYS[self.key][0]
        return f"""
        CREATE TYPE mood AS ENUM ('good', 'bad', 'ugly');
        CREATE TABLE parents (id {key} PRIMARY KEY, code int {unique}, hidden boolean NOT NULL DEFAULT false,
            old text, {columns});
        CREATE TABLE children (id int PRIMARY KEY, parent {key} REFERENCES parents {self.reference}, note text);
        """

    def schema_b(self) -> str:
        columns = ", ".join(f"w{n} {VALUES[kind][2]}" for n, kind in enumerate(self.values))
        key = KEYS[self.key][0]
        unique = "UNIQUE" if self.unique_b and self.unique != "none" else ""
        # A child of a hidden parent has none on B: there the foreign key stays off.
        reference = "" if self.filtered else f"REFERENCES people {self.on_b}"
        return f"""
        CREATE TYPE state AS ENUM ('poor', 'fine');
        CREATE TABLE people ({columns}, number int {unique}, key {key} PRIMARY KEY, made timestamptz DEFAULT now());
        CREATE TABLE offspring (id bigint PRIMARY KEY, parent_key {key} {reference}, remark text);
        """

    def mappings(self) -> list[Wanted]:
        columns = {f"w{n}": VALUES[kind][1].format(f"v{n}") for n, kind in enumerate(self.values)}
        columns |= {"number": "code", "key": "id"}
        return [
            Wanted(
                "parents",
                "people",
                columns,
                key={"key": "id"},
                where_a="NOT a.hidden" if self.filtered else "",
                kept=("old",) if self.kept else (),
            ),
            Wanted("children", "offspring", {"id": "id", "parent_key": "parent", "remark": "note"}),
        ]


def worlds() -> st.SearchStrategy[World]:
    return st.builds(
        World,
        key=st.sampled_from(sorted(KEYS)),
        values=st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4).map(tuple),
        unique=st.sampled_from(["none", "plain", "deferrable"]),
        unique_b=st.booleans(),
        reference=st.sampled_from(["", "ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE"]),
        on_b=st.sampled_from(ACTIONS),
        filtered=st.booleans(),
        kept=st.booleans(),
    )


@dataclass(frozen=True)
class Act:
    """One statement on one connection; a writer that has none open begins a transaction. ``kind`` names the statement's form."""

    writer: int
    kind: str
    one: int
    two: int
    value: int


KINDS = (
    *("insert",) * 4,
    *("update",) * 4,
    *("child",) * 3,
    "move child",
    "delete child",
    "delete",
    "delete",
    "key",
    "swap",
    "code",
    "hide",
    "old",
    "many",
    "truncate children",
    "truncate",
    "savepoint",
    "back to savepoint",
    *("commit",) * 6,
    "rollback",
    *("apply",) * 3,
    "align",
)


def histories(size: int = 45) -> st.SearchStrategy[list[Act]]:
    few = st.integers(1, 6)
    return st.lists(
        st.builds(
            Act,
            writer=st.integers(0, 2),
            kind=st.sampled_from(KINDS),
            one=few,
            two=few,
            value=st.integers(0, 9),
        ),
        min_size=size // 3,
        max_size=size,
    )


def statement(world: World, act: Act) -> str:
    """What it is in SQL."""
    one, two = (KEYS[world.key][1].format(n) for n in (act.one, act.two))
    number = act.value % len(world.values)
    literals = VALUES[world.values[number]][3]
    value = literals[act.value % len(literals)]
    return {
        "insert": f"INSERT INTO parents (id, code, v{number}) VALUES ({one}, {act.two}, {value})",
        "update": f"UPDATE parents SET v{number} = {value} WHERE id = {one}",
        "child": f"INSERT INTO children VALUES ({act.one * 10 + act.two}, {two}, 'n')"
        " ON CONFLICT (id) DO UPDATE SET note = children.note || 'x'",
        "move child": f"UPDATE children SET parent = {two} WHERE id % 10 = {act.one}",
        "delete child": f"DELETE FROM children WHERE id % 7 = {act.one}",
        "delete": f"DELETE FROM parents WHERE id = {one}",
        "key": f"UPDATE parents SET id = {two} WHERE id = {one}",
        "swap": f"UPDATE parents SET code = CASE WHEN id = {one} THEN {act.two} ELSE {act.one} END WHERE id IN ({one}, {two})",
        "code": f"UPDATE parents SET code = {act.value or 'NULL'} WHERE id = {one}",
        "hide": f"UPDATE parents SET hidden = NOT hidden WHERE id = {one}",
        "old": f"UPDATE parents SET old = nullif('{act.value}', '0') WHERE id = {one}",
        "many": f"INSERT INTO children SELECT {act.one} * 100 + i, {two}, 'm' FROM generate_series(1, 30) i"
        " ON CONFLICT DO NOTHING",
        "truncate children": "TRUNCATE children",
        "truncate": "TRUNCATE parents CASCADE",
        "savepoint": "SAVEPOINT s",
        "back to savepoint": "ROLLBACK TO SAVEPOINT s",
        "commit": "COMMIT",
        "rollback": "ROLLBACK",
    }[act.kind]


def play(databases: PairOfDatabases, world: World, acts: Sequence[Act], limit: int) -> Stage:
    """Carry out a history with the applier in between, and drain; the caller looks at what came of it."""
    stage = set_up(databases, world.schema_a(), world.schema_b(), world.mappings())
    with ExitStack() as stack:
        writers = [stack.enter_context(databases.writer("a")) for _ in range(3)]
        for writer in writers:
            # Two writers wait for each other in one thread here: who would have to wait is refused instead.
            writer.execute("SET lock_timeout = '20ms'")
        writers[2].execute("SET default_transaction_isolation = 'repeatable read'")
        one = stack.enter_context(stage.applier())
        for act in acts:
            _act(stage, writers[act.writer], one, world, act, limit)
        for writer in writers:
            # What is deferred may be refused now; a failed COMMIT is a rollback.
            with suppress(psycopg.Error):
                writer.execute("COMMIT")
        done = one.drain(limit=limit, rounds=200)
        assert done.remaining == 0
        with one.align():
            pass
    return stage


def _act(
    stage: Stage, writer: psycopg.Connection[Any], one: Applier, world: World, act: Act, limit: int
) -> None:
    if act.kind == "apply":
        _unblocked(stage, lambda: one.batch(limit=limit))
        return
    if act.kind == "align":
        _unblocked(stage, lambda: _aligned(stage, one))
        return
    idle = writer.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    if idle and act.kind in ("commit", "rollback", "back to savepoint"):
        return
    try:
        if idle:
            writer.execute("BEGIN")
        writer.execute(statement(world, act).encode())
    except psycopg.Error:
        if writer.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            writer.execute("ROLLBACK")


def _unblocked(stage: Stage, work: Any) -> None:
    """The applier waits for a TRUNCATE that is not committed yet; here everything is one thread, and it would wait for ever."""
    name = stage.databases.names["a"]
    with stage.databases.superuser("a") as observer:
        held = observer.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE d.datname = %s AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'",
            (name,),
        ).fetchone()
    if held == (0,):
        work()


def _aligned(stage: Stage, one: Applier) -> None:
    with one.align():
        for pair in stage.replication.pairs:
            texts_a = ", ".join(each.text_a for each in pair.columns)
            texts_b = ", ".join(each.text_b for each in pair.columns)
            here = one.origin.rows(
                f"SELECT {texts_a} FROM {pair.a.relation} a WHERE {pair.where_a or 'true'} ORDER BY {texts_a}"
            )
            there = one.destination.rows(f"SELECT {texts_b} FROM {pair.b.relation} b ORDER BY {texts_b}")
            assert sorted(here, key=repr) == sorted(there, key=repr)


def side_expected(stage: Stage) -> list[tuple[Any, ...]]:
    pair = stage.replication.pairs[0]
    where = pair.where_a or "true"
    return sorted(
        stage.databases.rows(
            "a", f"SELECT a.id, 'old', a.old FROM parents a WHERE a.old IS NOT NULL AND {where}"
        ),
        key=repr,
    )


__all__ = ["Act", "World", "histories", "play", "side_expected", "statement", "turned", "worlds"]
