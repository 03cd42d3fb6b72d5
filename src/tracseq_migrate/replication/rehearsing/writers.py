"""Writers made up from the rows that are there: they insert, change and delete, and remember what was acknowledged.

A row is remembered as the texts by which the two sides are compared, so that what was acknowledged by one owner can be looked for
at the other. Values come from rows that are there, since those fit; what tells rows apart is new. A row belongs to one writer:
two never change it at once, so that the last acknowledgement is the truth.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tracseq_migrate.ports.sql import Session, Sessions, SqlFailed, Unreachable
from tracseq_migrate.replication.capture.fence import SQLSTATE as FENCED
from tracseq_migrate.replication.catalog.model import Column
from tracseq_migrate.replication.names import listed, literal, quoted
from tracseq_migrate.replication.pair import Pair, Replication
from tracseq_migrate.replication.rehearsing.door import Door, Side

Key = tuple[str, tuple[str | None, ...]]
"""The pair's name, and the canonical texts of the key."""
Texts = tuple[str | None, ...]

_SAMPLE = 400
_PAUSE = 0.02
_TRIES = 4
"""Refusals of one kind in one table after which it is not tried again, where it never went well."""
_TEXTS = ("text", "character varying", "bpchar", "citext")
_NUMBERS = ("integer", "bigint", "numeric")
_UNIQUE = """
SELECT DISTINCT a.attname::text
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
  AND d.refobjid = i.indrelid AND d.refobjsubid > 0
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE i.indrelid = $1::pg_catalog.regclass AND i.indisunique
UNION
SELECT a.attname::text FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = $1::pg_catalog.regclass AND i.indisunique
"""


@dataclass
class Tally:
    """What the writers of a rehearsal came to."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    refused: int = 0
    """Writes that a fence refused: none, where writes can be held."""
    unsure: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    """Acknowledged writes of each table, as ``database.table``."""
    wrong: list[str] = field(default_factory=list)
    """Acknowledged writes that the owner does not have as they were acknowledged."""

    @property
    def acknowledged(self) -> int:
        return self.inserted + self.updated + self.deleted


class _Table:
    """One table of one side: how rows of it are made, changed, and told apart."""

    def __init__(self, session: Session, pair: Pair, side: Side) -> None:
        self.pair = pair
        table, self.alias = (pair.a, "a") if side == "a" else (pair.b, "b")
        self.relation, self.name = table.relation, table.name
        self.key = pair.key_a if side == "a" else pair.key_b
        self.columns = {each.name: each for each in table.columns}
        mapped = [each for each in pair.columns if not each.forward_only]
        texts = {each.name: each.text_a if side == "a" else each.text_b for each in mapped}
        self.identity = [texts[name] for name in pair.key_b]
        self.texts = list(texts.values())
        where = (f"({pair.where_a})" if pair.where_a else "true") if side == "a" else pair.owned_b
        self.where = where
        unique = {str(name) for (name,) in session.rows(_UNIQUE, [self.relation])} | set(self.key)
        pointing = {name for one in table.constraints if one.kind == "f" for name in one.columns}
        self.unique = [each for each in table.columns if each.name in unique and not each.generated]
        self.copied = [
            each.name
            for each in table.columns
            if not each.generated and each.name not in unique and each.identity != "always"
        ]
        self.changeable = [name for name in self.copied if name not in pointing]
        self.bad: dict[str, int] = {}
        self.went_well: set[str] = set()

    def returning(self) -> str:
        keys = ", ".join(f"{self.alias}.{quoted(name)}::text" for name in self.key)
        said = ", ".join(f"({text})::text" for text in (*self.identity, *self.texts))
        return f"{keys}, coalesce(({self.where}), false), {said}"

    def read(self, row: Sequence[object]) -> tuple[Texts, bool, Key, Texts]:
        """Of a row that a statement gave back: its key here, whether it moves, its canonical key, its canonical texts."""
        count, width = len(self.key), len(self.identity)
        values = [None if each is None else str(each) for each in row]
        keys, owned, rest = values[:count], bool(row[count]), values[count + 1 :]
        return tuple(keys), owned, (self.pair.name, tuple(rest[:width])), tuple(rest[width:])

    def at(self, key: Texts, alias: str) -> str:
        return " AND ".join(
            f"{alias}.{quoted(name)} = {literal(str(value))}::{self.columns[name].type.full}"
            for name, value in zip(self.key, key, strict=True)
        )

    def insert(self, key: Texts) -> str | None:
        """A copy of a row with another key; None where a value that tells it apart cannot be made up."""
        names, values = [], []
        for column in self.unique:
            if column.sequence or column.identity or (column.default and column.name in self.key):
                continue
            made = _made_up(column)
            if made is None:
                return None
            names.append(column.name)
            values.append(made)
        names += self.copied
        values += [f"o.{quoted(name)}" for name in self.copied]
        return (
            f"INSERT INTO {self.relation} AS {self.alias} ({listed(names)})"
            f" SELECT {', '.join(values)} FROM {self.relation} AS o WHERE {self.at(key, 'o')} RETURNING {self.returning()}"
        )

    def update(self, key: Texts, column: str, model: Texts) -> str:
        name = quoted(column)
        return (
            f"UPDATE {self.relation} AS {self.alias} SET {name} = o.{name} FROM {self.relation} AS o"
            f" WHERE {self.at(key, self.alias)} AND {self.at(model, 'o')} RETURNING {self.returning()}"
        )

    def delete(self, key: Texts) -> str:
        return f"DELETE FROM {self.relation} AS {self.alias} WHERE {self.at(key, self.alias)} RETURNING {self.returning()}"

    def sample(self) -> str:
        return f"SELECT {self.returning()} FROM {self.relation} AS {self.alias} WHERE {self.where} LIMIT {_SAMPLE}"

    def allows(self, kind: str) -> bool:
        return kind in self.went_well or self.bad.get(kind, 0) < _TRIES


def _made_up(column: Column) -> str | None:
    """An expression over ``o`` for a value that no other row has."""
    name, value = column.type.name, f"o.{quoted(column.name)}"
    if name == "uuid":
        return "pg_catalog.gen_random_uuid()"
    if any(word in name for word in _TEXTS):
        mark = literal("r" + secrets.token_hex(4))
        # As long as it was, where that is long: what fits here must fit over there.
        return (
            f"({mark} || CASE WHEN pg_catalog.length({value}::text) > 30"
            f" THEN pg_catalog.substr({value}::text, 10) ELSE coalesce({value}::text, '') END)"
        )
    if name in _NUMBERS:
        return str(random.randrange(10**8, 2 * 10**9))  # noqa: S311 - no secret
    return None


class Writers:
    """Threads that write the tables of some replications, wherever the door sends them; begun on entering, ended on leaving.

    Args:
        sessions: with the clones.
        count: of the threads.
    """

    def __init__(self, sessions: Sessions, *, count: int = 4) -> None:
        self._sessions = sessions
        self._doors: list[tuple[Replication, Door]] = []
        self._count = count
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._known: dict[Key, Texts | None] = {}
        self._unsure: set[Key] = set()
        self.tally = Tally()
        self.trouble: list[str] = []
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"writer {number}", daemon=True)
            for number in range(count)
        ]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def also(self, one: Replication, door: Door) -> None:
        """From now on they write the tables of this one, too, as this door sends them."""
        with self._lock:
            self._doors.append((one, door))

    @property
    def replications(self) -> frozenset[str]:
        """Those whose tables they write, by name."""
        with self._lock:
            return frozenset(one.name for one, _ in self._doors)

    def end(self) -> None:
        """No write begins any more; those under way are waited for."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def until(self, more: int, *, patience: float, check: Callable[[], None]) -> bool:
        """Wait until so many more were acknowledged; false where that did not come about in so many seconds."""
        target = self.tally.acknowledged + more
        for _ in range(int(patience / 0.05)):
            check()
            if self.tally.acknowledged >= target or self._over.wait(0.05):
                break
        return self.tally.acknowledged >= target

    def _work(self, number: int) -> None:
        choice = random.Random(number)  # noqa: S311 - no secret
        try:
            with ExitStack() as stack:
                people: list[_Person] = []
                while not self._over.wait(_PAUSE):
                    with self._lock:
                        new = self._doors[len(people) :]
                    people += [_Person(self, stack, one, door, number, choice) for one, door in new]
                    if people:
                        choice.choice(people).write()
        except (Unreachable, SqlFailed) as error:
            with self._lock:
                self.trouble.append(str(error))

    # -- what a person says --------------------------------------------------------------------------------------------------

    def acknowledged(self, kind: str, table: str, key: Key, texts: Texts | None) -> None:
        with self._lock:
            self._known[key] = texts
            self._unsure.discard(key)
            setattr(self.tally, kind, getattr(self.tally, kind) + 1)
            self.tally.tables[table] = self.tally.tables.get(table, 0) + 1

    def forgotten(self, key: Key) -> None:
        """It does not move any more, or nobody knows what became of it."""
        with self._lock:
            self._known.pop(key, None)
            self._unsure.add(key)

    def refused(self) -> None:
        with self._lock:
            self.tally.refused += 1

    # -- what became of it ---------------------------------------------------------------------------------------------------

    def look(self, *, patience: float) -> list[str]:
        """Every acknowledged write that is not at its owner as it was acknowledged; call it when no writer is at work.

        Raises:
            SqlFailed, Unreachable: the owner could not be asked.
        """
        wrong: list[str] = []
        for one, door in self._doors:
            database = one.database_a if door.side == "a" else one.database_b
            with self._sessions.open(
                database, purpose="rehearse: look", timeout=15.0, patience=patience
            ) as session:
                for pair in _written(one):
                    wrong += self._look_at(session, _Table(session, pair, door.side), database)
        self.tally.unsure = len(self._unsure)
        self.tally.wrong += wrong
        return wrong

    def _look_at(self, session: Session, table: _Table, database: str) -> list[str]:
        wanted = {key: texts for key, texts in self._known.items() if key[0] == table.pair.name}
        if not wanted:
            return []
        found: dict[Key, Texts] = {}
        twice: list[Key] = []
        session.begin(read_only=True)
        try:
            for row in session.stream(
                f"SELECT {table.returning()} FROM {table.relation} AS {table.alias} WHERE {table.where}"
            ):
                _, _, key, texts = table.read(row)
                if key in wanted:
                    twice += [key] if key in found else []
                    found[key] = texts
        finally:
            session.rollback()
        wrong = [f"{database}.{table.name} {_shown(key)}: it is there twice" for key in twice]
        for key, acknowledged in wanted.items():
            if acknowledged is None and key in found:
                wrong.append(f"{database}.{table.name} {_shown(key)}: deleted, and there again")
            elif acknowledged is not None and key not in found:
                wrong.append(f"{database}.{table.name} {_shown(key)}: acknowledged, and lost")
            elif acknowledged is not None and found[key] != acknowledged:
                wrong.append(f"{database}.{table.name} {_shown(key)}: not as it was acknowledged")
        return wrong


class _Person:
    """One writer's hands on one replication."""

    def __init__(
        self,
        writers: Writers,
        stack: ExitStack,
        one: Replication,
        door: Door,
        number: int,
        choice: random.Random,
    ) -> None:
        self._writers = writers
        self._door = door
        self._choice = choice
        self._share = (number, writers._count)
        self._sides: dict[Side, tuple[Session, list[_Table], str]] = {}
        self._rows: dict[tuple[Side, str], dict[Texts, Key]] = {}
        self._own: set[Key] = set()
        for side, database in (("a", one.database_a), ("b", one.database_b)):
            session = stack.enter_context(
                writers._sessions.open(database, purpose="rehearse: write", timeout=15.0, patience=30.0)
            )
            # Triggers of the application find what they name as they do for the application.
            session.execute("RESET search_path")
            where: Side = "a" if side == "a" else "b"
            self._sides[where] = (session, [_Table(session, pair, where) for pair in _written(one)], database)

    def write(self) -> None:
        with self._door.passing() as side:
            session, tables, database = self._sides[side]
            table = self._choice.choice(tables)
            rows = self._known_rows(session, side, table)
            if not rows:
                return
            kind, sql, key = self._thought_of(table, rows)
            if not sql:
                return
            try:
                answered = session.rows(sql)
            except SqlFailed as error:
                if error.sqlstate == FENCED:
                    self._writers.refused()
                else:
                    table.bad[kind] = table.bad.get(kind, 0) + 1
                return
            except Unreachable:
                if key is not None:
                    self._writers.forgotten(rows[key])
                raise
            for row in answered:
                self._remember(kind, table, database, rows, row, key)

    def _known_rows(self, session: Session, side: Side, table: _Table) -> dict[Texts, Key]:
        """Rows that are this writer's to change, by their key here."""
        place = (side, table.pair.name)
        if place not in self._rows:
            try:
                sample = [table.read(row) for row in session.rows(table.sample())]
            except SqlFailed:
                return {}  # what moves it is not there yet
            self._rows[place] = {here: key for here, _, key, _ in sample if self._mine(key)}
        return self._rows[place]

    def _mine(self, key: Key) -> bool:
        """By the key that both sides know a row by, so that it is the same writer's on either."""
        number, count = self._share
        return sum(map(ord, "".join(map(str, key[1])))) % count == number

    def _thought_of(self, table: _Table, rows: dict[Texts, Key]) -> tuple[str, str, Texts | None]:
        keys = list(rows)
        kind = self._choice.choices(("inserted", "updated", "deleted"), (3, 5, 1))[0]
        here = self._choice.choice(keys)
        if kind == "deleted":
            own = [key for key in keys if rows[key] in self._own]
            if own and table.allows(kind):
                key = self._choice.choice(own)
                return kind, table.delete(key), key
            kind = "updated"
        if kind == "inserted" and table.allows(kind):
            return kind, table.insert(here) or "", None
        names = [name for name in table.changeable if table.allows(f"updated {name}")]
        if not names:
            return "updated", "", None
        name = self._choice.choice(names)
        return f"updated {name}", table.update(here, name, self._choice.choice(keys)), here

    def _remember(
        self,
        kind: str,
        table: _Table,
        database: str,
        rows: dict[Texts, Key],
        row: Sequence[object],
        before: Texts | None,
    ) -> None:
        table.went_well.add(kind)
        here, moves, key, texts = table.read(row)
        word = kind.split(" ")[0]
        if word == "deleted":
            rows.pop(here, None)
            self._writers.acknowledged(word, f"{database}.{table.name}", key, None)
        elif not moves:
            rows.pop(here, None)
            self._writers.forgotten(key)
        else:
            if word == "inserted" and self._mine(key):
                rows[here] = key
                self._own.add(key)
            self._writers.acknowledged(word, f"{database}.{table.name}", key, texts)


def _written(one: Replication) -> list[Pair]:
    """The pairs whose rows are written: where two share A's rows, the one that owns them."""
    return [pair for pair in one.pairs if not pair.shared]


def _shown(key: Key) -> str:
    return ", ".join(str(each) for each in key[1])
